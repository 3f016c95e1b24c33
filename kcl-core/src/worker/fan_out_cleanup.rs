//! Deregisters fan-out consumers that no worker of the fleet needs any more. AWS bills them until
//! then.

use super::fleet_membership::FleetMembership;
use crate::coordination::Elsewhere;
use crate::record::StreamId;
use crate::retrieval::Registrar;
use crate::retrieval::event::fan_out::ConsumerRemoved;
use crate::shard::{ApiError, ApiErrorKind};
use crate::telemetry::Scope;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The consumer of each stream that this worker has read by fan-out; under `None` for a worker of
/// one stream.
#[derive(Debug, Default)]
pub(super) struct FanOutCleanup(Mutex<BTreeMap<Option<StreamId>, Arc<Registrar>>>);

impl FanOutCleanup {
    pub(super) fn insert(&self, stream: Option<StreamId>, registrar: Arc<Registrar>) {
        self.lock().insert(stream, registrar);
    }

    /// Forgets the consumer of a deleted stream, which AWS has deleted too.
    pub(super) fn forget(&self, stream: &StreamId) {
        self.lock().remove(&Some(stream.clone()));
    }

    /// True if this worker has read the stream by fan-out.
    pub(super) fn has(&self, stream: &StreamId) -> bool {
        self.lock().contains_key(&Some(stream.clone()))
    }

    /// Called when this worker has stopped serving a stream. If others read it, one of them
    /// deregisters the consumer, or this worker does at its end if they have gone by then.
    pub(super) async fn left(&self, stream: &StreamId, elsewhere: Elsewhere) {
        let stream = Some(stream.clone());
        match elsewhere {
            Elsewhere::Nobody => self.remove(&stream).await,
            Elsewhere::Unknown => {
                if let Some(id) = &stream {
                    report_unknown(Some(id), "the lease table did not answer which workers still read the stream");
                }
            }
            Elsewhere::NotAsked | Elsewhere::Somebody => {}
        }
    }

    /// Called when this worker has ended.
    pub(super) async fn ended(&self, others: &FleetMembership) {
        let streams: Vec<Option<StreamId>> = self.lock().keys().cloned().collect();
        for stream in streams {
            match others.have_left(stream.as_ref()) {
                Ok(true) => self.remove(&stream).await,
                Ok(false) => {}
                Err(why) => report_unknown(stream.as_ref(), &why),
            }
        }
    }

    async fn remove(&self, stream: &Option<StreamId>) {
        let Some(registrar) = self.lock().remove(stream) else { return };
        let scope = scope_of(stream.as_ref());
        let removal = async { ConsumerRemoved { error: registrar.deregister().await.err().as_ref() }.emit() };
        scope.around(removal).await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<StreamId>, Arc<Registrar>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report_unknown(stream: Option<&StreamId>, why: &str) {
    let error = ApiError { kind: ApiErrorKind::Unavailable, message: why.to_owned(), code: None, source: None };
    scope_of(stream).enter(|| ConsumerRemoved { error: Some(&error) }.emit());
}

/// The telemetry scope of one of several streams, or of the only one.
fn scope_of(stream: Option<&StreamId>) -> Scope {
    let scope = Scope::current();
    stream.map_or(scope.clone(), |stream| scope.of_stream(stream.as_str()))
}
