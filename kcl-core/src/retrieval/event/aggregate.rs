//! Events of KPL de-aggregation.

use crate::record::aggregate::Corruption;
use crate::record::{Position, ShardId};
use crate::telemetry::{Metric, count};
use tracing::{debug, warn};

/// Aggregates of a response were de-aggregated.
pub(crate) struct AggregatesTakenApart<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) aggregates: u64,
    /// Records whose hash key lies outside the shard's range.
    pub(crate) foreign: u64,
    /// True if these records were dropped.
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

/// A record has the KPL magic prefix but is not a valid aggregate.
pub(crate) struct AggregateCorrupt<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) position: &'a Position,
    pub(crate) why: Corruption,
    /// True if the error policy decides; otherwise the handler gets the record unchanged.
    pub(crate) fails: bool,
    /// True if this one is logged as a warning: at most one a minute.
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
