//! Connects the components of the fleet: startup, fleet row, session, leader.

use super::Coordinator;
use crate::clock::Time;
use crate::config::BalanceBy;
use crate::coordination::call::{Answer, LeaderCall, LeaderTimer, Reply, Rows, TimerId};
use crate::coordination::event::{CoordinationEvent, SESSION_OVER};
use crate::coordination::fleet_poll::FleetPollEvent;
use crate::coordination::fleet_row::FleetRowEvent;
use crate::coordination::intervals;
use crate::coordination::leader::{Term, TermEvent};
use crate::coordination::per_session::PerSession;
use crate::coordination::session::SessionEvent;
use crate::coordination::start::StartEvent;
use crate::coordination::streams::Streams;
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, ProcessId, RowKey, SessionNumber};
use crate::lease::{Table, Written};

impl Coordinator {
    // --- start

    pub(super) fn on_start_event(&mut self, event: StartEvent) {
        match event {
            StartEvent::Nothing => {}
            StartEvent::Refused(error) => self.end(Err(error)),
            StartEvent::Clear(table) => self.on_table_clear(&table),
            StartEvent::Adopted(table, settings) => match self.adopt(settings) {
                Ok(()) => self.on_table_clear(&table),
                Err(error) => self.end(Err(error)),
            },
        }
    }

    fn on_table_clear(&mut self, table: &Table) {
        self.startup.end();
        match table.fleet.clone() {
            Some(fleet) => {
                self.see_fleet(fleet);
                self.begin_session();
            }
            None => self.fleet_row.create_from(table, &mut self.effects),
        }
    }

    pub(super) fn on_fleet_row_event(&mut self, event: FleetRowEvent) {
        match event {
            FleetRowEvent::Nothing => {}
            FleetRowEvent::Exists(fleet) => {
                // What was seen of an earlier row is void.
                self.fleet_poll.forget();
                self.per_session.assignment.forget();
                let agrees = self.agrees(&fleet);
                self.see_fleet(fleet);
                if self.session.number().is_some() || self.shutdown.is_requested() {
                    return;
                }
                if agrees {
                    self.begin_session();
                } else {
                    // Another worker created the row at the same moment, with other settings.
                    self.examine_table();
                }
            }
            FleetRowEvent::Obstructed { why } => self.fail_obstructed(&RowKey::Fleet, &why),
        }
    }

    fn fail_obstructed(&mut self, key: &RowKey, why: &str) {
        let table = &self.identity.table;
        let message = format!(
            "row `{key}` of table `{table}` is of another kind ({why}): remove it, or use another application name"
        );
        self.fail(Error::new(Code::TableUnusable, message));
    }

    // --- session

    pub(super) fn begin_session(&mut self) {
        self.session.begin(&mut self.effects);
    }

    pub(super) fn on_session_timer(&mut self) {
        let session = &mut self.per_session;
        let weights = (self.settings.balance_by == BalanceBy::Bytes).then(|| {
            let held = session.held.iter().map(|(lease, held)| held.counted(lease));
            session.throughput.measure(held, self.effects.now)
        });
        self.session.on_timer(session.load(), weights, &mut self.effects);
    }

    pub(super) fn on_session_answer(&mut self, sent: Time, answer: Reply<Written>) {
        let load = self.per_session.load();
        match self.session.on_answer(sent, answer, load, &mut self.effects) {
            SessionEvent::Nothing => {
                if self.shutdown.is_requested() && self.session.waits_for_another() {
                    self.end_as_pending();
                }
            }
            SessionEvent::NoFleet => self.fleet_row.create(&mut self.effects),
            SessionEvent::Registered { number, until } => self.on_registered(number, until),
            SessionEvent::Confirmed { until } => {
                self.on_confirmed(until);
                self.effects.emit(CoordinationEvent::HeartbeatConfirmed);
                let heartbeat = self.session.heartbeat();
                if let Some(term) = &mut self.per_session.term {
                    term.on_session_heartbeat(heartbeat, &mut self.effects);
                }
            }
            SessionEvent::Lost { why } => {
                self.effects.emit(CoordinationEvent::SessionLost { why });
                self.lose_session();
                if self.shutdown.is_requested() {
                    self.end_as_pending();
                } else if self.consumers.is_empty() || mutated!(ConsumersOverlap) {
                    self.begin_session();
                }
            }
            SessionEvent::Obstructed { why } => {
                self.fail_obstructed(&RowKey::Session(self.identity.me.clone()), &why);
            }
            SessionEvent::Replaced { by, process } => self.on_twin("was replaced by", by, process.as_ref()),
            SessionEvent::HeldByAnother { session, process } => {
                self.on_twin("cannot start: its id is in use by", session, process.as_ref());
            }
        }
    }

    fn on_confirmed(&mut self, until: Time) {
        self.effects.succeeded(&TimerId::Session);
        self.effects.succeeded(&TimerId::FleetRow);
        self.consumers.open_until(until);
    }

    fn on_registered(&mut self, number: SessionNumber, until: Time) {
        self.on_confirmed(until);
        self.fleet_row.note(0, number);
        self.effects.emit(CoordinationEvent::SessionRegistered { session: number });
        self.fleet_poll.begin(&mut self.effects);
        self.effects.set_timer(TimerId::Reconcile, self.effects.now + intervals::RECONCILE);
        self.wake_leader();
        if self.shutdown.is_requested() {
            self.begin_departure(number);
        }
    }

