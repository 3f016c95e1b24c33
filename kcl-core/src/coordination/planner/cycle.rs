//! The planner's cycle: look at the sessions, end the silent ones, read what must be read, plan, tell.

use super::newborn::Newborn;
use super::resting::resting_read;
use super::stage::Stage;
use super::term::{FULL_READ, News, Sent, Term};
use super::view::must_rest;
use crate::clock::Time;
use crate::coordination::effects::{Answer, Effects, Op, Part};
use crate::lease::row::{Fleet, Lease, LeaseKey, RowKey, Session, WorkerId};
use crate::lease::{Consistency, Row, Table, Write, Written, next};
use crate::telemetry::event::coordination::Happening;
use std::collections::{BTreeMap, BTreeSet};

/// The most leases of open promises that are looked at in a cycle.
const MOST_LOOKS: usize = 500;

impl Term {
    /// Begins a cycle, or takes up what a failed call of it left.
    pub(crate) fn on_timer(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        effects.tell(Happening::PlanCycle);
        if self.read_at.is_none() {
            return self.read_table(fleet, effects);
        }
        self.agree_on_settings(fleet, effects);
        self.stage = Stage::Sessions;
        effects.call(Part::Cycle, Op::Read(self.sessions.keys(), Consistency::Eventual));
    }

    pub(crate) fn on_answer(
        &mut self,
        part: &Part,
        answer: Answer,
        fleet: Option<&Fleet>,
        session_beat: u64,
        effects: &mut Effects,
    ) -> News {
        if !matches!(answer, Answer::Failed(_)) {
            self.beat.moved_on();
        }
        if let Part::Shards | Part::Fill | Part::Sync(_) = part {
            let news = self.on_filling(part, answer, effects);
            self.beat.consider(session_beat, self.version, self.settings.longest_cycle, effects);
            return news;
        }
        let news = match (&mut self.stage, part) {
            (Stage::Sessions, Part::Cycle) => self.on_sessions(answer, fleet, effects),
            (Stage::Fencing(_), Part::Fence(worker)) => self.on_fenced(worker, answer, fleet, effects),
            (Stage::Table { .. }, Part::Cycle) => self.on_table(answer, effects),
            (Stage::Promised, Part::Cycle) => self.on_promised(answer, effects),
            (Stage::Telling { .. }, Part::PlanOf(worker)) => self.on_told(worker, answer, effects),
            _ => News::Nothing,
        };
        self.beat.consider(session_beat, self.version, self.settings.longest_cycle, effects);
        news
    }

    fn on_sessions(&mut self, answer: Answer, fleet: Option<&Fleet>, effects: &mut Effects) -> News {
        let Answer::Rows(rows) = answer else { return self.fail(effects) };
        for session in rows.into_iter().flatten().filter_map(into_session) {
            self.end_seen |= self.sessions.see(session, effects.now);
        }
        let silent = self.sessions.silent();
        if silent.is_empty() {
            self.after_sessions(fleet, effects);
        } else {
            self.stage = Stage::Fencing(silent.iter().map(|(worker, ..)| worker.clone()).collect());
            for (worker, number, beat) in silent {
                effects.write(Part::Fence(worker.clone()), Write::Fence { worker, number, beat });
            }
        }
        News::Nothing
    }

    fn on_fenced(&mut self, worker: &WorkerId, answer: Answer, fleet: Option<&Fleet>, effects: &mut Effects) -> News {
        if let Answer::Written(written) = answer {
            let applied = matches!(written, Written::Applied(_));
            let (Written::Applied(row) | Written::Refused(row)) = written;
            if let Some(session) = row.and_then(into_session) {
                if applied {
                    effects.tell(Happening::SessionFenced { worker: worker.clone(), session: session.number });
                }
                self.end_seen |= self.sessions.see(session, effects.now);
            }
        }
        if let Stage::Fencing(left) = &mut self.stage {
            left.remove(worker);
            if left.is_empty() {
                self.after_sessions(fleet, effects);
            }
        }
        News::Nothing
    }

