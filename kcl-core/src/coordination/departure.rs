//! Runs the sequence of an orderly shutdown: release the leases, end the session, resign from the term; the last worker
//! deletes our rows from the table.
//!
//! See docs/protocol/handoff-and-shutdown.md.

use super::backoff::RetryPolicy;
use super::call::{CallId, DepartureCall, Op, Reply, Rows, TimerId};
use super::cleanup::{clearing, freeing};
use super::effects::Effects;
use super::intervals;
use super::quarantine::{self, QuarantinedLease};
use crate::clock::Time;
use crate::lease::row::{RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Table, Write, Written};
use std::collections::VecDeque;

/// Repetitions of a failed call. If they fail too, the fleet finds out by the missing heartbeat.
const REPETITIONS: u32 = 3;

/// The shutdown of one worker.
#[derive(Debug)]
pub(crate) struct Departure {
    me: (WorkerId, SessionNumber),
    /// The term that this worker leads, if any.
    term: Option<u64>,
    deadline: Time,
    /// When the leader last moved a lease away, or the shutdown began.
    moved_at: Time,
    state: State,
    repetitions: u32,
    /// Whether the rows are deleted although keys are in quarantine.
    leaves_quarantined: bool,
    /// The quarantined keys that kept the last worker from deleting the rows.
    quarantined: Vec<QuarantinedLease>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Waits for the leader to move the leases to other workers.
    Draining,
    /// Waits for all leases to be released, without the leader.
    Releasing,
    /// Ends the session.
    EndingSession,
    /// Resigns from the term.
    Resigning,
    /// Reads whether there is a leader: if so, that one is not the last worker, and deletes the rows when it leaves.
    ReadingFleet,
    /// Reads whether this worker is the last one.
    ReadingTable,
    /// Deletes these rows, in this order, as the last worker.
    Deleting(VecDeque<Write>),
    /// Asks the leader to read the table.
    Waking,
    Gone,
}

/// The next command to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Wait,
    /// Drain every lease by the deadline.
    ReleaseAll,
    /// The deadline has passed: close delivery, and release every lease at the acknowledged position.
    ReleaseNow,
    /// End the session, and the rest of the sequence.
    Depart,
}

impl Departure {
    pub(crate) fn new(me: (WorkerId, SessionNumber), deadline: Time, now: Time) -> Self {
        Departure {
            me,
            term: None,
            deadline,
            moved_at: now,
            state: State::Draining,
            repetitions: 0,
            leaves_quarantined: false,
            quarantined: Vec::new(),
        }
    }

    /// Whether the rows are deleted although keys are in quarantine.
    pub(crate) fn leaving_quarantined(self, leaves_quarantined: bool) -> Self {
        Departure { leaves_quarantined, ..self }
    }

    /// The quarantined keys that kept the last worker from deleting the rows.
    pub(crate) fn quarantined(&self) -> &[QuarantinedLease] {
        &self.quarantined
    }

    pub(crate) fn deadline(&self) -> Time {
        self.deadline
    }

    /// The shutdown was requested again: the earliest deadline counts.
    pub(crate) fn hurry(&mut self, deadline: Time) {
        self.deadline = self.deadline.min(deadline);
    }

    /// The leader moves a lease to another worker.
    pub(crate) fn leader_moves_lease(&mut self, now: Time) {
        self.moved_at = now;
    }

