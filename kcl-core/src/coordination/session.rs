//! Keeps this worker's session: draws its number, registers it, sends its heartbeats, and learns when it has ended.
//!
//! See docs/protocol/sessions.md.

mod twin;

use super::backoff::RetryPolicy;
use super::call::{CallId, Failure, Reply, TimerId};
use super::effects::Effects;
use crate::clock::Time;
use crate::config::{Settings, timing};
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::{
    Damaged, LARGEST_COUNTER, ProcessId, SessionNumber, SessionState, SharedSettings, Weights, WorkerId, WorkerProfile,
};
use crate::lease::{Row, Write, Written, next};
use crate::process::ThisProcess;
use crate::record::StreamId;
use std::collections::BTreeSet;
use std::time::Duration;
use twin::Twin;

#[derive(Debug)]
pub(crate) struct Session {
    me: WorkerId,
    capacity: Option<u32>,
    /// The streams that the worker serves, of several.
    streams: Option<BTreeSet<StreamId>>,
    /// Whether `streams` changed since the last write.
    streams_unsent: bool,
    /// The streams that the row is known to show.
    shown: Option<BTreeSet<StreamId>>,
    /// A random number of the session that is being registered, by which a process recognises its own row.
    tag: u64,
    failover_time: Duration,
    every: Duration,
    profile: WorkerProfile,
    process: ThisProcess,
    /// The last session that this process registered. It may be replaced although it has not ended.
    last: Option<SessionNumber>,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Absent,
    Drawing,
    /// A session of this worker has a higher number than the one drawn: it was drawn from an earlier fleet row.
    DrawingAbove {
        last: SessionNumber,
    },
    Registering {
        number: SessionNumber,
        first_sent: Option<Time>,
    },
    /// A session of another process has this worker's id, and may be alive.
    Contending {
        number: SessionNumber,
        first_sent: Option<Time>,
        twin: Box<Twin>,
    },
    /// A row that prevents the registration is being fenced or deleted.
    Displacing {
        number: SessionNumber,
        first_sent: Option<Time>,
        write: Box<Write>,
    },
    /// The row at this session's key cannot be read, and is being deleted.
    Repairing {
        number: SessionNumber,
        damaged: Damaged,
    },
    Live(Live),
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Live {
    number: SessionNumber,
    /// The last confirmed heartbeat.
    heartbeat: u64,
    /// When the first attempt of the heartbeat under way was sent, if one is.
    first_sent: Option<Time>,
    in_flight: bool,
    draining: bool,
    /// Whether the row is known to show `draining`.
    shown_draining: bool,
}

/// The outcome of one step of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionEvent {
    Nothing,
    /// There is no fleet row to draw a number from.
    NoFleet,
    /// The session is registered, and this worker may deliver records until then.
    Registered {
        number: SessionNumber,
        until: Time,
    },
    /// A heartbeat is confirmed, and this worker may deliver records until then.
    Confirmed {
        until: Time,
    },
    /// The session was fenced, or its row is gone: the worker must drop all its leases.
    Lost {
        why: &'static str,
    },
    /// The session's key has a row of another kind, which this library must not delete.
    Obstructed {
        why: String,
    },
    /// A later session has the same worker id.
    Replaced {
        by: SessionNumber,
        process: Option<ProcessId>,
    },
    /// Another live process registered the same worker id first.
    HeldByAnother {
        session: SessionNumber,
        process: Option<ProcessId>,
    },
}

const TIMER: TimerId = TimerId::Session;

impl Session {
    pub(crate) fn new(
        me: WorkerId,
        streams: Option<BTreeSet<StreamId>>,
        settings: &Settings,
        process: ThisProcess,
    ) -> Self {
        let shared = SharedSettings { failover_time: settings.failover_time, balance_by: settings.balance_by };
        let profile = WorkerProfile { settings: Some(shared), adopted: false, process: process.id().cloned() };
        Session {
            me,
            capacity: settings.max_leases,
            streams,
            streams_unsent: false,
            shown: None,
            tag: 0,
            failover_time: settings.failover_time,
            every: settings.effective_heartbeat_interval(),
            profile,
            process,
            last: None,
            state: State::Absent,
        }
    }

    pub(crate) fn number(&self) -> Option<SessionNumber> {
        if let State::Live(live) = &self.state { Some(live.number) } else { None }
    }

    /// Whether this worker has registered a session, this one or an earlier one.
    pub(crate) fn has_registered(&self) -> bool {
        self.last.is_some()
    }

    /// The last confirmed heartbeat.
    pub(crate) fn heartbeat(&self) -> u64 {
        if let State::Live(live) = &self.state { live.heartbeat } else { 0 }
    }

