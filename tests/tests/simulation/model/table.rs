//! The in-memory lease table for one process: with late answers, stale reads, paged reads, or no
//! answer.

use super::refusal;
use crate::world::exchange::{Reply, exchange};
use crate::world::history::{Fact, History, Name};
use crate::world::weather::{Fate, Service, Weather};
use async_trait::async_trait;
use kcl_core::lease::{
    Consistency, LeaseStore, MemoryStore, Page, PageToken, Row, RowKey, StoreError, StoreErrorKind, Table as Rows,
    Write, Written,
};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The maximum age of a stale read.
const OLDEST_READ: Duration = Duration::from_secs(4);

/// Breaks a rule of the table: returns the write to execute instead of the given one, which may
/// depend on the current row.
pub(crate) type Sabotage = fn(Write, Option<&Row>) -> Write;

/// The table. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rows: MemoryStore,
    /// Earlier versions of rows with the time until which each was current, newest last.
    past: Mutex<VecDeque<(Duration, RowKey, Option<Row>)>>,
    history: History,
    sabotage: Option<Sabotage>,
}

impl Table {
    pub(crate) fn new(history: History, sabotage: Option<Sabotage>) -> Self {
        Table { inner: Arc::new(Inner { rows: MemoryStore::default(), past: Mutex::default(), history, sabotage }) }
    }

    /// The current row.
    pub(crate) fn rows(&self) -> Rows {
        self.inner.rows.table()
    }

    pub(crate) fn get(&self, key: &RowKey) -> Option<Row> {
        self.inner.rows.get(key)
    }

    /// An external writer puts or removes a row.
    pub(crate) fn tamper(&self, key: RowKey, row: Option<Row>) {
        let before = self.inner.rows.get(&key);
        match &row {
            Some(row) => self.inner.rows.put(row.clone()),
            None => drop(self.inner.rows.remove(&key)),
        }
        self.inner.changed(None, None, key, before, row);
    }
}

impl Inner {
    fn apply(&self, by: &Name, call: u64, write: Write) -> Written {
        let key = write.key();
        let before = self.rows.get(&key);
        let write = match self.sabotage {
            Some(sabotage) => sabotage(write, before.as_ref()),
            None => write,
        };
        let written = self.rows.apply(&write);
        if let Written::Applied(after) = &written {
            self.changed(Some(by.clone()), Some(call), key, before, after.clone());
        }
        written
    }

    fn changed(&self, by: Option<Name>, call: Option<u64>, key: RowKey, before: Option<Row>, after: Option<Row>) {
        let now = self.history.now();
        let mut past = self.past.lock().unwrap();
        while past.front().is_some_and(|(at, ..)| *at + OLDEST_READ < now) {
            past.pop_front();
        }
        past.push_back((now, key.clone(), before.clone()));
        drop(past);
        self.history.add(Fact::Changed { by, call, key, before, after });
    }

    /// The row as it was that long ago.
    fn stale(&self, key: &RowKey, age: Duration) -> Option<Row> {
        let then = self.history.now().saturating_sub(age);
        let past = self.past.lock().unwrap();
        match past.iter().find(|(until, changed, _)| changed == key && *until > then) {
            Some((_, _, row)) => row.clone(),
            None => self.rows.get(key),
        }
    }

    /// The order of a scan, which is unrelated to the keys.
    fn page_after(&self, cursor: Option<u64>, most: usize) -> (Vec<Row>, Option<u64>) {
        let place = |row: &Row| {
            let mut hasher = DefaultHasher::new();
            row.key().hash(&mut hasher);
            hasher.finish()
        };
        let table = self.rows.table();
        let leases = table.leases.into_iter().map(Row::Lease);
        let sessions = table.sessions.into_iter().map(Row::Session);
        let plans = table.assignments.into_iter().map(Row::Assignment);
        let streams = table.streams.into_iter().map(Row::Stream);
        let damaged = table.damaged.into_iter().map(Row::Damaged);
        let all = leases.chain(sessions).chain(plans).chain(streams).chain(damaged).chain(table.fleet.map(Row::Fleet));
        let mut rest: Vec<(u64, Row)> =
            all.map(|row| (place(&row), row)).filter(|(place, _)| cursor.is_none_or(|after| *place > after)).collect();
        rest.sort_by_key(|(place, _)| *place);
        let next = if rest.len() > most { Some(rest[most - 1].0) } else { None };
        (rest.into_iter().take(most).map(|(_, row)| row).collect(), next)
    }
}

