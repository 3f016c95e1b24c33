//! Creates the readers that the settings ask for: polling, fan-out, or fan-out with polling as a
//! fallback.

use super::end_at_time::EndAtTime;
use super::fanout::{FanOutReaders, Registrar};
use super::polling::PollingReaders;
use super::{ByteBudget, Readers};
use crate::config::{Retrieval, RetrievalConfig};
use crate::error::{Code, Error};
use crate::shard::{ConsumerRef, StreamApi};
use std::sync::Arc;

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
    config: &RetrievalConfig,
    application: &str,
    api: Arc<dyn StreamApi>,
    budget: ByteBudget,
    rng: &mut fastrand::Rng,
) -> Result<StreamReaders, Error> {
    let polling = Arc::new(PollingReaders::new(Arc::clone(&api), budget.clone(), config.polling, rng.fork()));
    let fan_out = match config.retrieval {
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
            let consumer = consumer(config, application);
            let registrar = Arc::new(Registrar::new(Arc::clone(&fan_out), consumer));
            let bridge = (config.retrieval == Retrieval::Auto).then_some(polling);
            let (stream, known) = (Arc::clone(&api), Arc::clone(&registrar));
            let readers = FanOutReaders::new(fan_out, stream, known, budget, bridge, rng.fork());
            (Arc::new(readers), Some(registrar))
        }
    };
    let readers = match config.until_ms {
        Some(until_ms) => Arc::new(EndAtTime::new(readers, api, until_ms)),
        None => readers,
    };
    Ok(StreamReaders { readers, registrar })
}

/// Returns the consumer that a worker with these settings subscribes with.
pub(crate) fn consumer(config: &RetrievalConfig, application: &str) -> ConsumerRef {
    let name = || config.consumer_name.clone().unwrap_or_else(|| application.to_owned());
    config.consumer_arn.clone().map_or_else(|| ConsumerRef::Name(name()), ConsumerRef::Arn)
}