    /// Reads the whole table where it is due, else the leases that are about to be taken.
    fn after_sessions(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        let now = effects.now;
        if self.end_seen {
            self.read_again = Some(now + self.sessions.longest_failover_time());
        }
        let woken = fleet.is_some_and(|fleet| self.wake_noted.is_none_or(|noted| fleet.wake > noted));
        let age = self.read_at.map(|at| now.since(at));
        let due = self.end_seen
            || self.obstructed
            || !self.newborn.is_empty()
            || woken
            || self.read_again.is_some_and(|at| now > at)
            || self.promises.has_overdue(self.settings.bounds, now)
            || age.is_none_or(|age| {
                age >= FULL_READ || (age >= resting_read(self.settings.failover_time) && !self.resting.is_empty())
            });
        if due {
            return self.read_table(fleet, effects);
        }
        if self.promises.has_any_on_the_move() {
            self.stage = Stage::Promised;
            let keys = self.promises.on_the_move().take(MOST_LOOKS).cloned().map(RowKey::Lease).collect();
            return effects.call(Part::Cycle, Op::Read(keys, Consistency::Eventual));
        }
        self.fill_or_plan(effects);
    }

    fn read_table(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        effects.remind(Part::Sessions, effects.now + self.settings.tick);
        // All noted before the read: what comes during it asks for another.
        (self.end_seen, self.obstructed) = (false, false);
        self.confirmed.clear();
        self.stage = Stage::Table { wake: fleet.map_or(0, |fleet| fleet.wake), asked: effects.now };
        effects.call(Part::Cycle, Op::Scan);
    }

