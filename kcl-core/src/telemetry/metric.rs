//! The names of all metrics, and the only place that touches the `metrics` facade.

#![allow(clippy::disallowed_macros, reason = "typed events move their metrics through here")]

macro_rules! inventory {
    ($($variant:ident = $name:literal, $kind:ident, $help:literal;)*) => {
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
    LeasesHeld = "kcl.leases.held", Gauge, "Leases that this worker holds.";
    LeasesAcquired = "kcl.leases.acquired.total", Counter, "Leases claimed, by `from` (unowned, ended, orphan, foreign).";
    LeasesReleased = "kcl.leases.released.total", Counter, "Leases released in an orderly way, by `why`.";
    LeasesLost = "kcl.leases.lost.total", Counter, "Leases that another hand took, or that ended with the session.";
    Checkpoints = "kcl.checkpoints.written.total", Counter, "Checkpoints written.";
    ShardsEnded = "kcl.shards.ended.total", Counter, "Shards read to their end.";
    Beats = "kcl.session.beats.total", Counter, "Session beats confirmed.";
    BeatsMissed = "kcl.session.beats.missed.total", Counter, "Session beats that got no answer or were throttled.";
    SessionsLost = "kcl.session.lost.total", Counter, "Times this worker's session was fenced or its row vanished.";
    SessionsFenced = "kcl.sessions.fenced.total", Counter, "Silent sessions that this worker, as planner, ended.";
    TermsTaken = "kcl.planner.terms.total", Counter, "Times this worker became the planner.";
    PlanCycles = "kcl.planner.cycles.total", Counter, "Planning cycles.";
    TableCalls = "kcl.table.calls.total", Counter, "Calls to the lease table, by `operation` and `outcome`.";
    RowsDamaged = "kcl.table.rows.damaged.total", Counter, "Rows that could not be read.";
    Records = "kcl.records.processed.total", Counter, "Records acknowledged.";
    Bytes = "kcl.records.bytes.total", Counter, "Payload bytes acknowledged.";
    Behind = "kcl.shard.behind.millis", Gauge, "How far behind the tip a shard is read, by `shard`.";
    HandlerSeconds = "kcl.handler.seconds", Histogram, "How long a handler took for a batch.";
    HandlerFailures = "kcl.handler.failures.total", Counter, "Batches that a handler failed, by `cause` (error, panic).";
    Reads = "kcl.reads.total", Counter, "Read calls answered, by `outcome`.";
    ReadFailures = "kcl.reads.failed.total", Counter, "Read calls that failed, by `kind`.";
}

/// Adds to a counter.
pub(crate) fn count(metric: Metric, n: u64, labels: &[(&'static str, &str)]) {
    debug_assert_eq!(metric.kind(), MetricKind::Counter);
    #[cfg(feature = "metrics")]
    metrics::counter!(metric.name(), owned(labels)).increment(n);
    #[cfg(not(feature = "metrics"))]
    let _ = (n, labels);
}

/// Sets a gauge.
pub(crate) fn gauge(metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
    debug_assert_eq!(metric.kind(), MetricKind::Gauge);
    #[cfg(feature = "metrics")]
    metrics::gauge!(metric.name(), owned(labels)).set(value);
    #[cfg(not(feature = "metrics"))]
    let _ = (value, labels);
}

/// Adds to a distribution.
pub(crate) fn observe(metric: Metric, value: f64, labels: &[(&'static str, &str)]) {
    debug_assert_eq!(metric.kind(), MetricKind::Histogram);
    #[cfg(feature = "metrics")]
    metrics::histogram!(metric.name(), owned(labels)).record(value);
    #[cfg(not(feature = "metrics"))]
    let _ = (value, labels);
}

#[cfg(feature = "metrics")]
fn owned(labels: &[(&'static str, &str)]) -> Vec<metrics::Label> {
    labels.iter().map(|(key, value)| metrics::Label::new(*key, (*value).to_owned())).collect()
}
