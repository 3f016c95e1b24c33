//! Calls to the lease table, and to a stream by the coordination.

use crate::telemetry::metric::{Metric, count};
use crate::telemetry::outage::{Line, Trouble};
use crate::telemetry::scope::{Scope, Subject};
use crate::telemetry::text::cut;
#[cfg(feature = "aws")]
use std::time::Duration;
use tracing::{debug, info, trace, warn};

/// A call to the lease table came back. Counted and traced only: there are thousands.
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "DynamoDB's store emits it"))]
pub(crate) struct TableCall<'a> {
    pub(crate) operation: &'static str,
    pub(crate) table: &'a str,
    pub(crate) outcome: &'static str,
    /// The service's or the client's own words, where it failed.
    pub(crate) error: Option<&'a str>,
}

#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "DynamoDB's store emits it"))]
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

/// A call of the coordination came back: to the table, or to a stream.
pub(crate) struct CallEnded<'a> {
    /// Whether it went to the table.
    pub(crate) to_table: bool,
    /// Why it failed, if it did.
    pub(crate) failed: Option<(&'static str, &'a str)>,
}

impl CallEnded<'_> {
    pub(crate) fn emit(&self) {
        let (scope, subject) = (Scope::current(), if self.to_table { Subject::Table } else { Subject::StreamCalls });
        let Some((outcome, error)) = self.failed else {
            if let Some(Line::Ended(Trouble { total: failures, lasting, .. })) = scope.recovered(subject, "") {
                let lasted_seconds = lasting.as_secs_f64();
                if self.to_table {
                    info!(target: "kcl::table", failures, lasted_seconds, "lease table answers again");
                } else {
                    info!(target: "kcl::stream", failures, lasted_seconds, "stream answers the coordination again");
                }
            }
            return;
        };
        let error = cut(error);
        // The lines of the reads' trouble say it.
        if !self.to_table && scope.is_in_trouble(Subject::Reads) {
            return debug!(target: "kcl::stream", outcome, error, "call failed");
        }
        let line = scope.failed(subject, "");
        match (line, self.to_table) {
            (Some(Line::Began(Trouble { failures, .. })), true) => {
                warn!(target: "kcl::table", failures, outcome, error, "lease table calls failing; retrying");
            }
            (Some(Line::Continues(Trouble { failures, lasting, .. })), true) => {
                let lasting_seconds = lasting.as_secs_f64();
                warn!(target: "kcl::table", failures, lasting_seconds, outcome, error, "lease table calls still failing");
            }
            (Some(Line::Began(Trouble { failures, .. })), false) => {
                warn!(target: "kcl::stream", failures, outcome, error, "stream calls of the coordination failing; retrying");
            }
            (Some(Line::Continues(Trouble { failures, lasting, .. })), false) => {
                let lasting_seconds = lasting.as_secs_f64();
                warn!(
                    target: "kcl::stream", failures, lasting_seconds, outcome, error,
                    "stream calls of the coordination still failing"
                );
            }
            (Some(Line::Ended(_)) | None, _) => debug!(target: "kcl::table", outcome, error, "call failed"),
        }
    }
}

/// The lease table was not there, and is now.
#[cfg(feature = "aws")]
pub(crate) struct TableCreated<'a> {
    pub(crate) table: &'a str,
    pub(crate) deletion_protection: bool,
}

#[cfg(feature = "aws")]
impl TableCreated<'_> {
    pub(crate) fn emit(&self) {
        let TableCreated { table, deletion_protection } = *self;
        info!(target: "kcl::table", table, deletion_protection, "lease table created");
    }
}

/// The lease table has provisioned throughput, and less of it than the leases will ask for.
#[cfg(feature = "aws")]
pub(crate) struct TableTooSmall<'a> {
    pub(crate) table: &'a str,
    pub(crate) read_units: i64,
    pub(crate) write_units: i64,
    pub(crate) wanted_read_units: i64,
    pub(crate) wanted_write_units: i64,
}

#[cfg(feature = "aws")]
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

/// A worker that starts waits for AWS to answer.
#[cfg(feature = "aws")]
pub(crate) struct StartWaiting<'a> {
    pub(crate) operation: &'a str,
    pub(crate) said: &'a str,
    pub(crate) waited: Duration,
    pub(crate) at_most: Duration,
}

#[cfg(feature = "aws")]
impl StartWaiting<'_> {
    pub(crate) fn emit(&self) {
        let (waited_seconds, at_most_seconds) = (self.waited.as_secs_f64(), self.at_most.as_secs_f64());
        warn!(
            target: "kcl::table",
            operation = self.operation,
            said = self.said,
            waited_seconds,
            at_most_seconds,
            "start waiting: AWS does not answer this call"
        );
    }
}

/// AWS answers the call that a start waited for.
#[cfg(feature = "aws")]
pub(crate) struct StartResumed {
    pub(crate) waited: Duration,
}

#[cfg(feature = "aws")]
impl StartResumed {
    pub(crate) fn emit(&self) {
        info!(target: "kcl::table", waited_seconds = self.waited.as_secs_f64(), "start resumed");
    }
}
