//! Holds what a connected worker works with: the lease store and the streams.

use crate::config::Start;
use crate::coordination::{Served, Streams};
use crate::error::Error;
use crate::lease::LeaseStore;
use crate::lease::row::StreamKeys;
use crate::record::StreamId;
use crate::shard::{ApiErrorKind, StreamApi, StreamDescription};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A caller's own stream has to answer within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The coordination's connections. Made and used on the coordination's own runtime.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) store: Arc<dyn LeaseStore>,
    /// In the order in which the user named them.
    pub(super) streams: Vec<Connection>,
}

/// A connected stream and its description.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) api: Arc<dyn StreamApi>,
    pub(super) description: StreamDescription,
}

impl Connection {
    /// The stream as the coordination serves it: alone, or as one of several.
    pub(super) fn served(&self, id: Option<StreamId>, start: Start, until_ms: Option<i64>) -> Served {
        let StreamDescription { identity, retention_hours, .. } = &self.description;
        let retention = Duration::from_secs(u64::from(*retention_hours) * 3_600);
        Served { keys: StreamKeys { identity: identity.clone(), id, until_ms }, start, retention }
    }

    /// The stream of a worker that reads only this one.
    pub(super) fn alone(&self, start: Start, until_ms: Option<i64>) -> Streams {
        Streams::One(Box::new(self.served(None, start, until_ms)))
    }
}

/// Connects, after all checks that come before the first write.
pub(super) type Connect = BoxFuture<'static, Result<Connected, Error>>;

/// Connects to a caller's own lease store and streams. Waits for at most `outage` while a stream
/// does not answer.
pub(super) async fn given(
    store: Arc<dyn LeaseStore>,
    apis: Vec<Arc<dyn StreamApi>>,
    outage: Duration,
) -> Result<Connected, Error> {
    let mut streams = Vec::new();
    for api in apis {
        streams.push(described(api, outage).await?);
    }
    Ok(Connected { store, streams })
}

/// Describes a caller's own stream. Waits for at most `outage` while it does not answer.
pub(super) async fn described(api: Arc<dyn StreamApi>, outage: Duration) -> Result<Connection, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(crate::Code::Unreachable, format!("the stream could not be described: {error}"))
    };
    let began = Instant::now();
    loop {
        let error = match tokio::time::timeout(ANSWER_TIMEOUT, api.describe()).await {
            Ok(Ok(description)) => return Ok(Connection { api, description }),
            Ok(Err(error)) => match error.kind {
                ApiErrorKind::Throttled | ApiErrorKind::Unavailable => failed(&error).with_source(error),
                ApiErrorKind::NotFound
                | ApiErrorKind::NotReady
                | ApiErrorKind::Denied
                | ApiErrorKind::Refused
                | ApiErrorKind::PositionRefused
                | ApiErrorKind::StartAhead
                | ApiErrorKind::IteratorExpired => return Err(failed(&error).with_source(error)),
            },
            Err(_) => failed(&format!("no answer within {ANSWER_TIMEOUT:?}")),
        };
        if began.elapsed() + RETRY_PAUSE > outage {
            return Err(error);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
