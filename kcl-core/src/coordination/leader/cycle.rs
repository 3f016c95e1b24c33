//! Runs the leader's cycle: read the sessions, fence the stale ones, read leases or the whole table
//! if necessary, assign, publish.

use super::problem::needs_staleness;
use super::sessions::OwnerIs;
use super::stage::{Reading, Stage};
use super::stale_owners::stale_owner_read_interval;
use super::term::{FULL_READ, Failing, Sent, Term, TermEvent};
use super::unconfirmed_children::UnconfirmedChildren;
use crate::clock::Time;
use crate::coordination::call::{Answer, CallId, LeaderCall, LeaderTimer, Op, Reply, Rows, TimerId};
use crate::coordination::effects::Effects;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::{Fleet, Lease, LeaseKey, RowKey, Session, WorkerId};
use crate::lease::{Consistency, Page, Row, Table, Write, Written, next};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most leases that are read by their keys in a cycle.
const MAX_LEASES_BY_KEY: usize = 500;
/// A full read that takes longer than this is deferred: what can be assigned without it is assigned
/// first (docs/protocol/leader.md, "Large tables").
const SLOW_READ: Duration = Duration::from_secs(1);
/// A full read may take at most one part in this many of the time, unless something requires a
/// read.
const READ_SHARE: u32 = 10;
/// How long the leader waits for a page before another worker may take the term. Longer than any
/// page should take.
const PAGE_PATIENCE: Duration = Duration::from_secs(120);
/// The number of full reads since the last successful cycle whose time is not counted against the
/// leader. An assignment may need the read that shows a session's end and the one that confirms it.
const EXCUSED_READS: u32 = 3;
/// After how many failed cycles in a row a report is emitted, and the pause between reports.
const FAILED_CYCLES: u32 = 3;
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// If more sessions than this end in one cycle, only their number is reported.
const REPORTED_ONE_BY_ONE: u32 = 10;

const CYCLE: CallId = CallId::Leader(LeaderCall::Cycle);

impl Term {
    /// Starts a cycle, or retries the call of a cycle that failed.
    pub(crate) fn on_timer(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        if !matches!(self.stage, Stage::Idle) {
            return;
        }
        effects.emit(CoordinationEvent::PlanCycle);
        if self.read_at.is_none() {
            return self.read_table(fleet, effects);
        }
        self.agree_on_settings(fleet, effects);
        self.stage = Stage::Sessions;
        effects.call(CYCLE, Op::ReadSome(self.sessions.keys(), Consistency::Eventual));
    }

    /// A call of the term was answered.
    pub(crate) fn on_answer(
        &mut self,
        call: &LeaderCall,
        answer: Answer,
        fleet: Option<&Fleet>,
        session_heartbeat: u64,
        effects: &mut Effects,
    ) -> TermEvent {
        let answered = answer.failure().is_none();
        let event = match call {
            LeaderCall::PollSessions => {
                self.on_sessions_seen(answer.rows(), session_heartbeat, effects);
                return TermEvent::Nothing;
            }
            LeaderCall::Heartbeat => return self.on_heartbeat_answer(answer.written(), session_heartbeat, effects),
            // A row that was not deleted is found again by the next full read. The worker handles settings.
            LeaderCall::Collect(_) | LeaderCall::Settings => return TermEvent::Nothing,
            LeaderCall::Shards => {
                let answer = answer.listing();
                self.on_sync_answer(effects, |pass, leases, list_history, effects| {
                    pass.on_listing(answer, leases, list_history, effects)
                })
            }
            LeaderCall::SyncPass => {
                let answer = answer.written();
                self.on_sync_answer(effects, |pass, _, _, effects| pass.on_written(answer, effects))
            }
            LeaderCall::LeaseRow(lease) => {
                let answer = answer.written();
                self.on_sync_answer(effects, |pass, _, _, effects| pass.on_lease_written(lease, answer, effects))
            }
            LeaderCall::Fence(worker) => self.on_fenced(worker, answer.written(), fleet, effects),
            LeaderCall::Assignment(worker) => self.on_row_written(worker, answer.written(), effects),
            LeaderCall::ReadTable => self.on_table(answer.table(), effects),
            LeaderCall::Cycle => match self.stage {
                Stage::Sessions => self.on_sessions(answer.rows(), fleet, effects),
                Stage::Leases { .. } => self.on_leases_read(answer.rows(), effects),
                Stage::Idle | Stage::Fencing(_) | Stage::Table(_) | Stage::Publishing { .. } => TermEvent::Nothing,
            },
        };

        if answered {
            self.heartbeat.moved_on();
        }
        self.heartbeat.consider(session_heartbeat, self.version, self.config.longest_cycle, effects);
        event
    }

