//! Reads the whole table page by page: repeats a page that fails, and paces pages by what the table grants.
//!
//! Components call [`Effects::read_table`](super::effects::Effects::read_table) and get one
//! [`Answer::Table`](super::call::Answer::Table). [`TableReads`] turns the read into calls for single pages, and their
//! answers into one table. Pure: the coordinator makes the calls.

use super::call::{CallId, Failure, Generation, Op};
use crate::clock::Time;
use crate::lease::{Page, PageToken, Table};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows in a page, unless the table grants less: about as many as fit into the megabyte that a Scan returns at most.
const MOST_ROWS: u32 = 2_000;
/// Few enough that a page fits into the capacity that the smallest table grants in a second.
const FEWEST_ROWS: u32 = 25;
/// The pause after a page that failed. It doubles with each failure, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The timeout of a page. It doubles with each page that times out, up to the longest.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// A read that gets no page for this long is reported, and again after twice as long each time.
const STALLED: Duration = Duration::from_secs(30);
/// Failures in a row after which a read of a worker that shuts down fails.
const FEW_FAILURES: u32 = 3;

/// The rate that the table was seen to grant. It is kept from one read to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    rows: u32,
    pause: Duration,
    timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { rows: MOST_ROWS, pause: Duration::ZERO, timeout: PAGE_TIMEOUT }
    }
}

impl Pace {
    /// A page arrived: the next ones come a little faster and are a little larger.
    fn granted(&mut self, took: Duration) {
        self.rows = (self.rows + self.rows / 4 + 1).min(MOST_ROWS);
        self.pause = self.pause * 3 / 4;
        if self.pause < SHORTEST_PAUSE / 4 {
            self.pause = Duration::ZERO;
        }
        // Not while pages take nearly as long as they may: a shorter timeout would fail them.
        if took < self.timeout / 4 {
            self.timeout = (self.timeout * 3 / 4).max(PAGE_TIMEOUT);
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        match failure {
            // A page larger than what the table grants at once would be throttled each time.
            Failure::Throttled => self.rows = (self.rows / 2).max(FEWEST_ROWS),
            Failure::Unanswered => {
                self.rows = (self.rows / 2).max(FEWEST_ROWS);
                self.timeout = (self.timeout * 2).min(LONGEST_PAGE_TIMEOUT);
            }
            Failure::Refused(_) => {}
        }
    }
}

/// One read under way.
#[derive(Debug)]
struct TableRead {
    generation: Generation,
    table: Table,
    next: Option<PageToken>,
    pages: u32,
    failures: u32,
    /// When the last page arrived, or the read began.
    progress: Time,
    /// When the next report of a stalled read is due, once there was one.
    report_at: Option<Time>,
}

/// The reads under way, by the call that began each.
#[derive(Debug, Default)]
pub(crate) struct TableReads {
    pace: Pace,
    of: BTreeMap<CallId, TableRead>,
}

/// The next step of a read after the call for a page was answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// The next page is due at this time.
    Page { at: Time, report: Option<Report> },
    /// The whole table was read.
    Done { table: Box<Table>, report: Option<Report> },
    /// The read failed; the component that began it decides what follows.
    Failed(Failure),
}

/// The reports for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// No page arrived for long.
    Stalled { pages: u32, stalled: Duration, failure: Failure },
    /// A page arrived again.
    Resumed { stalled: Duration },
}

impl TableReads {
    /// Begins a read of the whole table; returns the call for the first page.
    pub(crate) fn begin(&mut self, id: CallId, generation: Generation, now: Time) -> Op {
        let read = TableRead {
            generation,
            table: Table::default(),
            next: None,
            pages: 0,
            failures: 0,
            progress: now,
            report_at: None,
        };
        self.of.insert(id, read);
        self.page(None)
    }

    /// The call for the next page of this read, if it is under way.
    pub(crate) fn next_page(&self, id: &CallId) -> Option<Op> {
        self.of.get(id).map(|read| self.page(read.next.clone()))
    }

    fn page(&self, after: Option<PageToken>) -> Op {
        Op::Page { after, rows: self.pace.rows, within: self.pace.timeout }
    }

    /// Whether a call with this id, made in this generation, is for a page of a read under way. A read that is not a
    /// leader's may go on in another term than it began in.
    pub(crate) fn awaits(&self, id: &CallId, generation: Generation) -> bool {
        self.of.get(id).is_some_and(|read| {
            read.generation.session == generation.session
                && (read.generation.term == generation.term || !id.is_leaders())
        })
    }

