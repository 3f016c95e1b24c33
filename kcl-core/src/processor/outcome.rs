//! Defines the error by which a handler names the records of a batch that failed.

use super::BoxError;
use crate::record::{Position, Record};
use std::error::Error;
use std::fmt;

/// Names the records of a batch that failed; all others are done. Return it as the handler's error.
///
/// ```
/// use kcl_core::{BatchOutcome, prelude::*};
///
/// struct Store;
///
/// impl RecordProcessor for Store {
///     async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
///         let mut outcome = BatchOutcome::default();
///         for record in batch {
///             if record.data.is_empty() {
///                 outcome.failed(record, "empty payload");
///             }
///         }
///         outcome.into_result()
///     }
/// }
/// ```
///
/// # What holds
/// - Records that are not named are acknowledged.
/// - Named records go to the error policy. If it retries, the next batch consists of only them. If
///   it dead-letters or quarantines, each record keeps its own error.
/// - A named record that was not in the batch is ignored.
///
/// # With a checkpoint store
/// A [`CheckpointStore`](crate::CheckpointStore) keeps one position, which says that every record
/// before it is done. The records up to the store's position are then done, whatever the outcome
/// says, and all later ones are delivered again.
///
/// An outcome that names a record which the store's position has already passed stops the worker
/// (KCL-0024), because that record would be skipped. Pass the outcome to `advance` of `kcl-sql`
/// before the commit; or write failed records to a dead-letter table in the same transaction, and
/// return `Ok(())`.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    failed: Vec<(Position, BoxError)>,
}

impl BatchOutcome {
    /// Names a record as failed, with the reason.
    pub fn failed(&mut self, record: &Record, error: impl Into<BoxError>) {
        self.failed.push((record.position(), error.into()));
    }

    /// Whether no record failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Whether this record was named as failed.
    #[must_use]
    pub fn has_failed(&self, record: &Record) -> bool {
        self.error_of(record).is_some()
    }

    /// The handler's result: `Ok(())` if no record failed.
    ///
    /// # Errors
    /// This outcome itself, if a record failed.
    pub fn into_result(self) -> Result<(), BoxError> {
        if self.is_success() { Ok(()) } else { Err(self.into()) }
    }

    pub(crate) fn error_of(&self, record: &Record) -> Option<&BoxError> {
        self.failed.iter().find(|(position, _)| *position == record.position()).map(|(_, error)| error)
    }
}

impl fmt::Display for BatchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed[..] {
            [] => f.write_str("no record failed"),
            [(position, error)] => write!(f, "record {position}: {error}"),
            [(position, error), ..] => {
                write!(f, "{} records failed, the first of them {position}: {error}", self.failed.len())
            }
        }
    }
}

impl Error for BatchOutcome {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failed.first().map(|(_, error)| error.as_ref() as &(dyn Error + 'static))
    }
}
