//! The seam to whatever keeps the table.

use super::row::{Damaged, Fleet, Lease, Plan, Row, RowKey, Session, StreamRow};
use super::write::{Write, Written};
use async_trait::async_trait;
use std::fmt::Debug;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// May be stale, and may go back: half the price.
    Eventual,
    /// Everything answered before.
    Strong,
}

/// The whole table, as one complete read found it. Rows of unknown kinds are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The leases.
    pub leases: Vec<Lease>,
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The plan rows.
    pub plans: Vec<Plan>,
    /// The streams, where they are several.
    pub streams: Vec<StreamRow>,
    /// The fleet row.
    pub fleet: Option<Fleet>,
    /// What could not be read.
    pub damaged: Vec<Damaged>,
}

impl Table {
    /// Puts a row where it belongs.
    pub fn add(&mut self, row: Row) {
        match row {
            Row::Lease(lease) => self.leases.push(lease),
            Row::Session(session) => self.sessions.push(session),
            Row::Plan(plan) => self.plans.push(plan),
            Row::Stream(stream) => self.streams.push(stream),
            Row::Fleet(fleet) => self.fleet = Some(fleet),
            Row::Damaged(damaged) => self.damaged.push(damaged),
        }
    }
}

/// Keeps the table. Implementations make one attempt a call: the coordination repeats, because only it knows what a
/// repetition means.
///
/// # Cancellation
/// Dropping a future leaves a write that was sent unsettled: it may still be applied.
#[async_trait]
pub trait LeaseStore: Debug + Send + Sync + 'static {
    /// Reads up to 100 rows, in the order asked for; `None` where there is none.
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError>;

    /// Reads the whole table, strongly consistently. An answer is complete; on any failure there is none.
    async fn scan(&self) -> Result<Table, StoreError>;

    /// Makes one conditional write.
    async fn write(&self, write: &Write) -> Result<Written, StoreError>;
}

/// A call that was not answered as asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What the caller should do about it.
    pub kind: StoreErrorKind,
    /// What happened, to which table.
    pub message: String,
    /// Where it came from.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a caller should do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The table has no room for the call now: later, and less often.
    Throttled,
    /// No answer: a write may have been applied or not, or may be applied yet.
    Unanswered,
    /// The service refuses the call: credentials, a permission, a missing table, the request itself. A worker that starts ends
    /// with it. One that runs repeats the call, with growing pauses, until somebody has mended the cause.
    Refused,
}
