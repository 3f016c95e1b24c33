//! The names of all metrics, and the only place that touches the `metrics` facade.

#![allow(clippy::disallowed_macros, reason = "typed events move their metrics through here")]

macro_rules! inventory {
    ($($variant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        /// A metric that the library moves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

            /// The names of its labels.
            #[must_use]
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Metric::$variant => &[$($label),*]),* }
            }

            /// What it tells.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Metric::$variant => $help),* }
            }
        }
    };
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

inventory! {
    LeasesHeld = "kcl.leases.held", Gauge, [], "Leases that this worker holds.";
    LeasesAcquired = "kcl.leases.acquired.total", Counter, ["from"],
        "Leases claimed; `from` is `unowned`, `ended` (a session that is over) or `foreign` (another kind of consumer).";
    LeasesReleased = "kcl.leases.released.total", Counter, ["why"],
        "Leases released in an orderly way; `why` is `planned`, `shutdown`, `consumer gave up`, `stalled`, `stream stopped` or `stream missing`.";
    LeasesLost = "kcl.leases.lost.total", Counter, [], "Leases that another hand took, or that ended with the session.";
    Checkpoints = "kcl.checkpoints.written.total", Counter, [], "Checkpoints written.";
    ShardsEnded = "kcl.shards.ended.total", Counter, [], "Shards read to their end.";
    Stalls = "kcl.stalls.total", Counter, ["stage", "step"],
        "Times a stage of a shard's work stood past its deadline; `stage` is `fetch`, `process`, `acknowledge` or `checkpoint`, `step` what was done: `alarm`, `restart fetch`, `restart consumer` or `give up`.";
    StallSeconds = "kcl.stalls.seconds", Histogram, ["stage"], "How long a stage stood that went on after its deadline.";
    Reconciled = "kcl.reconciled.total", Counter, [], "Leases without a consumer, and consumers without a lease, that were put right.";
    Lingering = "kcl.consumers.lingering.total", Counter, [], "Half minutes that a handler went on after its lease was gone.";
    Beats = "kcl.session.beats.total", Counter, [], "Session beats confirmed.";
    BeatsMissed = "kcl.session.beats.missed.total", Counter, [], "Session beats that got no answer or were throttled.";
    SessionsLost = "kcl.session.lost.total", Counter, [], "Times this worker's session was fenced or its row vanished.";
    SessionsFenced = "kcl.sessions.fenced.total", Counter, [], "Silent sessions that this worker, as planner, ended.";
    TermsTaken = "kcl.planner.terms.total", Counter, [], "Times this worker became the planner.";
    PlanCycles = "kcl.planner.cycles.total", Counter, [], "Planning cycles.";
    LeasesWithoutRoom = "kcl.planner.leases.without_room", Gauge, [],
        "Of the planner: leases that nobody reads and no worker has room for (`max_leases`). Anything but 0 is an alarm.";
    StreamsMissing = "kcl.streams.missing.total", Counter, [], "Times one of several streams was found not to exist any more; its leases rest.";
    TableCalls = "kcl.table.calls.total", Counter, ["operation", "outcome"],
        "Calls to the lease table; `outcome` is `answered`, `throttled`, `unanswered` or `refused`.";
    RowsDamaged = "kcl.table.rows.damaged.total", Counter, [], "Rows that could not be read.";
    Records = "kcl.records.processed.total", Counter, [], "Records acknowledged.";
    Bytes = "kcl.records.bytes.total", Counter, [], "Payload bytes acknowledged.";
    Behind = "kcl.shard.behind.millis", Gauge, ["shard"], "How far behind the tip a shard is read, in milliseconds; `shard` is its lease's key.";
    HandlerSeconds = "kcl.handler.seconds", Histogram, [], "How long a handler took for a batch, in seconds.";
    HandlerFailures = "kcl.handler.failures.total", Counter, ["cause"],
        "Callbacks that failed; `cause` is `error`, `panic`, `timeout`, or `dropped` (a record's handle).";
    LateAcknowledgements = "kcl.acknowledgements.late.total", Counter, [],
        "Records acknowledged after their lease was lost or given up: they come again elsewhere.";
    BatchesSplit = "kcl.batches.split.total", Counter, [], "Batches that failed and were handed over in parts.";
    DeadLetters = "kcl.deadletters.total", Counter, [], "Records that the error policy gave up and the dead-letter sink took.";
    DeadLetterFailures = "kcl.deadletters.failed.total", Counter, [], "Times the dead-letter sink failed; the record waits for it.";
    RecordsParked = "kcl.quarantine.parked.total", Counter, [], "Records put in quarantine.";
    RecordsUnparked = "kcl.quarantine.done.total", Counter, [], "Records in quarantine that were handled or given up in the end.";
    QuarantineFull = "kcl.quarantine.full.total", Counter, [], "Times a record found no room in quarantine; its shard stands.";
    RecordsLost = "kcl.quarantine.lost.total", Counter, [],
        "Records in quarantine that the stream's retention ended. Anything but 0 is a loss.";
    ParkedAging = "kcl.quarantine.aging.total", Counter, [],
        "Minutes that a key was in quarantine while less than a fifth of the stream's retention was left of its first record. Anything but 0 is an alarm.";
    CheckpointStoreFailures = "kcl.checkpoint_store.failed.total", Counter, [],
        "Times the checkpoint store could not be asked; the shard waits for it.";
    Reads = "kcl.reads.total", Counter, [], "Read calls answered, with records or none.";
    ReadFailures = "kcl.reads.failed.total", Counter, ["kind"],
        "Read calls that failed; `kind` is `throttled`, `iterator_expired`, `not_found`, `not_ready`, `refused` or `unavailable`.";
    ParserSuspensions = "kcl.parser.suspended.total", Counter, [],
        "Times the fast parser did not understand an answer; the SDK's parser, which needs more CPU, is used for a while.";
    Aggregates = "kcl.aggregates.total", Counter, [], "Aggregated records that were taken apart.";
    AggregatesCorrupt = "kcl.aggregates.corrupt.total", Counter, [],
        "Records that begin as an aggregate and are none; delivered as they came, or failed, as the settings say.";
    ForeignRecords = "kcl.records.foreign.total", Counter, ["what"],
        "Parts of aggregates whose hash key lies outside of their shard's range; `what` is `delivered` or `dropped`.";
    Subscriptions = "kcl.subscriptions.total", Counter, [], "Fan-out subscriptions that were opened.";
    SubscriptionsLost = "kcl.subscriptions.lost.total", Counter, ["why"],
        "Fan-out subscriptions that are no more; `why` is `ended` (after five minutes), `rotated` (before that), `silent`, `failed` or `contradiction`.";
    SubscribeFailures = "kcl.subscribes.failed.total", Counter, ["kind"], "Subscribe calls that failed; `kind` as for reads.";
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

/// Adds to a counter.
pub(crate) fn count(metric: Metric, n: u64, labels: &[(&'static str, &str)]) {
    debug_assert!(is_listed(metric, MetricKind::Counter, labels), "{metric:?} {labels:?}");
    #[cfg(feature = "metrics")]
    metrics::counter!(metric.name(), owned(labels)).increment(n);
    #[cfg(not(feature = "metrics"))]
    let _ = (n, labels);
}

/// Sets a gauge.
pub(crate) fn gauge(metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
    debug_assert!(is_listed(metric, MetricKind::Gauge, labels), "{metric:?} {labels:?}");
    #[cfg(feature = "metrics")]
    metrics::gauge!(metric.name(), owned(labels)).set(value);
    #[cfg(not(feature = "metrics"))]
    let _ = (value, labels);
}

/// Adds to a distribution.
pub(crate) fn observe(metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
    debug_assert!(is_listed(metric, MetricKind::Histogram, labels), "{metric:?} {labels:?}");
    #[cfg(feature = "metrics")]
    metrics::histogram!(metric.name(), owned(labels)).record(value);
    #[cfg(not(feature = "metrics"))]
    let _ = (value, labels);
}

/// Whether the inventory has it so.
fn is_listed(metric: Metric, kind: MetricKind, labels: &[(&'static str, &str)]) -> bool {
    metric.kind() == kind && labels.iter().map(|(name, _)| name).eq(metric.labels())
}

#[cfg(feature = "metrics")]
fn owned(labels: &[(&'static str, &str)]) -> Vec<metrics::Label> {
    labels.iter().map(|(key, value)| metrics::Label::new(*key, (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The page's table, as it should be.
    fn table() -> Vec<String> {
        let row = |metric: &Metric| {
            let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
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
            include_str!("event/aggregate.rs"),
            include_str!("event/coordination.rs"),
            include_str!("event/delivery.rs"),
            include_str!("event/fanout.rs"),
            include_str!("event/parser.rs"),
            include_str!("event/processing.rs"),
            include_str!("event/table.rs"),
        ];
        for metric in Metric::ALL {
            let moved = format!("(Metric::{metric:?}, ");
            assert!(events.iter().any(|event| event.contains(&moved)), "nothing moves {metric:?}");
        }
    }
}
