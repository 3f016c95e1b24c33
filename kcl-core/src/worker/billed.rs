//! The fan-out consumers that this worker is to remove once nobody of its fleet needs them: until then they are billed.

use super::others::Others;
use crate::coordination::Elsewhere;
use crate::record::StreamId;
use crate::retrieval::Registrar;
use crate::shard::{ApiError, ApiErrorKind};
use crate::telemetry::event::fanout::ConsumerRemoved;
use crate::telemetry::event::processing::of_stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Instrument;

/// One a stream that was ever read here by fan-out; of one stream, without a name.
#[derive(Debug, Default)]
pub(super) struct Billed(Mutex<BTreeMap<Option<StreamId>, Arc<Registrar>>>);

impl Billed {
    pub(super) fn insert(&self, stream: Option<StreamId>, registrar: Arc<Registrar>) {
        self.lock().insert(stream, registrar);
    }

    /// The stream is no more, and its consumer with it.
    pub(super) fn forget(&self, stream: &StreamId) {
        self.lock().remove(&Some(stream.clone()));
    }

    /// Whether there is one of this stream.
    pub(super) fn has(&self, stream: &StreamId) -> bool {
        self.lock().contains_key(&Some(stream.clone()))
    }

    /// This worker has left a stream. Where others read it, one of them will remove its consumer, or this worker at its end,
    /// if they have gone by then.
    pub(super) async fn left(&self, stream: &StreamId, elsewhere: Elsewhere) {
        let stream = Some(stream.clone());
        match elsewhere {
            Elsewhere::Nobody => self.remove(&stream).await,
            Elsewhere::Unknown => {
                if let Some(id) = &stream {
                    untold(Some(id), "its table did not tell who else reads the stream");
                }
            }
            Elsewhere::NotAsked | Elsewhere::Somebody => {}
        }
    }

    /// This worker has ended.
    pub(super) async fn ended(&self, others: &Others) {
        let streams: Vec<Option<StreamId>> = self.lock().keys().cloned().collect();
        for stream in streams {
            match others.have_left(stream.as_ref()) {
                Ok(true) => self.remove(&stream).await,
                Ok(false) => {}
                Err(why) => untold(stream.as_ref(), &why),
            }
        }
    }

    async fn remove(&self, stream: &Option<StreamId>) {
        let Some(registrar) = self.lock().remove(stream) else { return };
        let span = of_stream(stream.as_ref());
        let error = registrar.deregister().instrument(span.clone()).await.err();
        span.in_scope(|| ConsumerRemoved { error: error.as_ref() }.emit());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<StreamId>, Arc<Registrar>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn untold(stream: Option<&StreamId>, why: &str) {
    let error = ApiError { kind: ApiErrorKind::Unavailable, message: why.to_owned(), source: None };
    of_stream(stream).in_scope(|| ConsumerRemoved { error: Some(&error) }.emit());
}