    /// A read of the whole table may take longer than silence can bear without a look, and the dead must not live on it.
    pub(crate) fn on_sessions_timer(&self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Table { .. }) {
            effects.call(Part::Sessions, Op::Read(self.sessions.keys(), Consistency::Eventual));
        }
    }

    pub(crate) fn on_sessions_seen(&mut self, answer: Answer, effects: &mut Effects) {
        if let Answer::Rows(rows) = answer {
            for session in rows.into_iter().flatten().filter_map(into_session) {
                self.end_seen |= self.sessions.see(session, effects.now);
            }
        }
        effects.remind(Part::Sessions, effects.now + self.settings.tick);
    }

    fn on_table(&mut self, answer: Answer, effects: &mut Effects) -> News {
        let (Answer::Table(table), Stage::Table { wake, asked }) = (answer, &self.stage) else {
            self.obstructed = true;
            return self.fail(effects);
        };
        self.wake_noted = Some(*wake);
        let asked = *asked;
        if self.read_again.is_some_and(|at| asked > at) {
            self.read_again = None;
        }
        self.read_at = Some(effects.now);
        self.take_in(table, asked, effects);
        self.fill_or_plan(effects);
        News::Nothing
    }

    fn take_in(&mut self, table: Table, asked: Time, effects: &mut Effects) {
        let quiet = self.damaged_told.is_some_and(|at| effects.now.since(at) < FULL_READ);
        for damaged in table.damaged.iter().filter(|_| !quiet) {
            effects.tell(Happening::damaged(damaged));
            self.damaged_told = Some(effects.now);
        }
        if self.sessions.see_all(table.sessions, asked, effects.now) {
            // A new term finds ends that the one before had seen: what those sessions had under way may still land.
            self.read_again = Some(effects.now + self.sessions.longest_failover_time());
        }
        let mut read: BTreeMap<LeaseKey, Lease> =
            table.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect();
        // A page may have been read before them. A parent that is missing would pass for one that is finished and gone.
        for lease in self.confirmed.drain(..) {
            read.entry(lease.key.clone()).or_insert(lease);
        }
        self.newborn = Newborn::of(&self.leases, &read);
        self.leases = read;
        self.waiting.see(&self.leases, effects);
        self.streams = table.streams.into_iter().map(|row| (row.id.clone(), row)).collect();
        self.reclaim(&table.plans, effects);
        self.collect(&table.plans, effects);
        self.discard(table.damaged, effects);
        let must: BTreeSet<LeaseKey> =
            self.leases.values().filter(|lease| must_rest(lease, &self.sessions)).map(|l| l.key.clone()).collect();
        self.resting.keep(|key| must.contains(key));
        for lease in must.iter().filter_map(|key| self.leases.get(key)) {
            self.resting.look(lease, asked);
            if lease.is_foreign() && self.resting.is_moving(&lease.key) {
                let owner = lease.owner.as_ref().map(|owner| owner.worker.clone());
                effects.tell(Happening::ForeignHand { lease: lease.key.clone(), owner });
            }
        }
    }

    fn on_promised(&mut self, answer: Answer, effects: &mut Effects) -> News {
        let Answer::Rows(rows) = answer else { return self.fail(effects) };
        for row in rows.into_iter().flatten() {
            if let Row::Lease(lease) = row {
                let newer = self.leases.get(&lease.key).is_none_or(|known| known.counter <= lease.counter);
                if newer {
                    self.leases.insert(lease.key.clone(), lease);
                }
            }
        }
        self.fill_or_plan(effects);
        News::Nothing
    }

    fn fill_or_plan(&mut self, effects: &mut Effects) {
        self.begin_fill(effects);
        // Before the first fill is complete there is nothing to assign.
        if self.alone.is_some() && !self.filled { self.finish(effects) } else { self.plan(effects) }
    }

    fn on_told(&mut self, worker: &WorkerId, answer: Answer, effects: &mut Effects) -> News {
        let Stage::Telling { left, failed, .. } = &mut self.stage else { return News::Nothing };
        left.remove(worker);
        // A refusal means a newer row: another term's, or our own from an attempt without an answer.
        *failed |= matches!(answer, Answer::Failed(_));
        if let Answer::Written(Written::Refused(Some(Row::Damaged(damaged)))) = &answer
            && damaged.is_ours()
        {
            effects.write(Part::Collect(damaged.key.clone()), Write::Discard(damaged.clone()));
            *failed = true;
        }
        let newer = |row: &Row| row.as_plan().is_some_and(|plan| plan.term > self.number);
        self.obstructed |= matches!(&answer, Answer::Written(Written::Refused(Some(row))) if newer(row));
        if !left.is_empty() {
            return News::Nothing;
        }
        let Stage::Telling { failed, rows, .. } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return News::Nothing;
        };
        // Also after a failure: a row that may have been written must never be written again under its version.
        self.version = next(self.version);
        if failed {
            return self.fail(effects);
        }
        let version = self.version;
        self.sent.extend(rows.into_iter().map(|(worker, orders)| (worker, Sent { version, orders })));
        self.finish(effects);
        News::Nothing
    }

    pub(super) fn finish(&mut self, effects: &mut Effects) {
        self.stage = Stage::Idle;
        if !self.cannot_list(effects.now) {
            self.beat.cycle_ended_well(effects.now);
        }
        let tick = effects.now + effects.jittered(self.settings.tick);
        // Never in a tight loop, whatever a stale read shows.
        let soonest = effects.now + self.settings.tick / 10;
        let at = self.sessions.next_proof().map_or(tick, |proof| tick.min(proof.max(soonest)));
        effects.remind(Part::Cycle, at);
    }

    fn fail(&mut self, effects: &mut Effects) -> News {
        self.stage = Stage::Idle;
        let tick = effects.jittered(self.settings.tick);
        effects.remind(Part::Cycle, effects.now + tick);
        News::Nothing
    }
}

fn into_session(row: Row) -> Option<Session> {
    if let Row::Session(session) = row { Some(session) } else { None }
}