    /// Whether the worker still waits for leases.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Draining | State::Releasing)
    }

    /// Whether there is no time left for the rest of the sequence.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        now >= self.deadline + intervals::LAST_CALLS
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// The next command, given whether leases are held or claimed, whether consumers run, and whether this is the only
    /// live worker.
    pub(crate) fn next(&mut self, leases_left: bool, consumers_left: bool, alone: bool, now: Time) -> Next {
        if !self.is_waiting() {
            return Next::Wait;
        }
        if !leases_left && (!consumers_left || now >= self.deadline) {
            return Next::Depart;
        }
        if now >= self.deadline + intervals::LAST_RELEASES {
            return Next::Depart;
        }
        if now >= self.deadline {
            return Next::ReleaseNow;
        }
        if self.state == State::Draining && (alone || now.since(self.moved_at) >= intervals::LEADER_MOVES) {
            self.state = State::Releasing;
            return Next::ReleaseAll;
        }
        Next::Wait
    }

    /// Begins the calls of the sequence.
    ///
    /// A worker ends its session before it reads who is left, and a leader resigns before that. So of the workers that
    /// leave at the same time, at least one finds that it is the last.
    pub(crate) fn depart(&mut self, term: Option<u64>, effects: &mut Effects) {
        self.term = term;
        self.go_on(State::EndingSession, effects);
    }

    fn go_on(&mut self, state: State, effects: &mut Effects) {
        self.state = state;
        self.send(effects);
    }

    fn send(&mut self, effects: &mut Effects) {
        let write = match &self.state {
            State::EndingSession => Write::EndSession { worker: self.me.0.clone(), number: self.me.1 },
            State::Resigning => Write::Resign { term: self.term.unwrap_or(0), me: self.me.clone() },
            State::Waking => Write::Wake,
            State::Deleting(writes) => match writes.front() {
                Some(write) => write.clone(),
                None => {
                    self.state = State::Gone;
                    return;
                }
            },
            State::ReadingFleet => {
                let read = Op::Read(vec![RowKey::Fleet], Consistency::Strong);
                return effects.call(CallId::Departure(DepartureCall::ReadFleet), read);
            }
            State::ReadingTable => return effects.read_table(CallId::Departure(DepartureCall::ReadTable)),
            State::Draining | State::Releasing | State::Gone => return,
        };
        effects.write(CallId::Departure(DepartureCall::Write), write);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        self.send(effects);
    }

    /// Sets the timer to repeat a call that failed. `false`: it did not fail, or was repeated often enough.
    fn repeats(&mut self, failed: bool, effects: &mut Effects) -> bool {
        let repeats = failed && self.repetitions < REPETITIONS;
        self.repetitions = if repeats { self.repetitions + 1 } else { 0 };
        if repeats {
            effects.set_timer(TimerId::Departure, effects.now + RetryPolicy::DEPARTURE.pause(self.repetitions));
        }
        repeats
    }

    pub(crate) fn on_fleet(&mut self, answer: Reply<Rows>, effects: &mut Effects) {
        if self.repeats(answer.is_err(), effects) || self.state != State::ReadingFleet {
            return;
        }
        let leaderless = answer.unwrap_or_default().iter().flatten().any(|row| match row {
            Row::Fleet(fleet) => fleet.leader.is_none(),
            Row::Damaged(_) => true,
            Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_) => false,
        });
        self.go_on(if leaderless { State::ReadingTable } else { State::Waking }, effects);
    }

    pub(crate) fn on_table(&mut self, answer: Reply<Table>, effects: &mut Effects) {
        if self.repeats(answer.is_err(), effects) || self.state != State::ReadingTable {
            return;
        }
        let Ok(table) = answer else { return self.go_on(State::Waking, effects) };
        let quarantined = if self.leaves_quarantined { Vec::new() } else { quarantine::of_table(&table) };
        let next = match self.deletions(&table) {
            Some(_) if !quarantined.is_empty() => {
                self.quarantined = quarantined;
                State::Waking
            }
            Some(writes) => State::Deleting(writes),
            None => State::Waking,
        };
        self.go_on(next, effects);
    }

    pub(crate) fn on_written(&mut self, answer: Reply<Written>, effects: &mut Effects) {
        if self.repeats(answer.is_err(), effects) {
            return;
        }
        match &mut self.state {
            State::EndingSession if self.term.is_none() => self.go_on(State::ReadingFleet, effects),
            State::EndingSession => self.go_on(State::Resigning, effects),
            State::Resigning => self.go_on(State::ReadingTable, effects),
            State::Deleting(writes) => {
                let done = match answer {
                    // A row that is gone was deleted by an attempt without an answer, or by another worker that leaves.
                    Ok(Written::Applied(_) | Written::Refused(None)) => true,
                    // An attempt without an answer removed the owner.
                    Ok(Written::Refused(Some(Row::Lease(lease)))) => lease.owner.is_none(),
                    Ok(Written::Refused(Some(_))) | Err(_) => false,
                };
                if done {
                    writes.pop_front();
                    self.send(effects);
                } else {
                    // A worker joined, or the table does not answer.
                    self.go_on(State::Waking, effects);
                }
            }
            State::Waking => self.state = State::Gone,
            State::ReadingFleet | State::ReadingTable | State::Draining | State::Releasing | State::Gone => {}
        }
    }

    /// The writes that leave a plain KCL table; `None` if another worker lives, or another has deleted the rows.
    fn deletions(&self, table: &Table) -> Option<VecDeque<Write>> {
        let mine = |worker: &WorkerId, number| *worker == self.me.0 && number == self.me.1;
        let others = table.sessions.iter().any(|s| !mine(&s.worker, s.number) && !s.state.has_ended());
        let there = table.fleet.is_some() || table.damaged.iter().any(|damaged| damaged.key == RowKey::Fleet);
        // Workers of a newer version delete their own rows.
        let newer = table.fleet.as_ref().is_some_and(|fleet| fleet.is_too_new().is_some());
        (there && !others && !newer).then(|| freeing(table).chain(clearing(table, Some(&self.me))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{Assignment, Fleet, Session, SessionState};

    fn t(seconds: u64) -> Time {
        Time::from_origin(std::time::Duration::from_secs(seconds))
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
    fn a_worker_releases_its_leases_when_the_leader_moves_none_for_two_seconds() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(true, true, false, t(1)), Next::Wait);
        departure.leader_moves_lease(t(1));
        assert_eq!(departure.next(true, true, false, t(2)), Next::Wait);
        assert_eq!(departure.next(true, true, false, t(3)), Next::ReleaseAll);
        assert_eq!(departure.next(true, true, false, t(4)), Next::Wait, "once");
    }

    #[test]
    fn a_table_that_does_not_answer_delays_the_end_by_five_seconds() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert!(!departure.is_overdue(t(29)) && departure.is_overdue(t(30)));
        departure.hurry(t(9));
        assert!(departure.is_overdue(t(14)));
    }

    #[test]
    fn the_only_worker_does_not_wait_for_a_leader_to_move_its_leases() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(true, true, true, t(0)), Next::ReleaseAll);
    }

    #[test]
    fn a_worker_departs_when_no_lease_is_left_and_at_most_two_seconds_after_the_deadline() {
        let mut departure = Departure::new(me(), t(25), t(0));
        assert_eq!(departure.next(false, true, false, t(1)), Next::Wait, "a consumer still runs");
        assert_eq!(departure.next(false, false, false, t(1)), Next::Depart);
        assert_eq!(departure.next(true, true, false, t(25)), Next::ReleaseNow);
        assert_eq!(departure.next(true, true, false, t(27)), Next::Depart);
        departure.hurry(t(9));
        assert_eq!(departure.next(true, true, false, t(9)), Next::ReleaseNow);
    }

    #[test]
    fn only_the_last_worker_deletes_the_rows_and_in_order() {
        let fleet = Fleet::above(6, 4, true);
        let plan = Assignment { worker: me().0, term: 7, version: 1, acquires: vec![], yields: vec![], lists: vec![] };
        let mut table = Table {
            fleet: Some(fleet),
            assignments: vec![plan],
            sessions: vec![session("me", 4, SessionState::Draining), session("a", 2, SessionState::Left)],
            ..Table::default()
        };
        let writes = Departure::new(me(), t(25), t(0)).deletions(&table).unwrap();
        let [plan, ended, fleet, own] = &Vec::from(writes)[..] else { panic!("four writes") };
        assert!(matches!(plan, Write::DeleteAssignment { term: 7, .. }));
        assert!(matches!(ended, Write::DeleteSession { number: 2, own: false, .. }));
        assert!(matches!(fleet, Write::DeleteFleet { term: 7, .. }));
        assert!(matches!(own, Write::DeleteSession { number: 4, own: true, .. }));
        table.sessions.push(session("b", 3, SessionState::Active));
        assert_eq!(Departure::new(me(), t(25), t(0)).deletions(&table), None);
    }

    #[test]
    fn the_last_worker_removes_ended_owners_from_leases() {
        use crate::lease::Lease;
        use crate::lease::row::Owner;
        let of = |shard: &str, worker: &str, session: Option<u64>| {
            let owner = Owner { worker: WorkerId::parse(worker).unwrap(), session };
            let lease = Lease::unowned(shard.into(), crate::record::Checkpoint::TrimHorizon);
            Lease { owner: Some(owner), counter: 5, kcl_counter: Some(5), ..lease }
        };
        let leases = vec![
            of("1", "a", Some(2)),
            // Of an earlier session of the same worker; of a worker without a row; of an external writer.
            of("2", "a", Some(1)),
            of("3", "unknown", Some(1)),
            of("4", "java", None),
        ];
        let sessions = vec![session("me", 4, SessionState::Draining), session("a", 2, SessionState::Fenced)];
        let table = Table { fleet: Some(Fleet::above(6, 4, true)), leases, sessions, ..Table::default() };
        let writes = Departure::new(me(), t(25), t(0)).deletions(&table).unwrap();
        let freed = |write: &Write| {
            if let Write::ClearOwner { lease, counter: 5, from } = write {
                Some((lease.to_string(), from.1))
            } else {
                None
            }
        };
        let freed: Vec<(String, u64)> = writes.iter().filter_map(freed).collect();
        assert_eq!(freed, [("1".to_owned(), 2), ("2".to_owned(), 1)]);
        assert!(matches!(writes[0], Write::ClearOwner { .. }), "before the rows that show which sessions have ended");
    }

    #[test]
    fn the_rows_of_a_table_with_quarantined_keys_are_deleted_only_if_the_setting_is_on() {
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
            let departure = Departure::new(me(), t(25), t(0)).leaving_quarantined(leaves);
            let departure = depart(departure, Some(7), &mut table);
            assert_eq!((table.fleet.is_none(), departure.quarantined().is_empty()), (leaves, leaves));
        }
    }

    /// Runs the calls of the departure against a table of rows.
    fn depart(mut departure: Departure, term: Option<u64>, table: &mut Table) -> Departure {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        departure.depart(term, &mut effects);
        while let Some(call) = effects.take_calls().pop() {
            match call.op {
                Op::Page { .. } => departure.on_table(Ok(table.clone()), &mut effects),
                Op::Read(..) => departure.on_fleet(Ok(vec![table.fleet.clone().map(Row::Fleet)]), &mut effects),
                Op::List(..) | Op::ReadSome(..) => unreachable!("a departure makes no such call"),
                Op::Write(write) => departure.on_written(Ok(written(&write, table)), &mut effects),
            }
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
    fn of_two_workers_that_leave_together_the_last_one_deletes_the_rows_whichever_led() {
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
            depart(first.0, first.1, &mut table);
            assert!(table.fleet.is_some() && table.sessions.len() == 2, "another worker is there");
            depart(second.0, second.1, &mut table);
            assert!(table.fleet.is_none() && table.sessions.is_empty(), "{table:?}");
        }
    }
}
