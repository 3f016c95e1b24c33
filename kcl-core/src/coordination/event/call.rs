//! The outcome of the coordination's calls to the lease table and to its streams.

use crate::telemetry::{Line, Scope, Subject, Trouble};
use crate::text::cut;
use tracing::{debug, info, warn};

/// A call of the coordination, to the table or to a stream, returned.
pub(crate) struct CallEnded<'a> {
    /// True for a call to the table.
    pub(crate) to_table: bool,
    /// The error, if it failed.
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
        // The lines of the failing reads already report the outage.
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
