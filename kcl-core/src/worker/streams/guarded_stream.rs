//! Wraps a stream, and reports to the identity guard when it was deleted or created again.

use super::identity_guard::IdentityGuard;
use crate::record::{ShardId, StartingPosition};
use crate::shard::{
    ApiError, ApiErrorKind, ConsumerRef, FanOutApi, Fetched, ListWhich, Listing, RegisteredConsumer, ShardPage,
    StreamApi, StreamDescription, SubscribeRequest, Subscription,
};
use async_trait::async_trait;
use std::sync::Arc;

/// Forwards all calls, and reports a list that is refused because the stream does not exist. (On a
/// not-found for a shard, a reader lists the shards before it treats the shard as ended.)
#[derive(Debug)]
pub(super) struct GuardedStream(pub(super) Arc<IdentityGuard>);

#[async_trait]
impl StreamApi for GuardedStream {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.0.api.describe().await
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        let listed = self.0.api.list_shards(which).await;
        match &listed {
            Ok(listing) => self.0.after_list(&listing.shards).await?,
            Err(error) if error.kind == ApiErrorKind::NotFound => self.0.is_missing(),
            Err(_) => {}
        }
        listed
    }

    async fn shard_page(&self, which: ListWhich, token: Option<&str>) -> Result<ShardPage, ApiError> {
        let page = self.0.api.shard_page(which, token).await;
        match &page {
            Ok(page) => self.0.after_list(&page.shards).await?,
            Err(error) if error.kind == ApiErrorKind::NotFound => self.0.is_missing(),
            Err(_) => {}
        }
        page
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        let answer = self.0.api.shard_iterator(shard, from).await;
        self.0.after_start(from, answer).await
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        self.0.api.get_records(iterator, limit).await
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        let api = self.0.api.fan_out()?;
        Some(Arc::new(GuardedFanOut { api, guard: Arc::clone(&self.0) }))
    }
}

/// The same for fan-out. A stream's deletion deletes its consumers; without this, a worker would
/// wait for a new consumer.
#[derive(Debug)]
struct GuardedFanOut {
    api: Arc<dyn FanOutApi>,
    guard: Arc<IdentityGuard>,
}

#[async_trait]
impl FanOutApi for GuardedFanOut {
    async fn find_consumer(&self, consumer: &ConsumerRef) -> Result<Option<RegisteredConsumer>, ApiError> {
        let found = self.api.find_consumer(consumer).await;
        if let (ConsumerRef::Arn(_), Ok(None)) = (consumer, &found) {
            self.guard.ask().await?;
        }
        found
    }

    async fn register_consumer(&self, name: &str) -> Result<RegisteredConsumer, ApiError> {
        let registered = self.api.register_consumer(name).await;
        if registered.as_ref().is_err_and(|error| error.kind == ApiErrorKind::NotFound) {
            self.guard.ask().await?;
        }
        registered
    }

    async fn deregister_consumer(&self, arn: &str) -> Result<(), ApiError> {
        self.api.deregister_consumer(arn).await
    }

    async fn subscribe(&self, request: SubscribeRequest<'_>) -> Result<Box<dyn Subscription>, ApiError> {
        let answer = self.api.subscribe(request).await;
        self.guard.after_start(request.from, answer).await
    }
}
