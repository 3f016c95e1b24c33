//! Orderly shutdown: first the leases, then the session, then the term; the last one out clears the table of what is ours.

use super::cleanup::{clearing, freeing};
use super::effects::{Answer, CallId, Effects, Op};
use super::quarantine::{self, QuarantinedLease};
use crate::clock::Time;
use crate::lease::row::{RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Table, Write, Written};
use std::collections::VecDeque;
use std::time::Duration;

/// A draining worker that is told nothing for so long releases by itself.
const TOLD_NOTHING: Duration = Duration::from_secs(2);
/// What was acknowledged gets so long to be released after the deadline.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(2);
/// A table that does not answer keeps a worker no longer than this after the deadline; the fleet then finds out by itself.
const FAREWELL: Duration = Duration::from_secs(5);
/// Between two looks at how far it is.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Attempts at a farewell that gets no answer; the fleet then finds out by itself.
const ATTEMPTS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Departure {
    me: (WorkerId, SessionNumber),
    /// The term held, if any.
    term: Option<u64>,
    deadline: Time,
    told_at: Time,
    state: State,
    attempts: u32,
    /// Whether a table with keys in quarantine is cleared all the same.
    leaves_parked: bool,
    /// What kept the last one out from clearing it.
    parked: Vec<QuarantinedLease>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Waits for leases to be given up.
    Draining,
    /// As above, without waiting to be told.
    Releasing,
    /// Ends its session.
    Leaving,
    /// Gives its term up.
    Resigning,
    /// Looks whether somebody plans: a leader will look by itself when it goes.
    Asking,
    /// Looks whether it is the last one.
    Looking,
    /// The last one out: these rows, in this order.
    Clearing(VecDeque<Write>),
    /// Tells the leader.
    Waking,
    Gone,
}

/// What the worker is to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    /// Ask every lease to drain by the deadline.
    ReleaseAll,
    /// The deadline is there: close delivery and release what was acknowledged.
    ReleaseNow,
    /// Say departure to the table.
    Depart,
}

impl Departure {
    pub(crate) fn new(me: (WorkerId, SessionNumber), deadline: Time, now: Time) -> Self {
        Departure {
            me,
            term: None,
            deadline,
            told_at: now,
            state: State::Draining,
            attempts: 0,
            leaves_parked: false,
            parked: Vec::new(),
        }
    }

    /// A table with keys in quarantine is cleared all the same.
    pub(crate) fn leaving_parked(self, leaves_parked: bool) -> Self {
        Departure { leaves_parked, ..self }
    }