    fn on_sessions(&mut self, answer: Reply<Rows>, fleet: Option<&Fleet>, effects: &mut Effects) -> TermEvent {
        let Ok(rows) = answer else { return self.fail(effects) };
        for session in rows.into_iter().flatten().filter_map(into_session) {
            self.end_seen |= self.sessions.observe(session, effects.now);
        }
        let silent = self.fence_silent(effects);
        if silent.is_empty() {
            self.after_sessions(fleet, effects);
        } else {
            self.stage = Stage::Fencing(silent);
        }
        TermEvent::Nothing
    }

    /// Fences the sessions that were stale for their failover time. Returns those that are being
    /// fenced now.
    fn fence_silent(&mut self, effects: &mut Effects) -> BTreeSet<WorkerId> {
        let owners: BTreeSet<&WorkerId> =
            self.leases.values().filter_map(|lease| Some(&lease.owner.as_ref()?.worker)).collect();
        let silent = self.sessions.silent(&effects.contact, |session| owners.contains(&session.worker));
        let mut ending = BTreeSet::new();
        for (worker, number, heartbeat) in silent {
            // At most one call per session at a time: a table that answers slowly gets no second
            // one.
            if self.fencing.insert(worker.clone()) {
                let id = CallId::Leader(LeaderCall::Fence(worker.clone()));
                effects.write(id, Write::Fence { worker: worker.clone(), number, heartbeat });
            }
            ending.insert(worker);
        }
        ending
    }

