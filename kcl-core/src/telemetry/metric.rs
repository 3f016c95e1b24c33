//! The names of all metrics, and the only place that touches the `metrics` facade.

#![allow(clippy::disallowed_macros, reason = "typed events move their metrics through here")]

use super::scope::Scope;
#[cfg(feature = "metrics")]
use super::scope::Series;
use crate::lease::LeaseKey;

macro_rules! inventory {
    ($($variant:ident = $name:literal, $scope:ident $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        /// A metric that the library moves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Metric { $(#[doc = $help] $variant,)* }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name),* }
            }

            /// What it is.
            #[must_use]
            pub const fn kind(self) -> MetricKind {
                match self { $(Metric::$variant => MetricKind::$kind),* }
            }

            /// The names of its labels, those included that tell whose it is.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => labels!($scope, $($label),*)),* }
            }

            /// What it measures.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help),* }
            }
        }
    };
}

/// The labels of a metric: all say which application and worker it is of, most which stream as well.
macro_rules! labels {
    (Worker, $($label:literal),*) => { &["application", "worker", $($label),*] };
    (Stream, $($label:literal),*) => { &["application", "worker", "stream", $($label),*] };
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

inventory! {
    LeasesHeld = "kcl.leases.held", Stream Gauge, [], "Leases that this worker holds.";
    LeasesAcquired = "kcl.leases.acquired.total", Stream Counter, ["from"],
        "Leases claimed; `from` is `unowned`, `ended` (a session that is over) or `foreign` (another kind of consumer).";
    LeasesReleased = "kcl.leases.released.total", Stream Counter, ["why"],
        "Leases released in an orderly way; `why` is `planned`, `shutdown`, `consumer gave up`, `stalled`, `unreadable`, `stream stopped` or `stream missing`.";
    LeasesLost = "kcl.leases.lost.total", Stream Counter, [], "Leases that an external writer took, or that ended with the session.";
    LeasesUnreadable = "kcl.leases.unreadable", Worker Gauge, [],
        "Leases that this worker holds and whose shards cannot be read: refused, or not answered for half a minute. Anything but 0 is an alarm.";
    Checkpoints = "kcl.checkpoints.written.total", Stream Counter, [], "Checkpoints written.";
    ShardsEnded = "kcl.shards.ended.total", Stream Counter, [], "Shards read to their end.";
    EndsInDoubt = "kcl.shards.end_in_doubt.total", Stream Counter, [],
        "Minutes, after the first 10 s, in which reads say that a shard ended or is not found and the lists of shards do not confirm it. Anything but 0 is an alarm.";
    ListsUnusable = "kcl.shards.lists_unusable.total", Worker Counter, [],
        "Lists of shards that were empty, or in which shards are their own ancestors.";
    ShardsUncovered = "kcl.shards.uncovered.total", Worker Counter, [],
        "Lists of shards after which some hash keys had no unfinished lease. Anything but 0 is an alarm: nobody reads their records.";
    EndedShardsOpen = "kcl.shards.ended_open.total", Worker Counter, [],
        "Times a shard was listed as open whose lease is at SHARD_END. Anything but 0 is an alarm: nobody reads its new records.";
    LeasesWaiting = "kcl.leader.leases.waiting", Worker Gauge, [],
        "Of the leader: leases that are not read because a parent of their shard is not finished.";
    LeasesInCircle = "kcl.leases.in_circle.total", Worker Counter, [],
        "Minutes in which leases waited for parents that wait for them. Anything but 0 is an alarm.";
    Stalls = "kcl.stalls.total", Stream Counter, ["stage", "step"],
        "Times a stage of a shard's work passed its deadline; `stage` is `fetch`, `process`, `acknowledge` or `checkpoint`, `step` what was done: `alarm`, `restart fetch`, `restart consumer` or `give up`.";
    StallSeconds = "kcl.stalls.seconds", Stream Histogram, ["stage"], "How long a stage was stalled that went on after its deadline.";
    Reconciled = "kcl.reconciled.total", Stream Counter, [], "Leases without a consumer, and consumers without a lease, that were put right.";
    Lingering = "kcl.consumers.lingering.total", Stream Counter, [], "Half minutes that a handler went on after its lease was gone.";
    Heartbeats = "kcl.heartbeats.total", Worker Counter, [], "Heartbeats confirmed.";
    HeartbeatsMissed = "kcl.heartbeats.missed.total", Worker Counter, [], "Heartbeats that were not answered, throttled or refused.";
    SessionsLost = "kcl.sessions.lost.total", Worker Counter, [], "Times this worker's session was fenced or its row vanished.";
    SessionsFenced = "kcl.sessions.fenced.total", Worker Counter, [], "Sessions without heartbeats that this worker, as leader, ended.";
    TermsTaken = "kcl.leader.terms.total", Worker Counter, [], "Times this worker became the leader.";
    PlanCycles = "kcl.leader.cycles.total", Worker Counter, [], "Cycles of assignment.";
    PlanCyclesFailed = "kcl.leader.cycles.failed.total", Worker Counter, [],
        "Reports of a leader whose cycles fail one after the other: nobody assigns leases meanwhile. An alarm.";
    LeasesUnassignable = "kcl.leader.leases.unassignable", Worker Gauge, [],
        "Of the leader: leases that nobody reads and no worker has capacity for (`max_leases`). Anything but 0 is an alarm.";
    StreamsMissing = "kcl.streams.missing.total", Stream Counter, [], "Times one of several streams was found not to exist any more; its leases are released.";
    TableCalls = "kcl.table.calls.total", Worker Counter, ["operation", "outcome"],
        "Calls to the lease table; `outcome` is `answered`, `throttled`, `unanswered` or `refused`.";
    TableReadsStalled = "kcl.table.reads.stalled.total", Worker Counter, [],
        "Reports of a read of the whole table that got no page for 30 seconds or longer. An alarm.";
    RowsDamaged = "kcl.table.rows.damaged.total", Worker Counter, [], "Rows that could not be read.";
    Records = "kcl.records.processed.total", Stream Counter, [], "Records acknowledged.";
    Bytes = "kcl.records.bytes.total", Stream Counter, [], "Payload bytes acknowledged.";
    Behind = "kcl.shard.behind.seconds", Stream Gauge, ["shard"],
        "How far a shard is behind: the age of the oldest record that was read and is not acknowledged, or the time since the last answer and what it was behind the tip, whichever is more. It rises while nothing is read or handled, and is near 0 on a shard that is caught up; `shard` is its lease's key.";
    Unacknowledged = "kcl.shard.unacknowledged.seconds", Stream Gauge, ["shard"],
        "The age of the oldest record of a shard that was read and is not acknowledged; 0 where there is none.";
    HandlerSeconds = "kcl.handler.seconds", Stream Histogram, [], "How long a handler took for a batch.";
    HandlerFailures = "kcl.handler.failures.total", Stream Counter, ["cause"],
        "Callbacks that failed; `cause` is `error`, `panic`, `timeout`, or `dropped` (a record's handle).";
    LateAcknowledgements = "kcl.acknowledgements.late.total", Stream Counter, [],
        "Records acknowledged after their lease was lost or given up: they come again elsewhere.";
    BatchesSplit = "kcl.batches.split.total", Stream Counter, [], "Batches that failed and were handed over in parts.";
    DeadLetters = "kcl.deadletters.total", Stream Counter, [], "Records that the error policy gave up and the dead-letter sink took.";
    DeadLetterFailures = "kcl.deadletters.failed.total", Stream Counter, [], "Times the dead-letter sink failed; the record waits for it.";
    RecordsParked = "kcl.quarantine.parked.total", Stream Counter, [], "Records put in quarantine.";
    RecordsUnparked = "kcl.quarantine.done.total", Stream Counter, [], "Records in quarantine that were handled or given up in the end.";
    QuarantineFull = "kcl.quarantine.full.total", Stream Counter, [], "Times a record found no room in quarantine; its shard is blocked.";
    RecordsLost = "kcl.quarantine.lost.total", Stream Counter, [],
        "Records in quarantine that the stream's retention ended. Anything but 0 is a loss.";
    ParkedAging = "kcl.quarantine.aging.total", Stream Counter, [],
        "Minutes that a key was in quarantine while less than a fifth of the stream's retention was left of its first record. Anything but 0 is an alarm.";
    QuarantineRecords = "kcl.quarantine.records", Stream Gauge, [], "Records in quarantine now, of the shards that this worker holds.";
    QuarantineOldest = "kcl.quarantine.oldest.seconds", Stream Gauge, [], "The age of the oldest of them; 0 where there is none.";
    RetentionNear = "kcl.retention.near.total", Stream Counter, [],
        "Minutes, of each shard, that the oldest record to be handled had passed four fifths of the stream's retention. Anything but 0 is an alarm.";
    RecordsExpired = "kcl.retention.expired.total", Stream Counter, ["evidence"],
        "Times that the stream's retention ended records before they were read; `evidence` is `position` (the shard was read on behind a pause longer than the retention) or `checkpoint` (the record of a checkpoint is gone: later ones may be too). Anything but 0 is a loss, or may be one.";
    ExpiredSeconds = "kcl.retention.expired.seconds", Stream Histogram, [], "The time in which the records arrived that were lost so.";
    CheckpointStoreFailures = "kcl.checkpoint_store.failed.total", Stream Counter, [],
        "Times the checkpoint store could not be asked; the shard waits for it.";
    Reads = "kcl.reads.total", Stream Counter, [], "Read calls answered, with records or none.";
    ReadFailures = "kcl.reads.failed.total", Stream Counter, ["kind"],
        "Read calls that failed; `kind` is `throttled`, `iterator_expired`, `not_found`, `not_ready`, `denied`, `refused`, `position_refused`, `start_ahead` or `unavailable`.";
    ParserSuspensions = "kcl.parser.suspended.total", Stream Counter, [],
        "Times the fast parser did not understand an answer; the SDK's parser, which needs more CPU, is used for a while.";
    Aggregates = "kcl.aggregates.total", Stream Counter, [], "Aggregated records that were taken apart.";
    AggregatesCorrupt = "kcl.aggregates.corrupt.total", Stream Counter, [],
        "Records that begin as an aggregate and are none; delivered as they came, or failed, as the settings say.";
    ForeignRecords = "kcl.records.foreign.total", Stream Counter, ["what"],
        "Parts of aggregates whose hash key lies outside of their shard's range; `what` is `delivered` or `dropped`.";
    Subscriptions = "kcl.subscriptions.total", Stream Counter, [], "Fan-out subscriptions that were opened.";
    SubscriptionsLost = "kcl.subscriptions.lost.total", Stream Counter, ["why"],
        "Fan-out subscriptions that are no more; `why` is `ended` (after five minutes), `rotated` (before that), `silent`, `failed` or `contradiction`.";
    SubscribeFailures = "kcl.subscribes.failed.total", Stream Counter, ["kind"], "Subscribe calls that failed; `kind` as for reads.";
}

impl MetricKind {
    /// Its name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

impl Scope {
    /// Adds to a counter.
    pub(crate) fn count(&self, metric: Metric, n: u64, labels: &[(&'static str, &str)]) {
        debug_assert!(is_listed(metric, MetricKind::Counter, labels), "{metric:?} {labels:?}");
        #[cfg(feature = "metrics")]
        metrics::counter!(metric.name(), all(self, metric, labels)).increment(n);
        #[cfg(not(feature = "metrics"))]
        let _ = n;
    }

    /// Sets a gauge. It is 0 again once its shard, stream or worker ends.
    pub(crate) fn gauge(&self, metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
        debug_assert!(is_listed(metric, MetricKind::Gauge, labels), "{metric:?} {labels:?}");
        #[cfg(feature = "metrics")]
        {
            self.remember(metric, labels);
            metrics::gauge!(metric.name(), all(self, metric, labels)).set(value);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = value;
    }

    /// Adds to a distribution.
    pub(crate) fn observe(&self, metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
        debug_assert!(is_listed(metric, MetricKind::Histogram, labels), "{metric:?} {labels:?}");
        #[cfg(feature = "metrics")]
        metrics::histogram!(metric.name(), all(self, metric, labels)).record(value);
        #[cfg(not(feature = "metrics"))]
        let _ = value;
    }

    // The facade cannot take a series back. 0 is what sums and alarms expect of one that has ended, and, unlike NaN, what
    // every recorder can export.

    /// Sets the gauges of a shard, by its lease, to 0: this worker does not hold it any more.
    pub(crate) fn end_gauges_of(&self, lease: &LeaseKey) {
        #[cfg(feature = "metrics")]
        self.end(|series| series.labels.iter().any(|(name, value)| *name == "shard" && **value == *lease.as_str()));
        #[cfg(not(feature = "metrics"))]
        let _ = lease;
    }

    /// Sets all gauges of the worker to 0: it ends.
    pub(crate) fn end_all_gauges(&self) {
        #[cfg(feature = "metrics")]
        self.end(|_| true);
    }

    #[cfg(feature = "metrics")]
    fn end(&self, ends: impl Fn(&Series) -> bool) {
        for (scope, Series { metric, labels, .. }) in self.forget(ends) {
            let labels: Vec<(&'static str, &str)> =
                labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
            metrics::gauge!(metric.name(), all(&scope, metric, &labels)).set(0.0);
        }
    }
}

/// Adds to a counter, in the scope of the task that runs.
pub(crate) fn count(metric: Metric, n: u64, labels: &[(&'static str, &str)]) {
    Scope::current().count(metric, n, labels);
}

/// Sets a gauge, in the scope of the task that runs.
pub(crate) fn gauge(metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
    Scope::current().gauge(metric, value, labels);
}

/// Whether the inventory has it so.
fn is_listed(metric: Metric, kind: MetricKind, labels: &[(&'static str, &str)]) -> bool {
    let own = metric.labels().iter().filter(|name| !SCOPE.contains(name));
    metric.kind() == kind && labels.iter().map(|(name, _)| name).eq(own)
}

/// The labels that tell whose a metric is.
const SCOPE: [&str; 3] = ["application", "worker", "stream"];

#[cfg(feature = "metrics")]
fn all(scope: &Scope, metric: Metric, own: &[(&'static str, &str)]) -> Vec<metrics::Label> {
    let of_scope = scope.labels().into_iter().filter(|(name, _)| metric.labels().contains(name));
    let of_scope = of_scope.map(|(name, value)| metrics::Label::new(name, value));
    of_scope.chain(own.iter().map(|(name, value)| metrics::Label::new(*name, (*value).to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The page's table, as it should be.
    fn table() -> Vec<String> {
        let row = |metric: &Metric| {
            let own = metric.labels().iter().filter(|name| !["application", "worker"].contains(name));
            let labels: Vec<String> = own.map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name(), metric.kind().as_str());
            format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), metric.help())
        };
        let head = ["| name | kind | labels | what it tells |", "|---|---|---|---|"].map(str::to_owned);
        head.into_iter().chain(Metric::ALL.iter().map(row)).collect()
    }

    #[test]
    fn the_page_lists_exactly_the_metrics_there_are() {
        let page: Vec<&str> = include_str!("METRICS.md").lines().filter(|line| line.starts_with('|')).collect();
        let table = table();
        assert!(page == table, "the table of METRICS.md should be:\n{}", table.join("\n"));
    }

    #[test]
    fn names_are_given_once_and_counters_end_in_total() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(metric.name().ends_with(".total"), metric.kind() == MetricKind::Counter, "{metric:?}");
        }
    }

    #[test]
    fn an_event_moves_every_metric() {
        let events = [
            include_str!("../aws/event.rs"),
            include_str!("../coordination/event.rs"),
            include_str!("../processor/event/delivery.rs"),
            include_str!("../processor/event/processing.rs"),
            include_str!("../retrieval/event/aggregate.rs"),
            include_str!("../retrieval/event/fan_out.rs"),
            include_str!("../retrieval/event/reading.rs"),
        ];
        for metric in Metric::ALL {
            let moved = format!("(Metric::{metric:?}, ");
            assert!(events.iter().any(|event| event.contains(&moved)), "nothing moves {metric:?}");
        }
    }
}