    /// The keys in quarantine that kept the last one out from clearing the table.
    pub(crate) fn parked(&self) -> &[QuarantinedLease] {
        &self.parked
    }

    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }

    /// Asked again: the earliest deadline counts.
    pub(crate) fn hurry(&mut self, deadline: Time) {
        self.deadline = self.deadline.min(deadline);
    }

    /// The leader told this worker to give something.
    pub(crate) fn told(&mut self, now: Time) {
        self.told_at = now;
    }

    /// Whether it still waits for leases.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Draining | State::Releasing)
    }

    /// Whether there is no time left for a departure.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        now >= self.deadline + FAREWELL
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// What to do, given what is left: leases held or under claim, consumers not gone, whether nobody else lives.
    pub(crate) fn next(&mut self, leases_left: bool, consumers_left: bool, alone: bool, now: Time) -> Next {
        if !self.is_waiting() {
            return Next::Wait;
        }
        if !leases_left && (!consumers_left || now >= self.deadline) {
            return Next::Depart;
        }
        if now >= self.deadline + LAST_WRITES {
            return Next::Depart;
        }
        if now >= self.deadline {
            return Next::ReleaseNow;
        }
        if self.state == State::Draining && (alone || now.since(self.told_at) >= TOLD_NOTHING) {
            self.state = State::Releasing;
            return Next::ReleaseAll;
        }
        Next::Wait
    }

    /// Says departure to the table.
    ///
    /// Sessions end before anybody looks who is left, and a leader resigns before it looks: so of those who leave at
    /// the same time at least one finds that it is the last.
    pub(crate) fn depart(&mut self, term: Option<u64>, effects: &mut Effects) {
        self.term = term;
        self.go_on(State::Leaving, effects);
    }

    fn go_on(&mut self, state: State, effects: &mut Effects) {
        self.state = state;
        self.send(effects);
    }

    fn send(&mut self, effects: &mut Effects) {
        let write = match &self.state {
            State::Leaving => Write::EndSession { worker: self.me.0.clone(), number: self.me.1 },
            State::Resigning => Write::Resign { term: self.term.unwrap_or(0), me: self.me.clone() },
            State::Waking => Write::Wake,
            State::Clearing(writes) => match writes.front() {
                Some(write) => write.clone(),
                None => {
                    self.state = State::Gone;
                    return;
                }
            },
            State::Asking => {
                return effects.call(CallId::Departure, Op::Read(vec![RowKey::Fleet], Consistency::Strong));
            }
            State::Looking => return effects.call(CallId::Departure, Op::Scan),
            State::Draining | State::Releasing | State::Gone => return,
        };
        effects.write(CallId::Departure, write);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        self.send(effects);
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) {
        if matches!(answer, Answer::Failed(_)) && self.attempts < ATTEMPTS {
            self.attempts += 1;
            return effects.remind(CallId::Departure, effects.now + Duration::from_millis(200));
        }
        self.attempts = 0;
        match (&mut self.state, answer) {
            (State::Leaving, _) if self.term.is_none() => self.go_on(State::Asking, effects),
            (State::Leaving, _) => self.go_on(State::Resigning, effects),
            (State::Resigning, _) => self.go_on(State::Looking, effects),
            (State::Asking, Answer::Rows(rows)) => {
                let nobody_plans = rows.iter().flatten().any(|row| match row {
                    Row::Fleet(fleet) => fleet.leader.is_none(),
                    Row::Damaged(_) => true,
                    Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_) => false,
                });
                self.go_on(if nobody_plans { State::Looking } else { State::Waking }, effects);
            }
            (State::Looking, Answer::Table(table)) => {
                let clearing = self.clearing(&table);
                let parked = if self.leaves_parked { Vec::new() } else { quarantine::of_table(&table) };
                let next = match clearing {
                    Some(_) if !parked.is_empty() => {
                        self.parked = parked;
                        State::Waking
                    }
                    Some(writes) => State::Clearing(writes),
                    None => State::Waking,
                };
                self.go_on(next, effects);
            }
            // A row that is gone already was deleted by an attempt without an answer, or by another that leaves.
            (State::Clearing(writes), Answer::Written(Written::Applied(_) | Written::Refused(None))) => {
                writes.pop_front();
                self.send(effects);
            }
            // Freed already, by an attempt without an answer.
            (State::Clearing(writes), Answer::Written(Written::Refused(Some(Row::Lease(lease)))))
                if lease.owner.is_none() =>
            {
                writes.pop_front();
                self.send(effects);
            }
            // Somebody joined, or nothing can be learnt.
            (State::Clearing(_) | State::Asking | State::Looking, _) => self.go_on(State::Waking, effects),
            (State::Waking, _) => self.state = State::Gone,
            (State::Draining | State::Releasing | State::Gone, _) => {}
        }
    }

    /// The writes that leave a plain KCL table; `None` where somebody else lives, or another has cleared it.
    fn clearing(&self, table: &Table) -> Option<VecDeque<Write>> {
        let mine = |worker: &WorkerId, number| *worker == self.me.0 && number == self.me.1;
        let others = table.sessions.iter().any(|s| !mine(&s.worker, s.number) && !s.state.has_ended());
        let there = table.fleet.is_some() || table.damaged.iter().any(|damaged| damaged.key == RowKey::Fleet);
        // A newer version's rows are for its workers to clear away.
        let newer = table.fleet.as_ref().is_some_and(|fleet| fleet.is_too_new().is_some());
        (there && !others && !newer).then(|| freeing(table).chain(clearing(table, Some(&self.me))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{Assignment, Fleet, Session, SessionState};

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn me() -> (WorkerId, SessionNumber) {
        (WorkerId::parse("me").unwrap(), 4)
    }

    fn session(id: &str, number: u64, state: SessionState) -> Session {
        Session {
            worker: WorkerId::parse(id).unwrap(),
            number,
            tag: 0,
            heartbeat: 1,
            state,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
        }
    }

    #[test]
    fn a_worker_that_is_told_nothing_releases_by_itself() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(true, true, false, t(1)), Next::Wait);
        departure.told(t(1));
        assert_eq!(departure.next(true, true, false, t(2)), Next::Wait);
        assert_eq!(departure.next(true, true, false, t(3)), Next::ReleaseAll);
        assert_eq!(departure.next(true, true, false, t(4)), Next::Wait, "once");
    }

    #[test]
    fn a_table_that_does_not_answer_keeps_it_for_five_seconds() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert!(!departure.is_overdue(t(29)) && departure.is_overdue(t(30)));
        departure.hurry(t(9));
        assert!(departure.is_overdue(t(14)));
    }

    #[test]
    fn a_worker_that_is_alone_does_not_wait_to_be_told() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(true, true, true, t(0)), Next::ReleaseAll);
    }

    #[test]
    fn it_departs_when_nothing_is_left_and_never_long_after_the_deadline() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(false, true, false, t(1)), Next::Wait, "a consumer still ends");
        assert_eq!(departure.next(false, false, false, t(1)), Next::Depart);
        assert_eq!(departure.next(true, true, false, t(25)), Next::ReleaseNow);
        assert_eq!(departure.next(true, true, false, t(27)), Next::Depart);
        departure.hurry(t(9));
        assert_eq!(departure.next(true, true, false, t(9)), Next::ReleaseNow);
    }

    #[test]
    fn the_last_one_out_clears_in_order_and_nobody_else_does() {
        let fleet = Fleet::above(6, 4, true);
        let plan = Assignment { worker: me().0, term: 7, version: 1, acquires: vec![], yields: vec![], lists: vec![] };
        let mut table = Table {
            fleet: Some(fleet),
            assignments: vec![plan],
            sessions: vec![session("me", 4, SessionState::Draining), session("a", 2, SessionState::Left)],
            ..Table::default()
        };
        let writes = Departure::new(me(), t(25), t(0)).clearing(&table).unwrap();
        let [plan, ended, fleet, own] = &Vec::from(writes)[..] else { panic!("four writes") };
        assert!(matches!(plan, Write::DeleteAssignment { term: 7, .. }));
        assert!(matches!(ended, Write::DeleteSession { number: 2, own: false, .. }));
        assert!(matches!(fleet, Write::DeleteFleet { term: 7, .. }));
        assert!(matches!(own, Write::DeleteSession { number: 4, own: true, .. }));
        table.sessions.push(session("b", 3, SessionState::Active));
        assert_eq!(Departure::new(me(), t(25), t(0)).clearing(&table), None);
    }

    #[test]
    fn the_last_one_out_frees_what_nobody_could_take_of_those_who_ended() {
        use crate::lease::Lease;
        use crate::lease::row::Owner;
        let of = |shard: &str, worker: &str, session: Option<u64>| {
            let owner = Owner { worker: WorkerId::parse(worker).unwrap(), session };
            let lease = Lease::unowned(shard.into(), crate::record::Checkpoint::TrimHorizon);
            Lease { owner: Some(owner), counter: 5, kcl_counter: Some(5), ..lease }
        };
        let leases = vec![
            of("1", "a", Some(2)),
            // Of an earlier session of the same worker; one without a row; and another hand's.
            of("2", "a", Some(1)),
            of("3", "unknown", Some(1)),
            of("4", "java", None),
        ];
        let sessions = vec![session("me", 4, SessionState::Draining), session("a", 2, SessionState::Fenced)];
        let table = Table { fleet: Some(Fleet::above(6, 4, true)), leases, sessions, ..Table::default() };
        let writes = Departure::new(me(), t(25), t(0)).clearing(&table).unwrap();
        let freed = |write: &Write| {
            if let Write::ClearOwner { lease, counter: 5, from } = write {
                Some((lease.to_string(), from.1))
            } else {
                None
            }
        };
        let freed: Vec<(String, u64)> = writes.iter().filter_map(freed).collect();
        assert_eq!(freed, [("1".to_owned(), 2), ("2".to_owned(), 1)]);
        assert!(matches!(writes[0], Write::ClearOwner { .. }), "before the rows go that say who has ended");
    }

    #[test]
    fn a_table_with_keys_in_quarantine_is_cleared_only_if_that_is_wanted() {
        use crate::lease::row::{CheckpointExtras, QuarantinedKey};
        let key = QuarantinedKey {
            key: None,
            positions: vec![],
            attempts: 1,
            error: String::new(),
            arrived_at_ms: 1,
            wish: None,
            refused: None,
        };
        let extras = CheckpointExtras { parked: vec![key], ..CheckpointExtras::default() };
        let unowned = crate::lease::Lease::unowned("shard".into(), crate::record::Checkpoint::TrimHorizon);
        for leaves in [false, true] {
            let fleet = Some(Fleet { leader: Some(me()), ..Fleet::above(6, 4, true) });
            let leases = vec![crate::lease::Lease { extras: extras.clone(), ..unowned.clone() }];
            let sessions = vec![session("me", 4, SessionState::Draining)];
            let mut table = Table { fleet, leases, sessions, ..Table::default() };
            let departure = Departure::new(me(), t(25), t(0)).leaving_parked(leaves);
            let departure = farewell(departure, Some(7), &mut table);
            assert_eq!((table.fleet.is_none(), departure.parked().is_empty()), (leaves, leaves));
        }
    }

    /// Runs the farewell against a table of rows.
    fn farewell(mut departure: Departure, term: Option<u64>, table: &mut Table) -> Departure {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        departure.depart(term, &mut effects);
        while let Some(call) = effects.take_calls().pop() {
            let answer = match call.op {
                Op::Scan => Answer::Table(table.clone()),
                Op::Read(..) => Answer::Rows(vec![table.fleet.clone().map(Row::Fleet)]),
                Op::List(..) | Op::ReadSome(..) | Op::Page { .. } => unreachable!("nothing of this is asked for"),
                Op::Write(write) => Answer::Written(written(&write, table)),
            };
            departure.on_answer(answer, &mut effects);
        }
        assert!(departure.is_gone());
        departure
    }

    fn written(write: &Write, table: &mut Table) -> Written {
        let written = match write.key() {
            RowKey::Fleet => write.apply(table.fleet.clone().map(Row::Fleet).as_ref()),
            RowKey::Session(worker) => {
                let old = table.sessions.iter().find(|session| session.worker == worker).cloned();
                write.apply(old.map(Row::Session).as_ref())
            }
            RowKey::Assignment(_) | RowKey::Lease(_) | RowKey::Stream(_) => Written::Applied(None),
        };
        if let Written::Applied(row) = &written {
            match (write.key(), row) {
                (RowKey::Fleet, row) => table.fleet = row.as_ref().and_then(|row| row.as_fleet().cloned()),
                (RowKey::Session(worker), row) => {
                    table.sessions.retain(|session| session.worker != worker);
                    table.sessions.extend(row.as_ref().and_then(|row| row.as_session().cloned()));
                }
                (RowKey::Assignment(_) | RowKey::Lease(_) | RowKey::Stream(_), _) => {}
            }
        }
        written
    }

    #[test]
    fn of_two_who_leave_together_the_last_one_clears_the_table_whoever_planned() {
        let other = (WorkerId::parse("b").unwrap(), 3);
        for leader_goes_first in [true, false] {
            let fleet = Fleet { leader: Some(me()), ..Fleet::above(6, 4, true) };
            let term = Some(fleet.term);
            let mut table = Table {
                fleet: Some(fleet),
                sessions: vec![session("me", 4, SessionState::Draining), session("b", 3, SessionState::Draining)],
                ..Table::default()
            };
            let leader = (Departure::new(me(), t(25), t(0)), term);
            let follower = (Departure::new(other.clone(), t(25), t(0)), None);
            let (first, second) = if leader_goes_first { (leader, follower) } else { (follower, leader) };
            farewell(first.0, first.1, &mut table);
            assert!(table.fleet.is_some() && table.sessions.len() == 2, "somebody else is there");
            farewell(second.0, second.1, &mut table);
            assert!(table.fleet.is_none() && table.sessions.is_empty(), "{table:?}");
        }
    }
}
