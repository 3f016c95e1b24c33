//! Runs the consumer of one shard while its lease is held: one lane or several, each of which calls
//! one of the user's processors, one callback after the other.
//!
//! - `feed` turns chunks into batches for lanes (pure).
//! - `source` gives lanes their next batch, and reads on when there is none.
//! - `state` is a lane's state machine (pure), `lane` the loop that runs it.
//! - `work_item` is a lane's unfinished work (pure), `disposition` decides what happens after a
//!   failure.
//! - `creation` makes the processors, `call` calls the user's code, `stored` asks the user's
//!   checkpoint store.

mod call;
mod creation;
mod disposition;
mod feed;
mod lane;

mod source;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod work_item;

pub(super) use creation::processors;
pub(super) use stored::starting_position;

use super::dead_letter::DeadLetterSink;
use super::delivery::{ReportKind, ShardDelivery};
use super::failure::ErrorPolicy;
use super::lanes::Lanes;
use super::store::CheckpointStore;
use super::{RecordProcessor, ShardContext};
use crate::clock::Clock;
use crate::config::BatchingConfig;
use crate::record::{Position, Record};
use crate::retrieval::{CorruptAggregate, Prefetch, ReadError};
use feed::Feed;
use futures_util::future::BoxFuture;
use lane::Lane;
use source::Source;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest pause before a retry if the policy's decision does not apply to the failure (see
/// `ErrorPolicy`).
const INAPPLICABLE_RETRY: Duration = Duration::from_secs(30);

/// A record that was read again, and why no handler may see it, if so.
pub(super) type Reread = (Record, Option<CorruptAggregate>);

/// Reads one record again by its position. `None` if the stream no longer has it.
pub(super) type RereadFn = Arc<dyn Fn(Position) -> BoxFuture<'static, Result<Option<Reread>, ReadError>> + Send + Sync>;

/// Reports `Gone` when its last owner is dropped. Shared by all tasks that must have ended before.
#[derive(Debug)]
pub(super) struct ReportGone(pub(super) Arc<ShardDelivery>);

impl Drop for ReportGone {
    fn drop(&mut self) {
        self.0.report(ReportKind::Gone);
    }
}

/// The settings and collaborators of a consumer.
#[derive(Clone)]
pub(super) struct ConsumerConfig {
    /// Decides what happens after a failure.
    pub(super) policy: Arc<dyn ErrorPolicy>,
    /// Takes records that the policy gives up.
    pub(super) sink: Option<Arc<dyn DeadLetterSink>>,
    /// The user's own checkpoint store.
    pub(super) store: Option<Arc<dyn CheckpointStore>>,
    /// How long the sink may take for one record.
    pub(super) sink_timeout: Option<Duration>,
    /// How long a handler may take for a batch.
    pub(super) handler_timeout: Option<Duration>,
    /// How often quarantined keys are retried.
    pub(super) quarantine_retry: Option<Duration>,
    /// A handler's `Ok(())` acknowledges nothing; the handler checkpoints itself.
    pub(super) manual: bool,
    /// How records are distributed to lanes.
    pub(super) lanes: Lanes,
    /// Size and delay of batches.
    pub(super) batching: BatchingConfig,
    /// The most records from the first unacknowledged one on; no more are read beyond it.
    pub(super) max_unacknowledged: u64,
    /// The worker's clock.
    pub(super) clock: Arc<dyn Clock>,
    /// For jitter.
    pub(super) rng: fastrand::Rng,
    /// Reads quarantined records again.
    pub(super) reread: RereadFn,
}

impl fmt::Debug for ConsumerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerConfig")
            .field("policy", &self.policy)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

/// Makes a future for each lane of a consumer.
pub(super) fn lanes<P: RecordProcessor>(
    processors: Vec<P>,
    chunks: Prefetch,
    context: &ShardContext,
    delivery: &Arc<ShardDelivery>,
    config: &ConsumerConfig,
    report_gone: &Arc<ReportGone>,
) -> Vec<BoxFuture<'static, ()>> {
    let feed = Feed::new(config.lanes, config.batching, delivery.claim.done.clone());
    let (max_unacknowledged, manual, count) = (config.max_unacknowledged, config.manual, processors.len());
    let source =
        Source::new(feed, chunks, Arc::clone(delivery), Arc::clone(&config.clock), max_unacknowledged, manual, count);
    let mut rng = config.rng.clone();
    let lane = |(index, processor)| -> BoxFuture<'static, ()> {
        let (config, context) = (ConsumerConfig { rng: rng.fork(), ..config.clone() }, context.of_lane(index));
        let (source, delivery, report_gone) = (Arc::clone(&source), Arc::clone(delivery), Arc::clone(report_gone));
        Box::pin(Lane::new(processor, index, source, context, delivery, config, report_gone).run())
    };
    processors.into_iter().enumerate().map(lane).collect()
}