    /// Whether a row of this session may exist of which the worker does not know yet.
    pub(crate) fn is_registering(&self) -> bool {
        match self.state {
            State::Registering { .. }
            | State::Repairing { .. }
            | State::Contending { .. }
            | State::Displacing { .. } => true,
            State::Absent | State::Drawing | State::DrawingAbove { .. } | State::Live(_) | State::Over => false,
        }
    }

    /// Whether a session of another process prevents the registration, and no row of this session can exist.
    pub(crate) fn waits_for_another(&self) -> bool {
        matches!(self.state, State::Contending { first_sent: None, .. } | State::Displacing { first_sent: None, .. })
    }

    /// Uses the fleet's settings, and the times that follow from them, instead of the worker's own.
    pub(crate) fn adopt(&mut self, settings: &Settings) {
        self.failover_time = settings.failover_time;
        self.every = settings.effective_heartbeat_interval();
        let shared = SharedSettings { failover_time: settings.failover_time, balance_by: settings.balance_by };
        self.profile.settings = Some(shared);
        self.profile.adopted = true;
    }

    /// When the first unanswered attempt of the registration under way was sent.
    fn first_sent(&self) -> Option<Time> {
        match &self.state {
            State::Registering { first_sent, .. }
            | State::Contending { first_sent, .. }
            | State::Displacing { first_sent, .. } => *first_sent,
            State::Absent
            | State::Drawing
            | State::DrawingAbove { .. }
            | State::Repairing { .. }
            | State::Live(_)
            | State::Over => None,
        }
    }

    /// Whether the session's row is known to show that the worker does not serve this stream, of several.
    pub(crate) fn shows_without(&self, stream: &StreamId) -> bool {
        self.number().is_some() && self.shown.as_ref().is_some_and(|shown| !shown.contains(stream))
    }

    /// Whether the session has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Begins a new session.
    pub(crate) fn begin(&mut self, effects: &mut Effects) {
        self.state = State::Drawing;
        self.tag = effects.rng.u64(..);
        effects.write(CallId::Session, Write::NextSessionNumber);
    }

    /// Sends no more heartbeats.
    pub(crate) fn end(&mut self, effects: &mut Effects) {
        self.state = State::Over;
        effects.clear_timer(&TIMER);
    }

    /// Writes `draining` into the row from now on, with a heartbeat at once.
    pub(crate) fn drain(&mut self, load: u32, effects: &mut Effects) {
        if let State::Live(live) = &mut self.state {
            live.draining = true;
            if !live.in_flight {
                self.send_heartbeat(load, None, effects);
            }
        }
    }

    /// Writes into the row from now on, with a heartbeat at once, that the worker serves these streams.
    pub(crate) fn serve(&mut self, streams: Option<BTreeSet<StreamId>>, load: u32, effects: &mut Effects) {
        self.streams = streams;
        self.streams_unsent = true;
        if matches!(&self.state, State::Live(live) if !live.in_flight) {
            self.send_heartbeat(load, None, effects);
        }
    }

    pub(crate) fn on_timer(&mut self, load: u32, weights: Option<Weights>, effects: &mut Effects) {
        match &self.state {
            State::Absent => self.begin(effects),
            State::Drawing => effects.write(CallId::Session, Write::NextSessionNumber),
            State::DrawingAbove { last } => effects.write(CallId::Session, Write::NextSessionNumberAbove(*last)),
            State::Registering { number, .. } | State::Contending { number, .. } => {
                let number = *number;
                effects.write(CallId::Session, self.register(number));
            }
            State::Displacing { write, .. } => effects.write(CallId::Session, (**write).clone()),
            State::Repairing { damaged, .. } => effects.write(CallId::Session, Write::Discard(damaged.clone())),
            // One at a time: once the first is applied, a second write of the same heartbeat would be refused.
            State::Live(live) if live.in_flight => {}
            State::Live(_) => self.send_heartbeat(load, weights, effects),
            State::Over => {}
        }
    }

    fn register(&self, number: SessionNumber) -> Write {
        let streams = self.streams.clone();
        let (worker, tag, capacity) = (self.me.clone(), self.tag, self.capacity);
        Write::Register { worker, number, tag, capacity, streams, profile: self.profile.clone(), over: self.last }
    }

