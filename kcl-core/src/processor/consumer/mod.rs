//! The consumer of one shard: one lane or several, each of which calls a processor of the user's, one callback after the
//! other, while the lease is held.
//!
//! | part | is |
//! |---|---|
//! | `feed`, `piece` | from what was read to batches for lanes (pure) |
//! | `source` | where lanes get them, reading on when there are none |
//! | `state` | what a lane does and what comes next (pure) |
//! | `lane` | the loop that obeys |
//! | `creation` | making the processors |
//! | `call` | calling the user's code |
//! | `stored` | asking the store of checkpoints |
//! | `judge`, `todo` | from a failure to what becomes of its records |

mod call;
mod creation;
mod disposition;
mod feed;
mod lane;
mod piece;
mod source;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod work_item;

pub(super) use creation::processors;
pub(super) use feed::Batching;
pub(super) use piece::Piece;
pub(super) use stored::starting_position;

use super::concurrency::Lanes;
use super::dead_letter::DeadLetterSink;
use super::delivery::{ReportKind, ShardDelivery};
use super::failure::ErrorPolicy;
use super::store::CheckpointStore;
use super::{RecordProcessor, ShardContext};
use crate::clock::Clock;
use crate::record::{Position, Record};
use crate::retrieval::{CorruptAggregate, Prefetch, ReadError};
use feed::Feed;
use futures_util::future::BoxFuture;
use lane::Lane;
use source::Source;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A decision that makes no sense for the failure at hand means: again, after this at most.
const SENSELESS: Duration = Duration::from_secs(30);

/// A record that was read again, and whether it is one that no handler is to see.
pub(super) type Again = (Record, Option<CorruptAggregate>);

/// Reads one record again.
pub(super) type ReadAgain = Arc<dyn Fn(Position) -> BoxFuture<'static, Result<Option<Again>, ReadError>> + Send + Sync>;

/// Reports `Gone` when it is dropped. Shared by all that must be dropped before: the last one to go says it.
#[derive(Debug)]
pub(super) struct LastWord(pub(super) Arc<ShardDelivery>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.report(ReportKind::Gone);
    }
}

/// What a consumer decides by.
#[derive(Clone)]
pub(super) struct Rules {
    /// What happens when a callback fails.
    pub(super) policy: Arc<dyn ErrorPolicy>,
    /// Where records go that it yields up.
    pub(super) sink: Option<Arc<dyn DeadLetterSink>>,
    /// Where positions are kept beside the lease's row.
    pub(super) store: Option<Arc<dyn CheckpointStore>>,
    /// How long the sink may take for one.
    pub(super) sink_timeout: Option<Duration>,
    /// How long a handler may take for a batch.
    pub(super) handler_timeout: Option<Duration>,
    /// How often parked keys are tried again.
    pub(super) quarantine_retry: Option<Duration>,
    /// A handler's success acknowledges nothing: it says so itself.
    pub(super) manual: bool,
    /// How many handlers work at a time.
    pub(super) lanes: Lanes,
    /// When batches are handed over.
    pub(super) batching: Batching,
    /// Records of a shard that may be open.
    pub(super) window: u64,
    /// Tells how long things took.
    pub(super) clock: Arc<dyn Clock>,
    /// For jitter.
    pub(super) rng: fastrand::Rng,
    /// For what was parked.
    pub(super) read_again: ReadAgain,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("policy", &self.policy).field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// The lanes of a consumer, each to be run.
pub(super) fn lanes<P: RecordProcessor>(
    processors: Vec<P>,
    chunks: Prefetch,
    context: &ShardContext,
    delivery: &Arc<ShardDelivery>,
    rules: &Rules,
    last_word: &Arc<LastWord>,
) -> Vec<BoxFuture<'static, ()>> {
    let feed = Feed::new(rules.lanes, rules.batching, delivery.hold.done.clone());
    let (window, manual, count) = (rules.window, rules.manual, processors.len());
    let source = Source::new(feed, chunks, Arc::clone(delivery), Arc::clone(&rules.clock), window, manual, count);
    let mut rng = rules.rng.clone();
    let lane = |(index, processor)| -> BoxFuture<'static, ()> {
        let (rules, context) = (Rules { rng: rng.fork(), ..rules.clone() }, context.of_lane(index));
        let (source, delivery, last_word) = (Arc::clone(&source), Arc::clone(delivery), Arc::clone(last_word));
        Box::pin(Lane::new(processor, index, source, context, delivery, rules, last_word).run())
    };
    processors.into_iter().enumerate().map(lane).collect()
}
