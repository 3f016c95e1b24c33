//! What a worker works with once it is connected: the table, the stream, and who it is.

use crate::error::Error;
use crate::lease::LeaseStore;
use crate::record::StreamIdentity;
use crate::shard::StreamApi;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The coordination's side of the outside. Made and used on the coordination's own runtime.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) store: Arc<dyn LeaseStore>,
    pub(super) stream: Arc<dyn StreamApi>,
    pub(super) identity: StreamIdentity,
}

/// Connects: checks what must be checked before anything is written.
pub(super) type Connect = BoxFuture<'static, Result<Connected, Error>>;

/// Connects to a table and a stream that a caller brought.
pub(super) async fn given(store: Arc<dyn LeaseStore>, stream: Arc<dyn StreamApi>) -> Result<Connected, Error> {
    let described = stream.describe().await;
    let description = described.map_err(|error| {
        Error::new(crate::Code::Unreachable, format!("the stream could not be described: {error}")).because(error)
    })?;
    Ok(Connected { store, stream, identity: description.identity })
}
