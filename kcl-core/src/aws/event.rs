//! Defines the events of calls to AWS: calls to the lease table, a start that waits for AWS, the
//! fallback to the SDK's parser.

use crate::telemetry::{Metric, count};
use crate::text::{Cut, cut};
use std::fmt::Display;
use std::time::Duration;
use tracing::{debug, info, trace, warn};

/// A call to the lease table finished. Only counted and traced: there are thousands.
pub(crate) struct TableCall<'a> {
    pub(crate) operation: &'static str,
    pub(crate) table: &'a str,
    pub(crate) outcome: &'static str,
    /// The message of the service or the SDK, if it failed.
    pub(crate) error: Option<&'a str>,
}

impl TableCall<'_> {
    pub(crate) fn emit(&self) {
        let TableCall { operation, table, outcome, error } = *self;
        match error {
            None => trace!(target: "kcl::table", operation, table, outcome, "table called"),
            Some(error) => {
                debug!(target: "kcl::table", operation, table, outcome, error = cut(error), "table call failed");
            }
        }
        count(Metric::TableCalls, 1, &[("operation", operation), ("outcome", outcome)]);
    }
}

/// The lease table was created.
pub(crate) struct TableCreated<'a> {
    pub(crate) table: &'a str,
    pub(crate) deletion_protection: bool,
}

impl TableCreated<'_> {
    pub(crate) fn emit(&self) {
        let TableCreated { table, deletion_protection } = *self;
        info!(target: "kcl::table", table, deletion_protection, "lease table created");
    }
}

/// The lease table has less provisioned throughput than its leases need.
pub(crate) struct TableTooSmall<'a> {
    pub(crate) table: &'a str,
    pub(crate) read_units: i64,
    pub(crate) write_units: i64,
    pub(crate) wanted_read_units: i64,
    pub(crate) wanted_write_units: i64,
}

impl TableTooSmall<'_> {
    pub(crate) fn emit(&self) {
        warn!(
            target: "kcl::table",
            table = self.table,
            read_units = self.read_units,
            write_units = self.write_units,
            wanted_read_units = self.wanted_read_units,
            wanted_write_units = self.wanted_write_units,
            "the lease table's provisioned throughput is too small for its stream: raise it, or switch the table to \
             on-demand; checkpoints will be late until then"
        );
    }
}

/// A start waits for AWS to respond.
pub(crate) struct StartWaiting<'a> {
    pub(crate) operation: &'a str,
    pub(crate) said: &'a str,
    pub(crate) waited: Duration,
    pub(crate) at_most: Duration,
}

impl StartWaiting<'_> {
    pub(crate) fn emit(&self) {
        let (waited_seconds, at_most_seconds) = (self.waited.as_secs_f64(), self.at_most.as_secs_f64());
        warn!(
            target: "kcl::table",
            operation = self.operation,
            said = self.said,
            waited_seconds,
            at_most_seconds,
            "start waiting: AWS does not respond to this call"
        );
    }
}

/// AWS responded to the call that a start waited for.
pub(crate) struct StartResumed {
    pub(crate) waited: Duration,
}

impl StartResumed {
    pub(crate) fn emit(&self) {
        info!(target: "kcl::table", waited_seconds = self.waited.as_secs_f64(), "start resumed");
    }
}

/// The fast parser failed on a response; the SDK's parser is used for the next ones.
pub(crate) struct ParserSuspended<'a> {
    pub(crate) error: &'a dyn Display,
    pub(crate) pause: Duration,
}

impl ParserSuspended<'_> {
    pub(crate) fn emit(self) {
        let ParserSuspended { error, pause } = self;
        let seconds = pause.as_secs_f64();
        let error = Cut(error);
        warn!(target: "kcl::read", %error, pause_seconds = seconds, "fast parser suspended: it failed on a response; using the SDK's parser meanwhile");
        count(Metric::ParserSuspensions, 1, &[]);
    }
}