    /// Another process has this worker's id.
    fn on_twin(&mut self, what: &str, session: SessionNumber, process: Option<&ProcessId>) {
        self.lose_session();
        let (me, table) = (&self.identity.me, &self.identity.table);
        let process = process.map_or_else(|| "another process".to_owned(), ToString::to_string);
        let message = format!(
            "worker `{me}` of table `{table}` {what} {process} (session {session}). Give every process a worker id of its own, \
             or leave the id out to get a random one"
        );
        self.end(Err(Error::new(Code::Replaced, message)));
    }

    /// The session is over: no record is delivered any more, and the fleet reassigns the leases.
    fn lose_session(&mut self) {
        self.consumers.shut();
        let new = PerSession::new(self.identity.me.clone(), &self.settings);
        let lost = std::mem::replace(&mut self.per_session, new);
        for (lease, held) in lost.held {
            held.delivery.close();
            self.effects.emit(CoordinationEvent::LeaseLost { lease, why: SESSION_OVER });
        }
        self.stream_removal.on_session_lost();
        self.fleet_row.cancel();
        self.effects.begin_session();
    }

    // --- fleet row and leader

    /// An answer showed the fleet row.
    pub(super) fn see_fleet(&mut self, fleet: Fleet) {
        self.fleet_row.note(fleet.term, fleet.sessions);
        self.fleet_poll.see(fleet, self.effects.now);
    }

    pub(super) fn on_fleet_poll(&mut self, answer: Reply<Rows>) {
        match self.fleet_poll.on_answer(answer, &mut self.effects) {
            FleetPollEvent::Nothing => {}
            FleetPollEvent::NoFleet => {
                self.fleet_poll.forget();
                if !self.shutdown.is_requested() {
                    self.fleet_row.create(&mut self.effects);
                }
            }
            FleetPollEvent::Seen => self.on_fleet_seen(),
            FleetPollEvent::Recreated => {
                if self.per_session.term.is_some() {
                    self.depose();
                }
                self.per_session.assignment.forget();
                self.on_fleet_seen();
            }
        }
    }

    fn on_fleet_seen(&mut self) {
        let Some(fleet) = self.fleet_poll.fleet().cloned() else { return };
        self.fleet_row.note(fleet.term, fleet.sessions);
        if let Some(why) = fleet.is_too_new() {
            return self.fail(Error::new(Code::TableFormat, format!("table `{}` {why}", self.identity.table)));
        }
        let number = self.session.number();
        if let Some(term) = &mut self.per_session.term {
            if fleet.term > term.number() {
                self.depose();
            } else {
                term.woken(fleet.wake, &mut self.effects);
            }
        } else if let (Some(number), false) = (number, self.shutdown.is_requested()) {
            self.fleet_poll.consider_term(number, &mut self.effects);
        }
        if number.is_some() {
            self.per_session.assignment.on_fleet(&fleet, &self.identity.me, &mut self.effects);
        }
    }

    pub(super) fn on_term_answer(&mut self, answer: Reply<Written>) {
        let Some(won) = self.fleet_poll.on_term_answer(answer, &mut self.effects) else { return };
        let Some(number) = self.session.number() else { return };
        self.effects.emit(CoordinationEvent::TermTaken { term: won.fleet.term });
        let me = self.identity.me.clone();
        let alone = match &self.identity.streams {
            Streams::One(served) => Some((**served).clone()),
            Streams::Several(_) => None,
        };
        let stale_owners = self.startup.take_stale_owners();
        self.effects.begin_term();
        let mut term = Term::new(won, number, me, alone, &self.settings, stale_owners, &mut self.effects);
        if self.shutdown.is_requested() {
            term.drain(&mut self.effects);
        }
        self.per_session.term = Some(term);
    }

    fn depose(&mut self) {
        self.per_session.term = None;
        self.effects.begin_term();
        self.effects.emit(CoordinationEvent::TermLost);
    }

    pub(super) fn on_leader_answer(&mut self, call: &LeaderCall, answer: Answer) {
        let heartbeat = self.session.heartbeat();
        let Some(term) = &mut self.per_session.term else { return };
        match term.on_answer(call, answer, self.fleet_poll.fleet(), heartbeat, &mut self.effects) {
            TermEvent::Nothing => {}
            TermEvent::Deposed => self.depose(),
            TermEvent::Fleet(fleet) | TermEvent::Published(fleet) => {
                self.see_fleet(fleet);
                self.on_fleet_seen();
            }
        }
    }

    pub(super) fn on_leader_timer(&mut self, timer: LeaderTimer) {
        let Some(term) = &mut self.per_session.term else { return };
        let effects = &mut self.effects;
        match timer {
            LeaderTimer::Cycle => term.on_timer(self.fleet_poll.fleet(), effects),
            LeaderTimer::PollSessions => term.on_sessions_timer(effects),
            LeaderTimer::SyncPass => term.on_sync_timer(effects),
            LeaderTimer::Heartbeat => term.on_heartbeat_timer(effects),
        }
    }

    /// Asks the leader to read the table.
    pub(super) fn wake_leader(&mut self) {
        self.per_session.wake.request(&mut self.effects);
    }
}
