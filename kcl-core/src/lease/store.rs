//! Defines [`LeaseStore`], the trait of the stores that keep the lease table.

use super::row::{Assignment, Damaged, Fleet, Lease, Row, RowKey, Session, StreamRow};
use super::write::{Write, Written};
use crate::error::Code;
use async_trait::async_trait;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Limits of [`LeaseStore::scan`] for one page: attempts, time for one attempt, and the pause after
/// the first failure.
const PAGE_ATTEMPTS: u32 = 10;
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Rows of one page: about as many as fit into DynamoDB's page of 1 MB (AWS: Scan). Failures shrink
/// the page to a sixteenth.
const ROWS: u32 = 2_000;

/// How fresh the rows of a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Rows may be stale, and older than those of an earlier read. Costs half of a strong read.
    Eventual,
    /// Rows reflect every write that was answered before the read.
    Strong,
}

/// The whole table, as one complete read returned it. Rows of unknown kinds are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The leases.
    pub leases: Vec<Lease>,
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The assignment rows.
    pub assignments: Vec<Assignment>,
    /// The stream rows of a table with several streams.
    pub streams: Vec<StreamRow>,
    /// The fleet row.
    pub fleet: Option<Fleet>,
    /// The rows that could not be decoded.
    pub damaged: Vec<Damaged>,
}

/// Where the next page of a full read begins. Only the store that made it can interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// Creates a token: the key of the last row, for example.
    pub fn new(text: impl Into<String>) -> Self {
        PageToken(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of the table, as [`LeaseStore::scan_page`] returned it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The rows. A page may be empty although another page follows.
    pub rows: Table,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<PageToken>,
}

impl Table {
    /// Adds the rows of the next page.
    pub fn append(&mut self, page: Table) {
        let Table { leases, sessions, assignments, streams, fleet, damaged } = page;
        self.leases.extend(leases);
        self.sessions.extend(sessions);
        self.assignments.extend(assignments);
        self.streams.extend(streams);
        self.damaged.extend(damaged);
        self.fleet = fleet.or(self.fleet.take());
    }

    /// Adds one row.
    pub fn add(&mut self, row: Row) {
        match row {
            Row::Lease(lease) => self.leases.push(lease),
            Row::Session(session) => self.sessions.push(session),
            Row::Assignment(plan) => self.assignments.push(plan),
            Row::Stream(stream) => self.streams.push(stream),
            Row::Fleet(fleet) => self.fleet = Some(fleet),
            Row::Damaged(damaged) => self.damaged.push(damaged),
        }
    }
}

/// Keeps a lease table.
///
/// [`MemoryStore`](super::MemoryStore) and `aws::DynamoDbStore` implement it. Its methods are
/// public with the feature `unstable-store` only.
///
/// An implementation makes one attempt per call. The coordination retries, because only it knows
/// whether a write may be repeated.
///
/// # Cancellation
/// Dropping the future of a write leaves the write's outcome unknown: it may still be applied.
#[async_trait]
pub trait LeaseStore: Debug + Send + Sync + 'static {
    /// Reads up to 100 rows, in the order asked for; `None` where there is none.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError>;

    /// Reads the next page of the whole table, strongly consistently: at most `rows` rows, starting
    /// after `after` or at the beginning. Every row of the table is on one page, unless it is
    /// written during the read.
    ///
    /// The caller bounds the time. A page may take many times as long as a call of one row.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError>;

    /// Reads the whole table, page by page. A page that fails is retried with growing pauses and
    /// fewer rows; earlier pages are kept.
    ///
    /// # Errors
    /// When the service refuses a page, or when one page failed ten times in a row.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    async fn scan(&self) -> Result<Table, StoreError> {
        let (mut table, mut after, mut failed) = (Table::default(), None, 0);
        loop {
            let rows = ROWS >> failed.min(4);
            let page = timeout(PAGE_TIMEOUT, self.scan_page(after.as_ref(), rows)).await.unwrap_or_else(|_| {
                let message = format!("a page of the lease table was not answered within {PAGE_TIMEOUT:?}");
                Err(StoreError { kind: StoreErrorKind::Unanswered, message, code: None, source: None })
            });
            match page {
                Ok(page) => {
                    failed = 0;
                    table.append(page.rows);
                    match page.next {
                        Some(next) => after = Some(next),
                        None => return Ok(table),
                    }
                }
                Err(error) if error.kind == StoreErrorKind::Refused || failed + 1 >= PAGE_ATTEMPTS => {
                    return Err(error);
                }
                Err(_) => {
                    sleep((FIRST_PAUSE * 2_u32.pow(failed)).min(LONGEST_PAUSE)).await;
                    failed += 1;
                }
            }
        }
    }

    /// Makes one conditional write.
    #[cfg_attr(not(feature = "unstable-store"), doc(hidden))]
    async fn write(&self, write: &Write) -> Result<Written, StoreError>;
}

/// A failed call of a lease store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// How the caller should react.
    pub kind: StoreErrorKind,
    /// The failure and the table.
    pub message: String,
    /// The page about it, if one is known.
    pub code: Option<Code>,
    /// The underlying error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// How a caller should react to a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The table is over its throughput: retry later, and less often.
    Throttled,
    /// No answer: a write may have been applied, may not have been, or may still be applied.
    Unanswered,
    /// The service refuses the call: credentials, a permission, a missing table, or the request
    /// itself. A worker that is starting ends with this error. A running worker retries with
    /// growing pauses until an operator has removed the cause.
    Refused,
}