/// One process's client of the table.
#[derive(Debug)]
pub(crate) struct TableSeat {
    table: Arc<Inner>,
    weather: Weather,
    process: Name,
}

impl TableSeat {
    pub(crate) fn new(table: &Table, weather: Weather, process: Name) -> Self {
        TableSeat { table: table.inner.clone(), weather, process }
    }
}

#[async_trait]
impl LeaseStore for TableSeat {
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        let (_, fate) = self.weather.fate(&self.process, Service::Table, "Read");
        let age = match (fate, consistency) {
            (Some(Fate::Stale(age)), Consistency::Eventual) => age,
            _ => Duration::ZERO,
        };
        let (table, keys) = (self.table.clone(), keys.to_vec());
        let effect = async move {
            let row = |key| if age.is_zero() { table.rows.get(key) } else { table.stale(key, age) };
            keys.iter().map(row).collect()
        };
        answer("Read", exchange(&self.weather, fate, effect).await)
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        let (_, fate) = self.weather.fate(&self.process, Service::Table, "Scan");
        let (table, weather) = (self.table.clone(), self.weather.clone());
        let after = after.and_then(|after| after.as_str().parse().ok());
        let effect = async move {
            let most = weather.page().min(rows as usize);
            let time = weather.page_time(after.is_none());
            if !time.is_zero() {
                sleep(time).await;
            }
            let (page, next) = table.page_after(after, most);
            let mut rows = Rows::default();
            page.into_iter().for_each(|row| rows.add(row));
            Page { rows, next: next.map(|next| PageToken::new(next.to_string())) }
        };
        answer("Scan", exchange(&self.weather, fate, effect).await)
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        let operation = name(write);
        let (call, fate) = self.weather.fate(&self.process, Service::Table, operation);
        if !matches!(fate, Some(Fate::LostRequest | Fate::Throttled | Fate::Refused(_) | Fate::Crash { effect: false }))
        {
            self.table.history.add(Fact::Sent { process: self.process.clone(), call, write: write.clone() });
        }
        let (table, process, write) = (self.table.clone(), self.process.clone(), write.clone());
        answer(operation, exchange(&self.weather, fate, async move { table.apply(&process, call, write) }).await)
    }
}

fn answer<T>(operation: &str, reply: Reply<T>) -> Result<T, StoreError> {
    let failed = |kind, message: &str| Err(StoreError { kind, message: message.to_owned(), code: None, source: None });
    match reply {
        Reply::Answer(answer) => Ok(answer),
        Reply::Throttled => failed(StoreErrorKind::Throttled, "the table has no room"),
        Reply::Refused(error) => Err(refusal::of_table(operation, error)),
        Reply::Unavailable | Reply::IteratorExpired => failed(StoreErrorKind::Unanswered, "the table failed"),
    }
}

/// The name of a write in transcripts.
pub(crate) fn name(write: &Write) -> &'static str {
    match write {
        Write::CreateFleet(_) => "CreateFleet",
        Write::NextSessionNumber => "Draw",
        Write::NextSessionNumberAbove(_) => "DrawAbove",
        Write::Wake => "Wake",
        Write::PinStart(_) => "PinStart",
        Write::ChangeSettings { .. } => "ChangeSettings",
        Write::MarkFilled => "Filled",
        Write::PinStream(_) => "PinStream",
        Write::MarkStreamFilled(_) => "StreamFilled",
        Write::DeleteStream(_) => "DeleteStream",
        Write::Register { .. } => "Register",
        Write::Heartbeat { .. } => "Heartbeat",
        Write::Fence { .. } => "Fence",
        Write::EndSession { .. } => "Leave",
        Write::TakeTerm { .. } => "TakeTerm",
        Write::Assignment(_) => "Assignment",
        Write::FleetHeartbeat { .. } => "FleetHeartbeat",
        Write::Resign { .. } => "Resign",
        Write::CreateLease(_) => "CreateLease",
        Write::Claim { .. } => "Claim",
        Write::Checkpoint { .. } => "Checkpoint",
        Write::Release { .. } => "Release",
        Write::ShardEnd { .. } => "ShardEnd",
        Write::QuarantineRequest { .. } => "QuarantineRequest",
        Write::DeleteLease { .. } => "DeleteLease",
        Write::DeleteUnread { .. } => "DeleteUnread",
        Write::DeleteAssignment { .. } => "DeleteAssignment",
        Write::DeleteSession { .. } => "DeleteSession",
        Write::DeleteFleet { .. } => "DeleteFleet",
        Write::Discard(_) => "Discard",
        Write::ClearOwner { .. } => "Disown",
    }
}
