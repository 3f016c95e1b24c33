//! Aggregates of the KPL.

use crate::record::aggregate::Corruption;
use crate::record::{Position, ShardId};
use crate::telemetry::metric::{Metric, count};
use tracing::{debug, warn};

/// Aggregates were taken apart.
pub(crate) struct AggregatesTakenApart<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) aggregates: u64,
    /// Parts whose hash key lies outside of the shard's range.
    pub(crate) foreign: u64,
    /// Whether they were left out.
    pub(crate) dropped: bool,
}

impl AggregatesTakenApart<'_> {
    pub(crate) fn emit(self) {
        let AggregatesTakenApart { shard, aggregates, foreign, dropped } = self;
        count(Metric::Aggregates, aggregates, &[]);
        if foreign > 0 {
            debug!(target: "kcl::read", %shard, foreign, dropped, "parts of aggregates belong to other shards");
            let what = if dropped { "dropped" } else { "delivered" };
            count(Metric::ForeignRecords, foreign, &[("what", what)]);
        }
    }
}

/// A record begins as an aggregate, and is none.
pub(crate) struct AggregateCorrupt<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) why: Corruption,
    /// Whether the error policy decides; else the handler gets it as it came.
    pub(crate) fails: bool,
    /// Whether this one is a warning: at most one a minute is.
    pub(crate) warn: bool,
}

impl AggregateCorrupt<'_> {
    pub(crate) fn emit(self) {
        let AggregateCorrupt { shard, position, why, fails, warn } = self;
        if warn {
            warn!(target: "kcl::read", %shard, %position, %why, fails, "aggregate is corrupt");
        } else {
            debug!(target: "kcl::read", %shard, %position, %why, fails, "aggregate is corrupt");
        }
        count(Metric::AggregatesCorrupt, 1, &[]);
    }
}
