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
/// | reader | calls | shares its limits with | costs | delay | guarantees |
/// |---|---|---|---|---|---|
/// | polling | GetRecords, up to 5 a second and 2 MiB a second for each shard | all polling readers of the shard, of any application | nothing beside the shard | half of `poll_interval` and a call | every record in order; heals throttling, expired iterators and lost answers by itself |
/// | fan-out | SubscribeToShard, every four to five minutes | nobody: each consumer has 2 MiB a second for each shard | a consumer is billed by shard and hour, and by GB | some 70 ms on AWS | the same; subscriptions that end, break or fall silent (20 s) are replaced, after the last record that was accepted |
/// | auto | fan-out, and polling whenever nothing is pushed: while the consumer is registered, between two subscriptions, while fan-out is refused (quota, permission, the consumer is gone or used by others) | | as fan-out | | the same; a record that came by both is delivered once |
///
/// Whoever reads, what is handed over is held within the byte budget, and a handler that acquires its time slows its own shard
/// only. (A subscription that nobody acquires from is ended by the service; that is no error, and a new one goes on.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Retrieval {
    /// Fan-out, and polling wherever and as long as it is not to be had. Registers the application's consumer, which AWS bills
    /// until somebody deregisters it; see the settings `consumer_name`, `consumer_arn` and `deregister_consumer`.
    Auto,
    /// Fan-out only. Where it is refused, the shard waits, and the error policy is asked.
    FanOut,
    /// Polling only. The default, as a consumer costs money that nobody should be made to pay by a library.
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
