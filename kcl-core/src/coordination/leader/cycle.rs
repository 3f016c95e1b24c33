//! The leader's cycle: look at the sessions, end the silent ones, read what must be read, plan, tell.

use super::problem::must_rest;
use super::sessions::OwnerIs;
use super::stage::{Reading, Stage};
use super::stale_owners::resting_read;
use super::term::{FULL_READ, Failing, Sent, Term, TermEvent};
use super::unconfirmed_children::UnconfirmedChildren;
use crate::clock::Time;
use crate::coordination::effects::{Answer, CallId, Effects, Op};
use crate::lease::row::{Fleet, Lease, LeaseKey, RowKey, Session, WorkerId};
use crate::lease::{Consistency, Page, Row, Table, Write, Written, next};
use crate::telemetry::event::coordination::CoordinationEvent;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most leases that are read by their keys in a cycle.
const MOST_LOOKS: usize = 500;
/// A full read that acquires longer does not come before everything else: what can be planned without it is planned first.
const SLOW_READ: Duration = Duration::from_secs(1);
/// A slow table is read no more than this share of the time, unless something asks for a read.
const READ_SHARE: u32 = 10;
/// The leader stays so long without a page; then another worker may try. Longer than any one page may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(120);
/// Full reads since the last good cycle whose time is not counted against the leader. A plan may need the read that
/// shows a session's end and the one that confirms it.
const EXCUSED_READS: u32 = 3;
/// Failed cycles in a row that are reported, and the pause between two reports.
const FAILED_CYCLES: u32 = 3;
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// More sessions than this that end in one cycle are reported by their number.
const REPORTED_ONE_BY_ONE: u32 = 10;

impl Term {
    /// Begins a cycle, or acquires up what a failed call of it left.
    pub(crate) fn on_timer(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        effects.tell(CoordinationEvent::PlanCycle);
        if self.read_at.is_none() {
            return self.read_table(fleet, effects);
        }
        self.agree_on_settings(fleet, effects);
        self.stage = Stage::Sessions;
        effects.call(CallId::Cycle, Op::ReadSome(self.sessions.keys(), Consistency::Eventual));
    }

    pub(crate) fn on_answer(
        &mut self,
        part: &CallId,
        answer: Answer,
        fleet: Option<&Fleet>,
        session_heartbeat: u64,
        effects: &mut Effects,
    ) -> TermEvent {
        if !matches!(answer, Answer::Failed(_)) {
            self.heartbeat.moved_on();
        }
        if let CallId::Shards | CallId::SyncPass | CallId::Sync(_) = part {
            let news = self.on_filling(part, answer, effects);
            self.heartbeat.consider(session_heartbeat, self.version, self.settings.longest_cycle, effects);
            return news;
        }
        let news = match (&mut self.stage, part) {
            (Stage::Sessions, CallId::Cycle) => self.on_sessions(answer, fleet, effects),
            (_, CallId::Fence(worker)) => self.on_fenced(worker, answer, fleet, effects),
            (Stage::Table(_), CallId::Cycle) => self.on_table(answer, effects),
            (Stage::Looking { .. }, CallId::Cycle) => self.on_looked(answer, effects),
            (Stage::Telling { .. }, CallId::PlanOf(worker)) => self.on_told(worker, answer, effects),
            _ => TermEvent::Nothing,
        };
        if mutated!(NotesWakesLate) && matches!(self.stage, Stage::Idle) {
            self.wake_noted = fleet.map(|fleet| fleet.wake);
        }
        self.heartbeat.consider(session_heartbeat, self.version, self.settings.longest_cycle, effects);
        news
    }

    fn on_sessions(&mut self, answer: Answer, fleet: Option<&Fleet>, effects: &mut Effects) -> TermEvent {
        let Answer::Rows(rows) = answer else { return self.fail(effects) };
        for session in rows.into_iter().flatten().filter_map(into_session) {
            self.end_seen |= self.sessions.see(session, effects.now);
        }
        let silent = self.fence_silent(effects);
        if silent.is_empty() {
            self.after_sessions(fleet, effects);
        } else {
            self.stage = Stage::Fencing(silent);
        }
        TermEvent::Nothing
    }