    /// A page arrived, in answer to a call that was sent then.
    pub(crate) fn on_page(
        &mut self,
        id: &CallId,
        page: Page,
        sent: Time,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Option<Next> {
        let read = self.of.get_mut(id)?;
        self.pace.granted(now.since(sent));
        let report = read.report_at.take().map(|_| Report::Resumed { stalled: now.since(read.progress) });
        (read.pages, read.failures, read.progress) = (read.pages + 1, 0, now);
        read.table.append(page.rows);
        match page.next {
            Some(next) => {
                read.next = Some(next);
                Some(Next::Page { at: now + jittered(self.pace.pause, rng), report })
            }
            None => Some(Next::Done { table: Box::new(self.of.remove(id)?.table), report }),
        }
    }

    /// A page failed. `is_registered`: the worker runs, and repeats a refused page like any other.
    pub(crate) fn on_failure(
        &mut self,
        id: &CallId,
        failure: Failure,
        is_registered: bool,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Option<Next> {
        let read = self.of.get_mut(id)?;
        self.pace.failed(&failure);
        read.failures += 1;
        let refused = matches!(failure, Failure::Refused(_)) && !is_registered;
        if refused || read.failures >= most_failures(id) {
            self.of.remove(id);
            return Some(Next::Failed(failure));
        }
        let stalled = now.since(read.progress);
        let report = (now >= read.report_at.unwrap_or(read.progress + STALLED)).then(|| {
            read.report_at = Some(now + stalled.max(STALLED) * 2);
            Report::Stalled { pages: read.pages, stalled, failure }
        });
        Some(Next::Page { at: now + jittered(self.pace.pause, rng), report })
    }
}

/// A process or a user waits for these two reads; all others go on until the table answers.
fn most_failures(id: &CallId) -> u32 {
    if matches!(id, CallId::Departure(_) | CallId::StreamRemoval) { FEW_FAILURES } else { u32::MAX }
}

fn jittered(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    if pause.is_zero() { pause } else { pause.mul_f64(0.75 + 0.5 * rng.f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::call::{DepartureCall, LeaderCall, Refusal, StartCall};
    use crate::lease::MemoryStore;
    use crate::lease::row::{Lease, Row};
    use crate::record::{Checkpoint, ShardId};

    fn table(leases: usize) -> MemoryStore {
        let lease =
            |n: usize| Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
        MemoryStore::of((0..leases).map(|n| Row::Lease(lease(n))))
    }

    /// Reads a whole table. `answer` gets the time of each call and its rows; it returns how long the call takes and
    /// whether it fails. Returns the table, how long the read took, the number of calls, and the reports.
    fn read(
        reads: &mut TableReads,
        store: &MemoryStore,
        mut answer: impl FnMut(Time, u32) -> (Duration, Option<Failure>),
    ) -> (Table, Duration, u32, Vec<Report>) {
        let (mut rng, mut now, mut calls, mut reports) = (fastrand::Rng::with_seed(7), Time::ZERO, 0, Vec::new());
        let id = CallId::Leader(LeaderCall::ReadTable);
        let mut op = reads.begin(id.clone(), Generation::default(), now);
        loop {
            let Op::Page { after, rows, within } = op else { unreachable!() };
            calls += 1;
            let (took, failure) = answer(now, rows);
            let failure = if took > within { Some(Failure::Unanswered) } else { failure };
            let sent = now;
            now = now + took.min(within);
            let next = match failure {
                Some(failure) => reads.on_failure(&id, failure, true, now, &mut rng),
                None => reads.on_page(&id, store.page(after.as_ref(), rows), sent, now, &mut rng),
            };
            match next.unwrap() {
                Next::Page { at, report } => {
                    reports.extend(report);
                    now = at;
                    op = reads.next_page(&id).unwrap();
                }
                Next::Done { table, report } => {
                    reports.extend(report);
                    return (*table, now.since(Time::ZERO), calls, reports);
                }
                Next::Failed(failure) => panic!("{failure:?}"),
            }
        }
    }

    #[test]
    fn a_table_is_read_whole_however_long_a_page_takes() {
        let store = table(10_000);
        for page_ms in [5, 100, 1_000, 10_000, 45_000] {
            let took = Duration::from_millis(page_ms);
            let (table, lasted, calls, _) = read(&mut TableReads::default(), &store, |_, _| (took, None));
            assert_eq!(table, store.table());
            assert!(calls <= 20, "{calls} calls");
            assert!(lasted <= (took + Duration::from_secs(5)) * 20, "{lasted:?} at {took:?} a page");
        }
    }

    #[test]
    fn a_page_that_fails_is_repeated_and_the_read_goes_on() {
        let store = table(10_000);
        let mut n = 0;
        let (table, _, calls, reports) = read(&mut TableReads::default(), &store, |_, _| {
            n += 1;
            let failure = match n % 3 {
                0 => Some(Failure::Throttled),
                1 => Some(Failure::Unanswered),
                _ => None,
            };
            (Duration::from_millis(20), failure)
        });
        assert_eq!(table, store.table());
        let rows_a_page = 10_000 / (calls / 3);
        assert!(rows_a_page >= 20, "{calls} calls for 10,000 rows");
        assert!(reports.is_empty(), "{reports:?}");
    }

    /// A provisioned table without burst: it grants `units` a second, and at most one second's worth at once. A row is
    /// half a kilobyte, so a full page is 256 units.
    #[test]
    fn a_read_is_paced_to_what_a_provisioned_table_grants() {
        let store = table(10_000);
        for units in [60.0, 120.0, 250.0, 600.0] {
            let (mut left, mut at, mut refused) = (0.0_f64, Time::ZERO, 0);
            let (read, lasted, calls, _) = read(&mut TableReads::default(), &store, |now, rows| {
                left = (left + units * now.since(at).as_secs_f64()).min(units);
                at = now;
                let cost = f64::from(rows) * 0.125;
                if cost > left {
                    refused += 1;
                    return (Duration::from_millis(10), Some(Failure::Throttled));
                }
                left -= cost;
                (Duration::from_millis(10), None)
            });
            assert_eq!(read, store.table());
            let ideal = Duration::from_secs_f64(10_000.0 * 0.125 / units);
            assert!(lasted < ideal * 3 + Duration::from_secs(5), "{lasted:?} at {units} units, {ideal:?} at best");
            assert!(refused * 2 <= calls, "{refused} of {calls} calls were refused at {units} units a second");
        }
    }

    #[test]
    fn a_read_that_gets_no_page_for_long_is_reported_less_and_less_often_and_goes_on() {
        let store = table(3_000);
        let outage = Time::ZERO + Duration::from_secs(3_600);
        let (table, lasted, calls, reports) = read(&mut TableReads::default(), &store, |now, _| {
            (Duration::from_millis(10), (now < outage).then_some(Failure::Throttled))
        });
        assert_eq!(table, store.table());
        assert!(lasted < Duration::from_secs(3_600 + 60), "{lasted:?}");
        assert!(calls < 3_600, "{calls} calls in an hour");
        let stalled = reports.iter().filter(|report| matches!(report, Report::Stalled { .. })).count();
        assert!((2..=8).contains(&stalled), "{reports:?}");
        assert!(matches!(reports.last(), Some(Report::Resumed { .. })), "{reports:?}");
    }

    #[test]
    fn a_refusal_ends_the_read_of_a_start_and_not_that_of_a_running_worker() {
        let refusal = Failure::Refused(Refusal { code: None, message: "not allowed".to_owned(), missing: false });
        let (mut reads, mut rng) = (TableReads::default(), fastrand::Rng::with_seed(1));
        let (start, cycle) = (CallId::Start(StartCall::ReadTable), CallId::Leader(LeaderCall::ReadTable));
        reads.begin(start.clone(), Generation::default(), Time::ZERO);
        let next = reads.on_failure(&start, refusal.clone(), false, Time::ZERO, &mut rng);
        assert_eq!(next, Some(Next::Failed(refusal.clone())));
        reads.begin(cycle.clone(), Generation::default(), Time::ZERO);
        let next = reads.on_failure(&cycle, refusal, true, Time::ZERO, &mut rng);
        assert!(matches!(next, Some(Next::Page { .. })), "{next:?}");
    }

    #[test]
    fn the_read_of_a_worker_that_shuts_down_fails_after_three_failures() {
        let (mut reads, mut rng) = (TableReads::default(), fastrand::Rng::with_seed(1));
        let departure = CallId::Departure(DepartureCall::ReadTable);
        reads.begin(departure.clone(), Generation::default(), Time::ZERO);
        let mut fail = || reads.on_failure(&departure, Failure::Throttled, true, Time::ZERO, &mut rng);
        assert!(matches!((fail(), fail()), (Some(Next::Page { .. }), Some(Next::Page { .. }))));
        assert_eq!(fail(), Some(Next::Failed(Failure::Throttled)));
    }

    #[test]
    fn a_read_that_is_not_a_leaders_goes_on_in_the_next_term() {
        let mut reads = TableReads::default();
        let began = Generation { session: 1, term: 1 };
        for id in [CallId::ShardSync, CallId::Leader(LeaderCall::ReadTable)] {
            reads.begin(id, began, Time::ZERO);
        }
        let later = Generation { session: 1, term: 2 };
        assert!(reads.awaits(&CallId::ShardSync, later));
        assert!(!reads.awaits(&CallId::Leader(LeaderCall::ReadTable), later));
        assert!(!reads.awaits(&CallId::ShardSync, Generation { session: 2, term: 1 }));
    }
}
