//! A handler's word on which records of a batch failed.

use super::BoxError;
use crate::record::{Position, Record};
use std::error::Error;
use std::fmt;

/// Which records of a batch failed; all others are done.
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
///                 outcome.failed(record, "nothing in it");
///             }
///         }
///         outcome.into_result()
///     }
/// }
/// ```
///
/// # Guarantees
/// Records that are not named are acknowledged. Those that are go to the error policy, each with its own error where it
/// comes to dead letters or quarantine; where it says to try again, a batch of only them comes. A record that was not in
/// the batch is ignored.
///
/// # With a checkpoint store
/// A [`CheckpointStore`](crate::CheckpointStore) keeps one position, which says that every record before it is done. So the
/// records that are done are those up to the store's position, whatever the outcome says, and all later ones come again:
/// the first failed record and everything after it. An outcome that names a record which the store's position has already
/// passed stops the worker (KCL-0024), because that record would be skipped: give the outcome to `advance` of `kcl-sql`
/// before the commit, or write failed records to a table of dead letters in the same transaction and return `Ok(())`.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    failed: Vec<(Position, BoxError)>,
}

impl BatchOutcome {
    /// This record failed.
    pub fn failed(&mut self, record: &Record, error: impl Into<BoxError>) {
        self.failed.push((record.position(), error.into()));
    }

    /// Whether none failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Whether this record was named as failed.
    #[must_use]
    pub fn has_failed(&self, record: &Record) -> bool {
        self.error_of(record).is_some()
    }

    /// What a handler returns.
    ///
    /// # Errors
    /// Where a record failed: this outcome itself.
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
