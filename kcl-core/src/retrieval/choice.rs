//! Creates the readers that the settings ask for: polling, fan-out, or fan-out with polling as a
//! fallback.

use super::end_at_time::EndAtTime;
use super::fanout::{FanOutReaders, Registrar};
use super::polling::PollingReaders;
use super::{ByteBudget, Readers};
use crate::config::Settings;
use crate::error::{Code, Error};
use crate::shard::{ConsumerRef, StreamApi};
use std::sync::Arc;

/// How the shards of a stream are read.
///
/// Polling:
/// - calls GetRecords, at most 5 times and 2 MiB per second for each shard; all polling readers of
///   the shard share these limits, also those of other applications;
/// - costs nothing in addition to the shard;
/// - has a delay of half of `poll_interval` plus one call;
/// - delivers every record in order, and recovers from throttling, expired iterators and lost
///   responses.
///
/// Fan-out:
/// - subscribes with SubscribeToShard, every four to five minutes; each consumer has its own 2 MiB
///   per second for each shard;
/// - costs a fee per consumer, shard and hour, and per GB;
/// - has a delay of about 70 ms on AWS;
/// - delivers every record in order. A subscription that ends, breaks or sends nothing for 20 s is
///   replaced by one that starts after the last accepted record.
///
/// All fetched records count against the byte budget. A slow handler only delays its own shard.
/// (The service ends a subscription whose events are not received; the reader then opens another
/// one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Retrieval {
    /// Fan-out, falling back to polling while no subscription is open: while the consumer is being
    /// registered, between two subscriptions, and while fan-out is refused (quota, permission, or
    /// the consumer was deleted or is used by another program). A record that both readers receive
    /// is delivered once.
    ///
    /// Registers the application's consumer, which AWS bills until it is deregistered; see the
    /// settings `consumer_name`, `consumer_arn` and `deregister_consumer`.
    Auto,
    /// Fan-out only. While it is refused, the shard waits, and the error policy decides.
    FanOut,
    /// Polling only. The default, because a registered consumer costs money.
    #[default]
    Polling,
}

/// The readers of a stream, and the registrar of their consumer.
pub(crate) struct StreamReaders {
    pub(crate) readers: Arc<dyn Readers>,
    pub(crate) registrar: Option<Arc<Registrar>>,
}

/// Creates the readers of a stream according to the settings.
///
/// # Errors
/// [`Code::Setting`] if the setting requires fan-out and the stream does not support it.
pub(crate) fn readers(
    settings: &Settings,
    application: &str,
    api: Arc<dyn StreamApi>,
    budget: ByteBudget,
    rng: &mut fastrand::Rng,
) -> Result<StreamReaders, Error> {
    let polling = Arc::new(PollingReaders::new(Arc::clone(&api), budget.clone(), settings.clone(), rng.fork()));
    let fan_out = match settings.retrieval {
        Retrieval::Polling => None,
        Retrieval::Auto => api.fan_out(),
        Retrieval::FanOut => Some(api.fan_out().ok_or_else(|| {
            let message =
                "`retrieval` is `fan-out`, but the given stream does not support fan-out: set it to `polling`";
            Error::new(Code::Setting, message)
        })?),
    };
    let (readers, registrar): (Arc<dyn Readers>, _) = match fan_out {
        None => (polling, None),
        Some(fan_out) => {
            let consumer = consumer(settings, application);
            let registrar = Arc::new(Registrar::new(Arc::clone(&fan_out), consumer));
            let bridge = (settings.retrieval == Retrieval::Auto).then_some(polling);
            let (stream, known) = (Arc::clone(&api), Arc::clone(&registrar));
            let readers = FanOutReaders::new(fan_out, stream, known, budget, bridge, rng.fork());
            (Arc::new(readers), Some(registrar))
        }
    };
    let readers = match settings.until_ms() {
        Some(until_ms) => Arc::new(EndAtTime::new(readers, api, until_ms)),
        None => readers,
    };
    Ok(StreamReaders { readers, registrar })
}

/// Returns the consumer that a worker with these settings subscribes with.
pub(crate) fn consumer(settings: &Settings, application: &str) -> ConsumerRef {
    let name = || settings.consumer_name.clone().unwrap_or_else(|| application.to_owned());
    settings.consumer_arn.clone().map_or_else(|| ConsumerRef::Name(name()), ConsumerRef::Arn)
}
