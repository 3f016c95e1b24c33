//! Full reads of the table, page by page: a page that fails is repeated, and pages are asked for as the table grants them.
//!
//! Parts of the coordination ask for the whole table ([`Op::Scan`]) and get it ([`Answer::Table`]). [`TableReads`] turns
//! the first into calls for single pages, and their answers into the second. Pure: [`super::Coordinator`] makes the calls.

use super::effects::{CallId, Failure, Generation, Op};
use crate::clock::Time;
use crate::lease::{Page, PageToken, Table};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows in a page, unless the table grants less: about what the megabyte of a page has room for.
const MOST_ROWS: u32 = 2_000;
/// Few enough that a page fits into what a table of the smallest size grants in a second.
const FEWEST_ROWS: u32 = 25;
/// After a page that failed the next call waits this long, twice as long each time, and no longer than that.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A page without an answer after so long is given up; one that is repeated for that reason may take longer each time.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// A read that gets no page for so long is reported, and again after twice as long each time.
const STALLED: Duration = Duration::from_secs(30);
/// Failures in a row after which a part that counts its own attempts hears of them.
const FEW_FAILURES: u32 = 3;

/// What the table was seen to grant. Kept from one read to the next.
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
    /// A page came: slowly more of them, and larger ones.
    fn granted(&mut self, took: Duration) {
        self.rows = (self.rows + self.rows / 4 + 1).min(MOST_ROWS);
        self.pause = self.pause * 3 / 4;
        if self.pause < SHORTEST_PAUSE / 4 {
            self.pause = Duration::ZERO;
        }
        // Where pages take nearly as long as they may, less time would only be too little.
        if took < self.timeout / 4 {
            self.timeout = (self.timeout * 3 / 4).max(PAGE_TIMEOUT);
        }
    }

    fn failed(&mut self, failure: &Failure) {
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        match failure {
            // A page that asks for more than the table grants at once would be refused for ever.
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
    life: Generation,
    table: Table,
    next: Option<PageToken>,
    pages: u32,
    failures: u32,
    /// When the last page came, or the read began.
    progress: Time,
    /// When the next report of a stalled read is due, once there was one.
    report_at: Option<Time>,
}

/// Every read under way, by the part that asked for it.
#[derive(Debug, Default)]
pub(crate) struct TableReads {
    pace: Pace,
    of: BTreeMap<CallId, TableRead>,
}

/// What became of a call for a page.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// The next call is due then.
    Ask { at: Time, report: Option<Report> },
    /// The whole table was read.
    Done { table: Box<Table>, report: Option<Report> },
    /// It failed, and the part that asked decides what follows.
    Failed(Failure),
}

/// What operators should know about a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// No page came for long.
    Stalled { pages: u32, stalled: Duration, failure: Failure },
    /// A page came again.
    Resumed { stalled: Duration },
}

impl TableReads {
    /// A part asks for the whole table: the call for the first page.
    pub(crate) fn begin(&mut self, part: CallId, life: Generation, now: Time) -> Op {
        let read = TableRead {
            life,
            table: Table::default(),
            next: None,
            pages: 0,
            failures: 0,
            progress: now,
            report_at: None,
        };
        self.of.insert(part, read);
        self.page(None)
    }

    /// The next call of that part's read, if one is under way.
    pub(crate) fn ask(&self, part: &CallId) -> Option<Op> {
        self.of.get(part).map(|read| self.page(read.next.clone()))
    }

    fn page(&self, after: Option<PageToken>) -> Op {
        Op::Page { after, rows: self.pace.rows, within: self.pace.timeout }
    }

    /// Whether an answer to that part, asked for in that life, is one of a page.
    pub(crate) fn awaits(&self, part: &CallId, life: Generation) -> bool {
        self.of.get(part).is_some_and(|read| read.life == life)
    }