    fn send_heartbeat(&mut self, load: u32, weights: Option<Weights>, effects: &mut Effects) {
        let (worker, streams) = (self.me.clone(), self.streams.clone());
        if let State::Live(live) = &mut self.state {
            live.in_flight = true;
            self.streams_unsent = false;
            live.first_sent.get_or_insert(effects.now);
            let state = if live.draining { SessionState::Draining } else { SessionState::Active };
            #[cfg(kcl_mutants)]
            let load = if mutated!(ComparesClocks) { seconds(effects.now) } else { load };
            let heartbeat = Write::Heartbeat {
                worker,
                number: live.number,
                heartbeat: live.heartbeat,
                state,
                load,
                weights,
                streams,
            };
            effects.write(CallId::Session, heartbeat);
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        sent: Time,
        answer: Reply<Written>,
        load: u32,
        effects: &mut Effects,
    ) -> SessionEvent {
        let written = match answer {
            Ok(written) => written,
            Err(failure) => return self.on_failure(failure, sent, effects),
        };
        match self.state.clone() {
            State::Drawing => self.on_drawn(written, effects),
            State::DrawingAbove { .. } => self.on_drawn_above(written, effects),
            State::Registering { number, first_sent } => {
                self.on_registered(number, first_sent.unwrap_or(sent), None, &written, effects)
            }
            State::Contending { number, first_sent, twin } => {
                self.on_registered(number, first_sent.unwrap_or(sent), Some(twin), &written, effects)
            }
            State::Displacing { number, first_sent, .. } => {
                self.state = State::Registering { number, first_sent };
                self.register_after(number, &written, effects)
            }
            State::Repairing { number, .. } => {
                self.state = State::Registering { number, first_sent: None };
                self.register_after(number, &written, effects)
            }
            State::Live(live) => self.on_heartbeat(live, sent, &written, load, effects),
            State::Absent | State::Over => SessionEvent::Nothing,
        }
    }

    fn on_failure(&mut self, failure: Failure, sent: Time, effects: &mut Effects) -> SessionEvent {
        let mut trusted = false;
        match &mut self.state {
            State::Registering { first_sent, .. } | State::Contending { first_sent, .. } => {
                first_sent.get_or_insert(sent);
            }
            State::Live(live) => {
                live.in_flight = false;
                trusted = live.first_sent.is_some_and(|first| effects.now.since(first) < self.failover_time);
                effects.emit(CoordinationEvent::HeartbeatMissed { session: live.number, failure });
            }
            State::Absent
            | State::Drawing
            | State::DrawingAbove { .. }
            | State::Displacing { .. }
            | State::Repairing { .. }
            | State::Over => {}
        }
        self.retry(trusted, effects);
        SessionEvent::Nothing
    }

    /// Repeats the write after a pause. `trusted`: the fleet still trusts the session.
    fn retry(&self, trusted: bool, effects: &mut Effects) {
        effects.retry(TIMER, RetryPolicy::heartbeat(self.failover_time, trusted));
    }

    /// Goes back to an earlier step of the registration: at once the first times, later each time after that.
    fn start_over(&mut self, state: State, effects: &mut Effects) {
        self.state = state;
        if effects.may_start_over(&TIMER, "registering the session") {
            self.on_timer(0, None, effects);
        }
    }

    fn on_drawn(&mut self, written: Written, effects: &mut Effects) -> SessionEvent {
        match written {
            Written::Applied(Some(Row::Fleet(fleet))) => {
                let number = fleet.sessions;
                self.state = State::Registering { number, first_sent: None };
                effects.write(CallId::Session, self.register(number));
                SessionEvent::Nothing
            }
            Written::Applied(_) | Written::Refused(_) => {
                self.state = State::Absent;
                SessionEvent::NoFleet
            }
        }
    }

    fn on_drawn_above(&mut self, written: Written, effects: &mut Effects) -> SessionEvent {
        match written {
            // The fleet row has passed that number meanwhile, so the next one drawn is above it.
            Written::Refused(Some(Row::Fleet(_))) => {
                self.start_over(State::Absent, effects);
                SessionEvent::Nothing
            }
            written @ (Written::Applied(_) | Written::Refused(_)) => self.on_drawn(written, effects),
        }
    }

    fn on_registered(
        &mut self,
        number: SessionNumber,
        first_sent: Time,
        twin: Option<Box<Twin>>,
        written: &Written,
        effects: &mut Effects,
    ) -> SessionEvent {
        // The session counts from its first attempt. If our own row refused this attempt, an earlier one was applied. If
        // this one was applied, an earlier one may have been too, and an external writer deleted its row: other workers
        // count from when they first saw that row.
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let confirmed = first_sent;
        if let Some(Row::Damaged(damaged)) = row {
            return self.repair(number, damaged.clone(), effects);
        }
        let Some(session) = row.as_ref().and_then(Row::as_session) else {
            self.retry(false, effects);
            return SessionEvent::Nothing;
        };
        let is_ours = (session.number, session.tag) == (number, self.tag);
        if !is_ours && !session.state.has_ended() {
            return self.contend(number, twin, session, effects);
        }
        if session.number >= LARGEST_COUNTER {
            // No number is above this one. The session has ended, so its row may be deleted.
            let write = Write::DeleteSession { worker: session.worker.clone(), number: session.number, own: false };
            effects.write(CallId::Session, write.clone());
            self.state = State::Displacing { number, first_sent: self.first_sent(), write: Box::new(write) };
            return SessionEvent::Nothing;
        }
        if session.number > number {
            self.start_over(State::DrawingAbove { last: session.number }, effects);
            return SessionEvent::Nothing;
        }
        // An ended session has the number that was drawn: another process drew it from a fleet row that is gone.
        if session.state.has_ended() {
            self.start_over(State::Absent, effects);
            return SessionEvent::Nothing;
        }
        self.last = Some(number);
        self.shown.clone_from(&session.streams);
        self.state = State::Live(Live {
            number,
            heartbeat: session.heartbeat,
            first_sent: None,
            in_flight: false,
            draining: false,
            shown_draining: false,
        });
        let next = if self.streams_unsent { effects.now } else { confirmed + self.every };
        effects.set_timer(TIMER, next);
        SessionEvent::Registered { number, until: self.until(confirmed) }
    }

    /// Registers after a write that was to remove the obstacle: at once if it was applied, after a pause if not.
    fn register_after(&self, number: SessionNumber, written: &Written, effects: &mut Effects) -> SessionEvent {
        match written {
            Written::Applied(_) => effects.write(CallId::Session, self.register(number)),
            Written::Refused(_) => self.retry(false, effects),
        }
        SessionEvent::Nothing
    }

    /// Deletes a row at this worker's key that cannot be read. Its session is lost with it: its owner registers again,
    /// and that owner is this worker.
    fn repair(&mut self, number: SessionNumber, damaged: Damaged, effects: &mut Effects) -> SessionEvent {
        if !damaged.is_ours() {
            self.state = State::Over;
            return SessionEvent::Obstructed { why: damaged.why };
        }
        effects.emit(CoordinationEvent::damaged(&damaged));
        effects.write(CallId::Session, Write::Discard(damaged.clone()));
        self.state = State::Repairing { number, damaged };
        SessionEvent::Nothing
    }

    fn on_heartbeat(
        &mut self,
        mut live: Live,
        sent: Time,
        written: &Written,
        load: u32,
        effects: &mut Effects,
    ) -> SessionEvent {
        live.in_flight = false;
        let (row, confirmed) = match written {
            Written::Applied(row) => (row, sent),
            Written::Refused(row) => (row, live.first_sent.unwrap_or(sent)),
        };
        let session = row.as_ref().and_then(Row::as_session);
        let ours =
            session.filter(|s| s.number == live.number && s.heartbeat == next(live.heartbeat) && !s.state.has_ended());
        if let Some(session) = ours {
            live.heartbeat = next(live.heartbeat);
            live.first_sent = None;
            live.shown_draining = session.state == SessionState::Draining;
            self.shown.clone_from(&session.streams);
            let is_outdated = (live.draining && !live.shown_draining) || self.streams_unsent;
            self.state = State::Live(live);
            if is_outdated {
                self.send_heartbeat(load, None, effects);
            } else {
                // From the sending: the interval must fit into the time that the fleet waits for a heartbeat.
                effects.set_timer(TIMER, confirmed + self.every);
            }
            let confirmed = if mutated!(TrustsFromReceipt) { effects.now } else { confirmed };
            return SessionEvent::Confirmed { until: self.until(confirmed) };
        }
        self.state = State::Over;
        match session {
            Some(session) if session.number > live.number => {
                SessionEvent::Replaced { by: session.number, process: session.profile.process.clone() }
            }
            Some(session) if session.state.has_ended() => SessionEvent::Lost { why: "fenced" },
            Some(_) => SessionEvent::Lost { why: "an external writer changed its row" },
            None if matches!(row, Some(Row::Damaged(_))) => SessionEvent::Lost { why: "its row cannot be read" },
            None => SessionEvent::Lost { why: "its row is gone" },
        }
    }

    /// The end of the time in which the worker may deliver. It counts 0.95 of the failover time from the *sending* of the
    /// heartbeat, and the fleet all of it from a *receipt*, so the worker stops first even if clocks drift
    /// (docs/protocol/sessions.md).
    fn until(&self, confirmed: Time) -> Time {
        let counted = if mutated!(OwnerCountsTooLong) { self.failover_time * 2 } else { self.failover_time };
        confirmed + timing::owned_for(counted)
    }
}

/// The local clock in whole seconds, for the mutant that compares clocks of two machines.
#[cfg(kcl_mutants)]
fn seconds(now: Time) -> u32 {
    u32::try_from(now.nanos() / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
