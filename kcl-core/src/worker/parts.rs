//! What a worker works with once it is connected: the table, the stream, and who it is.

use crate::error::Error;
use crate::lease::LeaseStore;
use crate::record::StreamIdentity;
use crate::shard::{StreamApi, StreamDescription};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// A stream that a caller brought answers within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The coordination's side of the outside. Made and used on the coordination's own runtime.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) store: Arc<dyn LeaseStore>,
    pub(super) stream: Arc<dyn StreamApi>,
    pub(super) identity: StreamIdentity,
    pub(super) facts: Facts,
}

/// What is known of the stream once it was described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether its records have keys whose order means something.
    pub(super) keyed: bool,
    /// How long it keeps records.
    pub(super) retention: Duration,
}

impl From<&StreamDescription> for Facts {
    fn from(description: &StreamDescription) -> Self {
        let retention = Duration::from_secs(u64::from(description.retention_hours) * 3_600);
        Facts { keyed: description.keyed, retention }
    }
}

/// Connects: checks what must be checked before anything is written.
pub(super) type Connect = BoxFuture<'static, Result<Connected, Error>>;

/// Connects to a table and a stream that a caller brought.
pub(super) async fn given(store: Arc<dyn LeaseStore>, stream: Arc<dyn StreamApi>) -> Result<Connected, Error> {
    let told = |error: &dyn std::fmt::Display| {
        Error::new(crate::Code::Unreachable, format!("the stream could not be described: {error}"))
    };
    let described = tokio::time::timeout(PATIENCE, stream.describe()).await;
    let described = described.map_err(|_| told(&format!("no answer within {PATIENCE:?}")))?;
    let description = described.map_err(|error| told(&error).because(error))?;
    let facts = Facts::from(&description);
    Ok(Connected { store, stream, identity: description.identity, facts })
}
