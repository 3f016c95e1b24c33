//! What the table and the stream clients tell.

use crate::telemetry::metric::{Metric, count};
use tracing::{debug, info, trace, warn};

/// A call to the lease table was answered or refused. Told by its metric: there are thousands.
pub(crate) struct TableCall {
    pub(crate) operation: &'static str,
    pub(crate) outcome: &'static str,
}

impl TableCall {
    pub(crate) fn emit(&self) {
        trace!(operation = self.operation, outcome = self.outcome, "table called");
        count(Metric::TableCalls, 1, &[("operation", self.operation), ("outcome", self.outcome)]);
    }
}

/// The table had no room for a call. The caller backs off; what suffers is told by who suffers.
pub(crate) struct TableThrottled<'a> {
    pub(crate) operation: &'static str,
    pub(crate) table: &'a str,
    pub(crate) said: &'a str,
}

impl TableThrottled<'_> {
    pub(crate) fn emit(&self) {
        debug!(operation = self.operation, table = self.table, said = self.said, "table throttled");
        count(Metric::TableCalls, 1, &[("operation", self.operation), ("outcome", "throttled")]);
    }
}

/// A call to the table got no answer: it may have been done or not.
pub(crate) struct TableUnanswered<'a> {
    pub(crate) operation: &'static str,
    pub(crate) table: &'a str,
    pub(crate) said: &'a str,
}

impl TableUnanswered<'_> {
    pub(crate) fn emit(&self) {
        debug!(operation = self.operation, table = self.table, said = self.said, "table did not answer");
        count(Metric::TableCalls, 1, &[("operation", self.operation), ("outcome", "unanswered")]);
    }
}

/// The lease table was not there, and is now.
pub(crate) struct TableCreated<'a> {
    pub(crate) table: &'a str,
    pub(crate) deletion_protection: bool,
}

impl TableCreated<'_> {
    pub(crate) fn emit(&self) {
        info!(table = self.table, deletion_protection = self.deletion_protection, "lease table created");
    }
}

/// The lease table has provisioned throughput, and less of it than the leases will ask for.
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