    /// Ends the sessions that were silent for long enough. Tells which are being ended now.
    fn fence_silent(&mut self, effects: &mut Effects) -> BTreeSet<WorkerId> {
        let owners: BTreeSet<&WorkerId> =
            self.leases.values().filter_map(|lease| Some(&lease.owner.as_ref()?.worker)).collect();
        let silent = self.sessions.silent(&effects.contact, |session| owners.contains(&session.worker));
        let mut ending = BTreeSet::new();
        for (worker, number, heartbeat) in silent {
            // One call at a time for each: a table that is slow in answering gets no second one.
            if self.fencing.insert(worker.clone()) {
                effects
                    .write(CallId::Fence(worker.clone()), Write::Fence { worker: worker.clone(), number, heartbeat });
            }
            ending.insert(worker);
        }
        ending
    }

    fn on_fenced(
        &mut self,
        worker: &WorkerId,
        answer: Answer,
        fleet: Option<&Fleet>,
        effects: &mut Effects,
    ) -> TermEvent {
        self.fencing.remove(worker);
        if let Answer::Written(written) = answer {
            let applied = matches!(written, Written::Applied(_));
            let (Written::Applied(row) | Written::Refused(row)) = written;
            if let Some(session) = row.and_then(into_session) {
                if applied {
                    self.ended += 1;
                    if self.ended <= REPORTED_ONE_BY_ONE {
                        effects
                            .tell(CoordinationEvent::SessionFenced { worker: worker.clone(), session: session.number });
                    }
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
        TermEvent::Nothing
    }

    /// Reads the whole table where it is due, else the leases that are about to be taken.
    fn after_sessions(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        let now = effects.now;
        if mutated!(SkipsReadAtEnd) {
            self.end_seen = false;
        }
        if self.end_seen {
            self.read_again = Some(now + self.sessions.longest_failover_time());
        }
        let woken = fleet.is_some_and(|fleet| self.wake_noted.is_none_or(|noted| fleet.wake > noted));
        let slow = self.read_took >= SLOW_READ;
        let overdue = self.pending_moves.has_overdue(self.settings.bounds, now);
        let due = self.end_seen
            || self.obstructed
            || !self.unconfirmed_children.is_empty()
            || woken
            || self.read_again.is_some_and(|at| now > at && !mutated!(SkipsSecondRead))
            || (overdue && !slow)
            || self.is_read_due(now);
        if due && (!slow || std::mem::take(&mut self.planned_first)) {
            return self.read_table(fleet, effects);
        }
        self.planned_first = due;
        self.look_or_plan(overdue || due, effects);
    }

    /// Whether the whole table must be read, although nothing asks for it: for what was changed by hand, and for leases
    /// without an owner that can be asked, where they are too many to be read by their keys.
    fn is_read_due(&self, now: Time) -> bool {
        let Some(read_at) = self.read_at else { return true };
        let age = now.since(read_at);
        let often = resting_read(self.settings.failover_time).max(self.read_took);
        let resting = self.resting.by_key().is_none()
            && age >= often
            && self.resting.next_proof(self.settings.patience).is_some_and(|at| now >= at);
        age >= FULL_READ.max(self.read_took * READ_SHARE) || resting
    }

    /// Reads by their keys the leases that are about to change owner or may have become free, then plans.
    /// `surely`: what is decided from them must not be decided from a stale read.
    fn look_or_plan(&mut self, surely: bool, effects: &mut Effects) {
        let now = effects.now;
        let mut keys: BTreeSet<RowKey> = BTreeSet::new();
        let resting_at = self.looked_at.max(self.read_at);
        let resting_due = resting_at.is_none_or(|at| now.since(at) >= resting_read(self.settings.failover_time))
            || self.resting.next_proof(self.settings.patience).is_some_and(|at| now >= at);
        if let Some(resting) = self.resting.by_key().filter(|_| resting_due && !self.resting.is_empty()) {
            self.looked_at = Some(now);
            for lease in resting.filter_map(|key| self.leases.get(key)) {
                keys.insert(RowKey::Lease(lease.key.clone()));
                keys.extend(lease.owner.as_ref().map(|owner| RowKey::Session(owner.worker.clone())));
            }
        }
        let surely = surely || !keys.is_empty();
        let moving = self.pending_moves.overdue(self.settings.bounds, now).chain(self.pending_moves.on_the_move());
        keys.extend(moving.take(MOST_LOOKS).cloned().map(RowKey::Lease));
        if self.planned_first {
            // What a session that ended owned, as far as that is known: not to wait for a slow read.
            let ended = self.leases.values().filter(|lease| {
                let owner = lease.owner.as_ref().filter(|_| !lease.checkpoint.is_shard_end());
                owner.is_some_and(|owner| self.sessions.owner_is(owner) == OwnerIs::Ended)
            });
            keys.extend(ended.take(MOST_LOOKS).map(|lease| RowKey::Lease(lease.key.clone())));
        }
        if keys.is_empty() {
            return self.fill_or_plan(effects);
        }
        self.stage = Stage::Looking { asked: now };
        let consistency = if surely { Consistency::Strong } else { Consistency::Eventual };
        effects.call(CallId::Cycle, Op::ReadSome(keys.into_iter().collect(), consistency));
    }

    fn read_table(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        effects.remind(CallId::Sessions, effects.now + self.settings.tick);
        // All noted before the read: what comes during it asks for another.
        (self.end_seen, self.obstructed) = (false, false);
        self.confirmed.clear();
        self.planned_first = false;
        self.reads += 1;
        let (wake, now) = (fleet.map_or(0, |fleet| fleet.wake), effects.now);
        self.stage =
            Stage::Table(Reading { wake, asked: now, progress: now, failed: false, excused: now, end_seen: false });
        effects.call(CallId::Cycle, Op::Scan);
    }

    /// A read of the whole table may take longer than staleness can bear without a look, and the dead must not live on it.
    pub(crate) fn on_sessions_timer(&self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Table(_)) {
            effects.call(CallId::Sessions, Op::ReadSome(self.sessions.keys(), Consistency::Eventual));
        }
    }

    pub(crate) fn on_sessions_seen(&mut self, answer: Answer, session_heartbeat: u64, effects: &mut Effects) {
        if let Answer::Rows(rows) = answer {
            for session in rows.into_iter().flatten().filter_map(into_session) {
                self.end_seen |= self.sessions.see(session, effects.now);
            }
            if matches!(self.stage, Stage::Table(_)) {
                self.fence_silent(effects);
                self.read_goes_on(session_heartbeat, effects);
            }
        }
        effects.remind(CallId::Sessions, effects.now + self.settings.tick);
    }

    /// A page of the full read under way, as an answer to a call that was sent then.
    pub(crate) fn on_page(&mut self, page: &Page, sent: Time, session_heartbeat: u64, effects: &mut Effects) {
        let Stage::Table(reading) = &mut self.stage else { return };
        (reading.progress, reading.failed) = (effects.now, false);
        reading.end_seen |= self.sessions.see_page(&page.rows.sessions, effects.now);
        for lease in &page.rows.leases {
            self.pending_moves.shown(&lease.key, sent);
            // Who of the owners can be asked is known once all sessions were read.
            if lease.owner.is_some() && !lease.checkpoint.is_shard_end() {
                self.resting.look(lease, sent, effects.now, &effects.contact);
            }
        }
        self.read_goes_on(session_heartbeat, effects);
    }

    /// A page of the full read under way was not answered, or refused.
    pub(crate) fn on_page_failed(&mut self) {
        if let Stage::Table(reading) = &mut self.stage {
            reading.failed = true;
        }
    }

    /// A table that is slow to read is no fault of the leader: its successor would only begin the same read again. The
    /// fleet row says that it lives, as long as pages come. Time in which they fail counts against it until one comes.
    fn read_goes_on(&mut self, session_heartbeat: u64, effects: &mut Effects) {
        let Stage::Table(reading) = &mut self.stage else { return };
        self.heartbeat.moved_on();
        let waits = !reading.failed && effects.now.since(reading.progress) < PAGE_PATIENCE;
        if waits && self.reads <= EXCUSED_READS {
            self.heartbeat.excuse(effects.now.since(reading.excused));
            reading.excused = effects.now;
        }
        self.heartbeat.consider(session_heartbeat, self.version, self.settings.longest_cycle, effects);
    }

    fn on_table(&mut self, answer: Answer, effects: &mut Effects) -> TermEvent {
        let (Answer::Table(table), Stage::Table(reading)) = (answer, &self.stage) else {
            self.obstructed = true;
            return self.fail(effects);
        };
        self.wake_noted = Some(reading.wake);
        let (asked, end_seen) = (reading.asked, reading.end_seen);
        if self.read_again.is_some_and(|at| asked > at) {
            self.read_again = None;
        }
        self.read_at = Some(effects.now);
        self.read_took = effects.now.since(asked);
        self.take_in(table, asked, end_seen, effects);
        if self.read_took >= SLOW_READ {
            // What was told before the read began may have been done since.
            self.look_or_plan(true, effects);
        } else {
            self.fill_or_plan(effects);
        }
        TermEvent::Nothing
    }

    fn take_in(&mut self, table: Table, asked: Time, end_seen: bool, effects: &mut Effects) {
        let quiet = self.damaged_told.is_some_and(|at| effects.now.since(at) < FULL_READ);
        for damaged in table.damaged.iter().filter(|_| !quiet) {
            effects.tell(CoordinationEvent::damaged(damaged));
            self.damaged_told = Some(effects.now);
        }
        if self.sessions.see_all(table.sessions, asked, effects.now) || end_seen {
            // A new term finds ends that the one before had seen: what those sessions had under way may still land.
            self.read_again = Some(effects.now + self.sessions.longest_failover_time());
        }
        let mut read: BTreeMap<LeaseKey, Lease> =
            table.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect();
        // A page may have been read before them. A parent that is missing would pass for one that is finished and gone.
        for lease in self.confirmed.drain(..) {
            read.entry(lease.key.clone()).or_insert(lease);
        }
        if !mutated!(IgnoresUnconfirmedChildren) {
            self.unconfirmed_children = UnconfirmedChildren::of(&self.leases, &read);
        }
        self.leases = read;
        self.waiting.see(&self.leases, effects);
        self.streams = table.streams.into_iter().map(|row| (row.id.clone(), row)).collect();
        self.reclaim(&table.assignments, effects);
        self.collect(&table.assignments, effects);
        self.discard(table.damaged, effects);
        self.sift_resting(effects);
    }

    /// Forgets leases whose owner can be asked, and tells of an external writer that is at work.
    fn sift_resting(&mut self, effects: &mut Effects) {
        let (leases, sessions) = (&self.leases, &self.sessions);
        self.resting.keep(|key| leases.get(key).is_some_and(|lease| must_rest(lease, sessions)));
        for lease in
            self.resting.moving().filter_map(|key| self.leases.get(key)).filter(|lease| lease.was_written_externally())
        {
            let owner = lease.owner.as_ref().map(|owner| owner.worker.clone());
            effects.tell(CoordinationEvent::ForeignHand { lease: lease.key.clone(), owner });
        }
    }

    fn on_looked(&mut self, answer: Answer, effects: &mut Effects) -> TermEvent {
        let (Answer::Rows(rows), Stage::Looking { asked }) = (answer, &self.stage) else { return self.fail(effects) };
        let (asked, mut rested) = (*asked, false);
        for row in rows.into_iter().flatten() {
            match row {
                Row::Lease(lease) => {
                    self.pending_moves.shown(&lease.key, asked);
                    if self.resting.contains(&lease.key) {
                        self.resting.look(&lease, asked, effects.now, &effects.contact);
                        rested = true;
                    }
                    let newer = self.leases.get(&lease.key).is_none_or(|known| known.counter <= lease.counter);
                    if newer {
                        self.leases.insert(lease.key.clone(), lease);
                    }
                }
                Row::Session(session) => self.end_seen |= self.sessions.see(session, effects.now),
                Row::Fleet(_) | Row::Assignment(_) | Row::Stream(_) | Row::Damaged(_) => {}
            }
        }
        if rested {
            self.sift_resting(effects);
        }
        self.fill_or_plan(effects);
        TermEvent::Nothing
    }

    fn fill_or_plan(&mut self, effects: &mut Effects) {
        self.begin_fill(effects);
        // Before the first sync_pass is complete there is nothing to assign.
        if self.alone.is_some() && !self.filled { self.finish(effects) } else { self.plan(effects) }
    }

    fn on_told(&mut self, worker: &WorkerId, answer: Answer, effects: &mut Effects) -> TermEvent {
        let Stage::Telling { left, failed, .. } = &mut self.stage else { return TermEvent::Nothing };
        left.remove(worker);
        // A refusal means a newer row: another term's, or our own from an attempt without an answer.
        *failed |= matches!(answer, Answer::Failed(_));
        if let Answer::Written(Written::Refused(Some(Row::Damaged(damaged)))) = &answer
            && damaged.is_ours()
        {
            effects.write(CallId::Collect(damaged.key.clone()), Write::Discard(damaged.clone()));
            *failed = true;
        }
        let newer = |row: &Row| row.as_assignment().is_some_and(|plan| plan.term > self.number);
        self.obstructed |= matches!(&answer, Answer::Written(Written::Refused(Some(row))) if newer(row));
        if !left.is_empty() {
            return TermEvent::Nothing;
        }
        let Stage::Telling { failed, rows, .. } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return TermEvent::Nothing;
        };
        // Also after a failure: a row that may have been written must never be written again under its version.
        self.version = next(self.version);
        if failed {
            return self.fail(effects);
        }
        let version = self.version;
        self.sent.extend(rows.into_iter().map(|(worker, instructions)| (worker, Sent { version, instructions })));
        self.finish(effects);
        TermEvent::Nothing
    }

    pub(super) fn finish(&mut self, effects: &mut Effects) {
        self.stage = Stage::Idle;
        if !self.cannot_list(effects.now) {
            self.heartbeat.cycle_ended_well(effects.now);
            self.reads = 0;
        }
        self.failing = None;
        match std::mem::take(&mut self.ended).checked_sub(REPORTED_ONE_BY_ONE) {
            Some(count) if count > 0 => effects.tell(CoordinationEvent::SessionsFenced { count }),
            Some(_) | None => {}
        }
        self.delete_some(effects);
        let tick = effects.now + effects.jittered(self.settings.tick);
        // Never in a tight loop, whatever a stale read shows.
        let soonest = effects.now + self.settings.tick / 10;
        let at = self.sessions.next_proof(&effects.contact).map_or(tick, |proof| tick.min(proof.max(soonest)));
        // As soon as a lease without an owner that can be asked may be proven to be stale, where a cheap read can prove it.
        let proof = self.resting.by_key().and_then(|_| self.resting.next_proof(self.settings.patience));
        let at = proof.map_or(at, |proof| at.min(proof.max(soonest)));
        // A full read was put off until the plan was made.
        let at = if self.planned_first { soonest } else { at };
        effects.remind(CallId::Cycle, at);
    }

    fn fail(&mut self, effects: &mut Effects) -> TermEvent {
        let now = effects.now;
        let failing = self.failing.get_or_insert(Failing { cycles: 0, since: now, report_at: now });
        failing.cycles += 1;
        if failing.cycles >= FAILED_CYCLES && now >= failing.report_at {
            failing.report_at = now + REPORT_EVERY;
            effects.tell(CoordinationEvent::CyclesFailing { cycles: failing.cycles, lasted: now.since(failing.since) });
        }
        self.stage = Stage::Idle;
        let tick = effects.jittered(self.settings.tick);
        effects.remind(CallId::Cycle, effects.now + tick);
        TermEvent::Nothing
    }
}

fn into_session(row: Row) -> Option<Session> {
    if let Row::Session(session) = row { Some(session) } else { None }
}