    /// A page came, as the answer to a call that was sent then.
    pub(crate) fn on_page(
        &mut self,
        part: &CallId,
        page: Page,
        sent: Time,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Option<Next> {
        let read = self.of.get_mut(part)?;
        self.pace.granted(now.since(sent));
        let report = read.report_at.take().map(|_| Report::Resumed { stalled: now.since(read.progress) });
        (read.pages, read.failures, read.progress) = (read.pages + 1, 0, now);
        read.table.append(page.rows);
        match page.next {
            Some(next) => {
                read.next = Some(next);
                Some(Next::Ask { at: now + jittered(self.pace.pause, rng), report })
            }
            None => Some(Next::Done { table: Box::new(self.of.remove(part)?.table), report }),
        }
    }

    /// A page failed. `is_registered`: the worker runs, so that a refusal is waited out as any other failure is.
    pub(crate) fn on_failure(
        &mut self,
        part: &CallId,
        failure: Failure,
        is_registered: bool,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> Option<Next> {
        let read = self.of.get_mut(part)?;
        self.pace.failed(&failure);
        read.failures += 1;
        let refused = matches!(failure, Failure::Refused(_)) && !is_registered;
        if refused || read.failures >= patience(part) {
            self.of.remove(part);
            return Some(Next::Failed(failure));
        }
        let stalled = now.since(read.progress);
        let report = (now >= read.report_at.unwrap_or(read.progress + STALLED)).then(|| {
            read.report_at = Some(now + stalled.max(STALLED) * 2);
            Report::Stalled { pages: read.pages, stalled, failure }
        });
        Some(Next::Ask { at: now + jittered(self.pace.pause, rng), report })
    }
}

/// A worker that shuts down waits for its table no longer than it must; everyone else waits until it answers.
fn patience(part: &CallId) -> u32 {
    if matches!(part, CallId::Departure | CallId::StreamRemoval) { FEW_FAILURES } else { u32::MAX }
}

fn jittered(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    if pause.is_zero() { pause } else { pause.mul_f64(0.75 + 0.5 * rng.f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::effects::Refusal;
    use crate::lease::MemoryStore;
    use crate::lease::row::{Lease, Row};
    use crate::record::{Checkpoint, ShardId};

    fn table(leases: usize) -> MemoryStore {
        let lease =
            |n: usize| Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
        MemoryStore::of((0..leases).map(|n| Row::Lease(lease(n))))
    }

    /// Reads a whole table. `answer` says of each call, sent then, how long it acquires and whether it fails. Tells how long
    /// that took, and how many calls.
    fn read(
        reads: &mut TableReads,
        store: &MemoryStore,
        mut answer: impl FnMut(Time, u32) -> (Duration, Option<Failure>),
    ) -> (Table, Duration, u32, Vec<Report>) {
        let (mut rng, mut now, mut calls, mut reports) = (fastrand::Rng::with_seed(7), Time::ZERO, 0, Vec::new());
        let part = CallId::Cycle;
        let mut op = reads.begin(part.clone(), Generation::default(), now);
        loop {
            let Op::Page { after, rows, within } = op else { unreachable!() };
            calls += 1;
            let (took, failure) = answer(now, rows);
            let failure = if took > within { Some(Failure::Unanswered) } else { failure };
            let sent = now;
            now = now + took.min(within);
            let next = match failure {
                Some(failure) => reads.on_failure(&part, failure, true, now, &mut rng),
                None => reads.on_page(&part, store.page(after.as_ref(), rows), sent, now, &mut rng),
            };
            match next.unwrap() {
                Next::Ask { at, report } => {
                    reports.extend(report);
                    now = at;
                    op = reads.ask(&part).unwrap();
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
    fn a_table_is_read_whole_at_any_time_a_page() {
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
    fn a_page_that_fails_is_repeated_and_not_the_read() {
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

    /// A provisioned table without burst: what it grants a second, and no more than one second's worth at once. A row is
    /// half a kilobyte, so that a full page is 256 units.
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
    fn a_read_that_gets_no_page_for_long_is_reported_ever_less_often_and_goes_on() {
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
    fn a_refusal_ends_the_read_of_a_start_and_is_waited_out_by_a_running_worker() {
        let refusal = Failure::Refused(Refusal { code: None, message: "not allowed".to_owned(), missing: false });
        let (mut reads, mut rng) = (TableReads::default(), fastrand::Rng::with_seed(1));
        reads.begin(CallId::Start, Generation::default(), Time::ZERO);
        let next = reads.on_failure(&CallId::Start, refusal.clone(), false, Time::ZERO, &mut rng);
        assert_eq!(next, Some(Next::Failed(refusal.clone())));
        reads.begin(CallId::Cycle, Generation::default(), Time::ZERO);
        let next = reads.on_failure(&CallId::Cycle, refusal, true, Time::ZERO, &mut rng);
        assert!(matches!(next, Some(Next::Ask { .. })), "{next:?}");
    }

    #[test]
    fn a_worker_that_shuts_down_hears_of_a_table_that_does_not_answer() {
        let (mut reads, mut rng) = (TableReads::default(), fastrand::Rng::with_seed(1));
        reads.begin(CallId::Departure, Generation::default(), Time::ZERO);
        let mut fail = || reads.on_failure(&CallId::Departure, Failure::Throttled, true, Time::ZERO, &mut rng);
        assert!(matches!((fail(), fail()), (Some(Next::Ask { .. }), Some(Next::Ask { .. }))));
        assert_eq!(fail(), Some(Next::Failed(Failure::Throttled)));
    }
}
