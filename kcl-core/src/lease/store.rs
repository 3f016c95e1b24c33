//! The seam to whatever keeps the table.

use super::row::{Assignment, Damaged, Fleet, Lease, Row, RowKey, Session, StreamRow};
use super::write::{Write, Written};
use async_trait::async_trait;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A read of the whole table by [`LeaseStore::scan`]: attempts at one page, what each may take, and the first pause.
const PAGE_ATTEMPTS: u32 = 10;
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
const PAGE_AGAIN: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Rows in a page of it: about what the megabyte of a DynamoDB page has room for, and a sixteenth of it when throttled.
const ROWS: u32 = 2_000;

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
    pub plans: Vec<Assignment>,
    /// The streams, where they are several.
    pub streams: Vec<StreamRow>,
    /// The fleet row.
    pub fleet: Option<Fleet>,
    /// What could not be read.
    pub damaged: Vec<Damaged>,
}

/// Where the next page of a full read begins. Only the store that made it understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// A token of that text: the key of the last row, for example.
    pub fn new(text: impl Into<String>) -> Self {
        PageToken(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of the table, as [`LeaseStore::scan_page`] found it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Its rows. A page may be empty and yet have a successor.
    pub rows: Table,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<PageToken>,
}

impl Table {
    /// Adds the rows of the next page.
    pub fn append(&mut self, page: Table) {
        let Table { leases, sessions, plans, streams, fleet, damaged } = page;
        self.leases.extend(leases);
        self.sessions.extend(sessions);
        self.plans.extend(plans);
        self.streams.extend(streams);
        self.damaged.extend(damaged);
        self.fleet = fleet.or(self.fleet.take());
    }

    /// Puts a row where it belongs.
    pub fn add(&mut self, row: Row) {
        match row {
            Row::Lease(lease) => self.leases.push(lease),
            Row::Session(session) => self.sessions.push(session),
            Row::Assignment(plan) => self.plans.push(plan),
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

    /// Reads the next page of the whole table, strongly consistently: at most `rows` rows, from `after` on or from the
    /// beginning. Each row of the table is on one page, unless it is written meanwhile.
    ///
    /// The caller bounds the time. A page may take many times as long as a call of one row.
    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError>;

    /// Reads the whole table, page by page. A page that fails is repeated with growing pauses and asked for in smaller
    /// parts; pages that were read are kept.
    ///
    /// # Errors
    /// When the service refuses a page, or when one page failed ten times in a row.
    async fn scan(&self) -> Result<Table, StoreError> {
        let (mut table, mut after, mut failed) = (Table::default(), None, 0);
        loop {
            let rows = ROWS >> failed.min(4);
            let page = timeout(PAGE_TIMEOUT, self.scan_page(after.as_ref(), rows)).await.unwrap_or_else(|_| {
                let message = format!("a page of the lease table was not answered within {PAGE_TIMEOUT:?}");
                Err(StoreError { kind: StoreErrorKind::Unanswered, message, source: None })
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
                    sleep((PAGE_AGAIN * 2_u32.pow(failed)).min(LONGEST_PAUSE)).await;
                    failed += 1;
                }
            }
        }
    }

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
