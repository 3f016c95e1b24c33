//! A stream whose disappearance is noticed by whoever lists it.

use super::registry::Registry;
use crate::record::{ShardId, StartingPosition, StreamId};
use crate::shard::{ApiError, ApiErrorKind, FanOutApi, Fetched, ListWhich, Listing, StreamApi, StreamDescription};
use async_trait::async_trait;
use std::sync::{Arc, Weak};

/// Hands every call on, and tells when a list is refused because there is no such stream. (A reader that is told so of a
/// shard lists the shards before it believes it.)
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) api: Arc<dyn StreamApi>,
    pub(super) stream: StreamId,
    pub(super) registry: Weak<Registry>,
}

#[async_trait]
impl StreamApi for Watched {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.api.describe().await
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        let listed = self.api.list_shards(which).await;
        if matches!(&listed, Err(error) if error.kind == ApiErrorKind::NotFound)
            && let Some(registry) = self.registry.upgrade()
        {
            registry.on_missing(&self.stream);
        }
        listed
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        self.api.shard_iterator(shard, from).await
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        self.api.get_records(iterator, limit).await
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        self.api.fan_out()
    }
}