    fn on_fenced(
        &mut self,
        worker: &WorkerId,
        answer: Reply<Written>,
        fleet: Option<&Fleet>,
        effects: &mut Effects,
    ) -> TermEvent {
        self.fencing.remove(worker);
        if let Ok(written) = answer {
            let applied = matches!(written, Written::Applied(_));
            let (Written::Applied(row) | Written::Refused(row)) = written;
            if let Some(session) = row.and_then(into_session) {
                if applied {
                    self.ended += 1;
                    if self.ended <= REPORTED_ONE_BY_ONE {
                        effects
                            .emit(CoordinationEvent::SessionFenced { worker: worker.clone(), session: session.number });
                    }
                }
                self.end_seen |= self.sessions.observe(session, effects.now);
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

    /// Reads the whole table if that is due, else the leases that are about to change owner.
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
        let overdue = self.pending_moves.has_overdue(self.config.bounds, now);
        let due = self.end_seen
            || self.read_required
            || !self.unconfirmed_children.is_empty()
            || woken
            || self.read_again.is_some_and(|at| now > at)
            || (overdue && !slow)
            || self.is_read_due(now);
        if due && (!slow || std::mem::take(&mut self.full_read_deferred)) {
            return self.read_table(fleet, effects);
        }
        self.full_read_deferred = due;
        self.read_leases_or_plan(overdue || due, effects);
    }

    /// Whether the whole table must be read although no event requires it: to find changes by
    /// external writers, and for stale owners that are too many to be read by their keys.
    fn is_read_due(&self, now: Time) -> bool {
        let Some(read_at) = self.read_at else { return true };
        let age = now.since(read_at);
        let often = stale_owner_read_interval(self.config.failover_time).max(self.read_took);
        let stale_owners = self.stale_owners.by_key().is_none()
            && age >= often
            && self.stale_owners.next_proof(self.config.stale_after).is_some_and(|at| now >= at);
        age >= FULL_READ.max(self.read_took * READ_SHARE) || stale_owners
    }

    /// Reads, by their keys, the leases that are about to change owner or may have become free,
    /// then assigns. `surely` requests a strongly consistent read, for decisions that a stale read
    /// must not cause.
    fn read_leases_or_plan(&mut self, surely: bool, effects: &mut Effects) {
        let now = effects.now;
        let mut keys: BTreeSet<RowKey> = BTreeSet::new();
        let stale_owners_at = self.stale_owners_read_at.max(self.read_at);
        let stale_owners_due = stale_owners_at
            .is_none_or(|at| now.since(at) >= stale_owner_read_interval(self.config.failover_time))
            || self.stale_owners.next_proof(self.config.stale_after).is_some_and(|at| now >= at);
        if let Some(stale_owners) =
            self.stale_owners.by_key().filter(|_| stale_owners_due && !self.stale_owners.is_empty())
        {
            self.stale_owners_read_at = Some(now);
            for lease in stale_owners.filter_map(|key| self.leases.get(key)) {
                keys.insert(RowKey::Lease(lease.key.clone()));
                keys.extend(lease.owner.as_ref().map(|owner| RowKey::Session(owner.worker.clone())));
            }
        }
        let surely = surely || !keys.is_empty();
        let moving = self.pending_moves.overdue(self.config.bounds, now).chain(self.pending_moves.on_the_move());
        keys.extend(moving.take(MAX_LEASES_BY_KEY).cloned().map(RowKey::Lease));
        if self.full_read_deferred {
            // Leases of ended sessions, as far as they are known, so that their failover does not
            // wait for a slow full read.
            let ended = self.leases.values().filter(|lease| {
                let owner = lease.owner.as_ref().filter(|_| !lease.checkpoint.is_shard_end());
                owner.is_some_and(|owner| self.sessions.owner_is(owner) == OwnerIs::Ended)
            });
            keys.extend(ended.take(MAX_LEASES_BY_KEY).map(|lease| RowKey::Lease(lease.key.clone())));
        }
        if keys.is_empty() {
            return self.sync_and_plan(effects);
        }
        self.stage = Stage::Leases { asked: now };
        let consistency = if surely { Consistency::Strong } else { Consistency::Eventual };
        effects.call(CYCLE, Op::ReadSome(keys.into_iter().collect(), consistency));
    }

    fn read_table(&mut self, fleet: Option<&Fleet>, effects: &mut Effects) {
        effects.set_timer(TimerId::Leader(LeaderTimer::PollSessions), effects.now + self.config.tick);
        // All noted before the read, because a change during the read may concern a page that was
        // already read, and requires another read.
        (self.end_seen, self.read_required) = (false, false);
        self.confirmed.clear();
        self.full_read_deferred = false;
        self.reads += 1;
        let (wake, now) = (fleet.map_or(0, |fleet| fleet.wake), effects.now);
        self.stage =
            Stage::Table(Reading { wake, asked: now, progress: now, failed: false, excused: now, end_seen: false });
        effects.read_table(CallId::Leader(LeaderCall::ReadTable));
    }

    /// Reads the sessions during a full read. Such a read may take longer than `failover_time`, and
    /// the failover of dead workers must not wait for it.
    pub(crate) fn on_sessions_timer(&self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Table(_)) {
            let read = Op::ReadSome(self.sessions.keys(), Consistency::Eventual);
            effects.call(CallId::Leader(LeaderCall::PollSessions), read);
        }
    }

    fn on_sessions_seen(&mut self, answer: Reply<Rows>, session_heartbeat: u64, effects: &mut Effects) {
        if let Ok(rows) = answer {
            for session in rows.into_iter().flatten().filter_map(into_session) {
                self.end_seen |= self.sessions.observe(session, effects.now);
            }
            if matches!(self.stage, Stage::Table(_)) {
                self.fence_silent(effects);
                self.on_read_progress(session_heartbeat, effects);
            }
        }
        effects.set_timer(TimerId::Leader(LeaderTimer::PollSessions), effects.now + self.config.tick);
    }

    /// Handles a page of the full read in progress. `sent` is when its call was sent.
    pub(crate) fn on_page(&mut self, page: &Page, sent: Time, session_heartbeat: u64, effects: &mut Effects) {
        let Stage::Table(reading) = &mut self.stage else { return };
        (reading.progress, reading.failed) = (effects.now, false);
        reading.end_seen |= self.sessions.observe_page(&page.rows.sessions, effects.now);
        for lease in &page.rows.leases {
            self.pending_moves.shown(&lease.key, sent);
            // Every owned lease is observed. Those whose owner has a live session are dropped once
            // all sessions were read.
            if lease.owner.is_some() && !lease.checkpoint.is_shard_end() {
                self.stale_owners.observe(lease, sent, effects.now, &effects.contact);
            }
        }
        self.on_read_progress(session_heartbeat, effects);
    }

    /// A page of the full read in progress failed.
    pub(crate) fn on_page_failed(&mut self) {
        if let Stage::Table(reading) = &mut self.stage {
            reading.failed = true;
        }
    }

    /// Keeps the term during a slow full read, because a successor would only start the same read
    /// again. The fleet heartbeat goes on while pages come. Time during which pages fail counts
    /// against the leader.
    fn on_read_progress(&mut self, session_heartbeat: u64, effects: &mut Effects) {
        let Stage::Table(reading) = &mut self.stage else { return };
        self.heartbeat.moved_on();
        let waits = !reading.failed && effects.now.since(reading.progress) < PAGE_PATIENCE;
        if waits && self.reads <= EXCUSED_READS {
            self.heartbeat.excuse(effects.now.since(reading.excused));
            reading.excused = effects.now;
        }
        self.heartbeat.consider(session_heartbeat, self.version, self.config.longest_cycle, effects);
    }

    fn on_table(&mut self, answer: Reply<Table>, effects: &mut Effects) -> TermEvent {
        let Stage::Table(reading) = &self.stage else { return TermEvent::Nothing };
        let Ok(table) = answer else {
            self.read_required = true;
            return self.fail(effects);
        };
        self.wake_noted = Some(reading.wake);
        let (asked, end_seen) = (reading.asked, reading.end_seen);
        if self.read_again.is_some_and(|at| asked > at) {
            self.read_again = None;
        }
        self.read_at = Some(effects.now);
        self.read_took = effects.now.since(asked);
        self.apply_table(table, asked, end_seen, effects);
        if self.read_took >= SLOW_READ {
            // An assignment from before the read may have been carried out since.
            self.read_leases_or_plan(true, effects);
        } else {
            self.sync_and_plan(effects);
        }
        TermEvent::Nothing
    }

    fn apply_table(&mut self, table: Table, asked: Time, end_seen: bool, effects: &mut Effects) {
        let quiet = self.damaged_reported_at.is_some_and(|at| effects.now.since(at) < FULL_READ);
        for damaged in table.damaged.iter().filter(|_| !quiet) {
            effects.emit(CoordinationEvent::damaged(damaged));
            self.damaged_reported_at = Some(effects.now);
        }
        if self.sessions.observe_table(table.sessions, asked, effects.now) || end_seen {
            // A new term finds ended sessions that the previous leader had seen. Their late claims
            // may still be applied, so the table is read once more, F later
            // (docs/protocol/leader.md).
            self.read_again = Some(effects.now + self.sessions.longest_failover_time());
        }
        let mut read: BTreeMap<LeaseKey, Lease> =
            table.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect();
        // Adds rows that were created after their page was read. A missing parent would be taken
        // for a finished one whose row was deleted, and its child would be read too early.
        for lease in self.confirmed.drain(..) {
            read.entry(lease.key.clone()).or_insert(lease);
        }
        self.unconfirmed_children = UnconfirmedChildren::of(&self.leases, &read);
        self.leases = read;
        self.waiting.update(&self.leases, effects);
        self.streams = table.streams.into_iter().map(|row| (row.id.clone(), row)).collect();
        self.reclaim(&table.assignments, effects);
        self.collect(&table.assignments, effects);
        self.discard(table.damaged, effects);
        self.sift_stale_owners(effects);
    }

    /// Forgets leases whose owner has a session, and reports external writers that are active.
    fn sift_stale_owners(&mut self, effects: &mut Effects) {
        let (leases, sessions) = (&self.leases, &self.sessions);
        self.stale_owners.keep(|key| leases.get(key).is_some_and(|lease| needs_staleness(lease, sessions)));
        for lease in self
            .stale_owners
            .moving()
            .filter_map(|key| self.leases.get(key))
            .filter(|lease| lease.was_written_externally())
        {
            let owner = lease.owner.as_ref().map(|owner| owner.worker.clone());
            effects.emit(CoordinationEvent::ForeignHand { lease: lease.key.clone(), owner });
        }
    }

    fn on_leases_read(&mut self, answer: Reply<Rows>, effects: &mut Effects) -> TermEvent {
        let (Ok(rows), Stage::Leases { asked }) = (answer, &self.stage) else { return self.fail(effects) };
        let (asked, mut rested) = (*asked, false);
        for row in rows.into_iter().flatten() {
            match row {
                Row::Lease(lease) => {
                    self.pending_moves.shown(&lease.key, asked);
                    if self.stale_owners.contains(&lease.key) {
                        self.stale_owners.observe(&lease, asked, effects.now, &effects.contact);
                        rested = true;
                    }
                    let newer = self.leases.get(&lease.key).is_none_or(|known| known.counter <= lease.counter);
                    if newer {
                        self.leases.insert(lease.key.clone(), lease);
                    }
                }
                Row::Session(session) => self.end_seen |= self.sessions.observe(session, effects.now),
                Row::Fleet(_) | Row::Assignment(_) | Row::Stream(_) | Row::Damaged(_) => {}
            }
        }
        if rested {
            self.sift_stale_owners(effects);
        }
        self.sync_and_plan(effects);
        TermEvent::Nothing
    }

    fn sync_and_plan(&mut self, effects: &mut Effects) {
        self.start_sync_if_due(effects);
        // Before the first shard sync is complete there is nothing to assign.
        if self.only_stream.is_some() && !self.filled { self.finish(effects) } else { self.plan(effects) }
    }

    fn on_row_written(&mut self, worker: &WorkerId, answer: Reply<Written>, effects: &mut Effects) -> TermEvent {
        let Stage::Publishing { left, failed, .. } = &mut self.stage else { return TermEvent::Nothing };
        left.remove(worker);
        // A refusal means that the row is newer: of another term, or our own from an attempt
        // without an answer.
        *failed |= answer.is_err();
        if let Ok(Written::Refused(Some(Row::Damaged(damaged)))) = &answer
            && damaged.is_ours()
        {
            let id = CallId::Leader(LeaderCall::Collect(damaged.key.clone()));
            effects.write(id, Write::Discard(damaged.clone()));
            *failed = true;
        }
        let newer = |row: &Row| row.as_assignment().is_some_and(|plan| plan.term > self.number);
        self.read_required |= matches!(&answer, Ok(Written::Refused(Some(row))) if newer(row));
        if !left.is_empty() {
            return TermEvent::Nothing;
        }
        let Stage::Publishing { failed, rows, .. } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return TermEvent::Nothing;
        };
        // Also after a failure: a row that may have been written must never be written again with
        // other content under the same version.
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
            Some(count) if count > 0 => effects.emit(CoordinationEvent::SessionsFenced { count }),
            Some(_) | None => {}
        }
        self.delete_some(effects);
        let tick = effects.now + effects.jittered(self.config.tick);
        // A lower bound, so that a stale read never causes a tight loop.
        let soonest = effects.now + self.config.tick / 10;
        let at = self.sessions.next_proof(&effects.contact).map_or(tick, |proof| tick.min(proof.max(soonest)));
        // As soon as a stale owner may be proven by a read by keys.
        let proof = self.stale_owners.by_key().and_then(|_| self.stale_owners.next_proof(self.config.stale_after));
        let at = proof.map_or(at, |proof| at.min(proof.max(soonest)));
        // A full read was deferred until the assignment was published.
        let at = if self.full_read_deferred { soonest } else { at };
        effects.set_timer(TimerId::Leader(LeaderTimer::Cycle), at);
    }

    fn fail(&mut self, effects: &mut Effects) -> TermEvent {
        let now = effects.now;
        let failing = self.failing.get_or_insert(Failing { cycles: 0, since: now, report_at: now });
        failing.cycles += 1;
        if failing.cycles >= FAILED_CYCLES && now >= failing.report_at {
            failing.report_at = now + REPORT_EVERY;
            effects.emit(CoordinationEvent::CyclesFailing { cycles: failing.cycles, lasted: now.since(failing.since) });
        }
        self.stage = Stage::Idle;
        let tick = effects.jittered(self.config.tick);
        effects.set_timer(TimerId::Leader(LeaderTimer::Cycle), effects.now + tick);
        TermEvent::Nothing
    }
}

fn into_session(row: Row) -> Option<Session> {
    if let Row::Session(session) = row { Some(session) } else { None }
}
