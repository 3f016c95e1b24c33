//! Coordinates one worker, as a machine: events in, calls and consumers to start out. No I/O.
//!
//! The coordinator owns the components and passes events between them; each component holds its own state. Files of the
//! folder: `routing` sends answers and timers to the component that asked, the others connect components by concern.

mod fleet;
mod fleet_settings;
mod health;
mod leases;
mod routing;
mod shutdown_steps;
mod stream_changes;
mod table_pages;

use super::call::{Answered, Call};
use super::consumers::Consumers;
use super::effects::Effects;
use super::fleet_poll::FleetPoll;
use super::fleet_row::FleetRow;
use super::per_session::PerSession;
use super::session::Session;
use super::shutdown::Shutdown;
use super::signals::Signals;
use super::staleness::Contact;
use super::start::{Start, shared};
use super::startup::Startup;
use super::stream_removal::{Elsewhere, StreamRemoval};
use super::streams::{Change, Streams};
use super::watchdog::Watchdog;
use crate::clock::{Clock, Time};
use crate::config::{Settings, timing};
use crate::coordination::event::CoordinationEvent;
use crate::error::Error;
use crate::lease::row::{FleetSettings, WorkerId};
use crate::process::ThisProcess;
use crate::processor::{Report, Reports, ShardDelivery};
use crate::record::StreamId;
use std::sync::Arc;
use std::time::Duration;

/// Names the worker, its table and its streams.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) me: WorkerId,
    /// The process that the worker runs in. The session's row shows it.
    pub(crate) process: ThisProcess,
    pub(crate) table: String,
    pub(crate) streams: Streams,
    /// Whether checkpoints go to another store as they come.
    pub(crate) elsewhere: bool,
}

/// An event from outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call was answered.
    Answered(Box<Answered>),
    /// A consumer reports its progress.
    Report(Report),
    /// The worker is to stop. Of several requests, the earliest deadline counts.
    Shutdown { within: Duration },
    /// One of several streams is added, removed or missing.
    Change(Change),
    /// A stream, one of several or the only one, was described: it keeps records this long.
    Retention { stream: Option<StreamId>, retention: Duration },
    /// A timer may be due.
    Due,
}

/// The commands of one step.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) calls: Vec<Call>,
    /// Consumers to start.
    pub(crate) start: Vec<Arc<ShardDelivery>>,
    pub(crate) events: Vec<CoordinationEvent>,
    /// A stream to describe, one of several or the only one.
    pub(crate) describe: Option<Option<StreamId>>,
    /// Streams whose removal is complete, and whether other workers serve them, if that was asked.
    pub(crate) removed: Vec<(StreamId, Elsewhere)>,
    /// How the worker has ended.
    pub(crate) outcome: Option<Result<(), Error>>,
}

/// The components of one worker's coordination.
#[derive(Debug)]
pub(crate) struct Coordinator {
    identity: Identity,
    settings: Settings,
    effects: Effects,
    startup: Startup,
    fleet_row: FleetRow,
    fleet_poll: FleetPoll,
    session: Session,
    /// Replaced when the session ends.
    per_session: PerSession,
    consumers: Consumers,
    watchdog: Watchdog,
    stream_removal: StreamRemoval,
    signals: Signals,
    shutdown: Shutdown,
}

impl Coordinator {
    pub(crate) fn new(
        identity: Identity,
        settings: Settings,
        clock: Arc<dyn Clock>,
        reports: Reports,
        rng: fastrand::Rng,
    ) -> Self {
        let me = identity.me.clone();
        let fleet_settings =
            FleetSettings { shared: shared(&settings), until_ms: settings.until_ms(), set_by: me.to_string() };
        let mut effects = Effects::new(rng);
        effects.contact = Contact::new(timing::longest_gap(settings.failover_time, settings.fleet_poll_interval));
        Coordinator {
            effects,
            startup: Startup::default(),
            fleet_row: FleetRow::new(fleet_settings),
            fleet_poll: FleetPoll::new(me.clone(), &settings),
            session: Session::new(me.clone(), identity.streams.ids(), &settings, identity.process.clone()),
            per_session: PerSession::new(me, &settings),
            consumers: Consumers::new(clock, reports),
            watchdog: Watchdog::new(&settings),
            stream_removal: StreamRemoval::default(),
            signals: Signals::default(),
            shutdown: Shutdown::default(),
            identity,
            settings,
        }
    }

    /// The first step.
    pub(crate) fn begin(&mut self, now: Time) -> Step {
        self.effects.now = now;
        self.examine_table();
        // At once: a role that may scan the table but not read its rows is refused before the worker registers.
        Startup::read_contact(&mut self.effects);
        self.out()
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.effects.next_due()
    }

    #[cfg(test)]
    pub(super) fn may_deliver(&self) -> bool {
        self.consumers.may_deliver()
    }

    /// A call of one row without an answer after this time is given up. It may still be applied.
    pub(crate) fn call_timeout(&self) -> Duration {
        timing::call_timeout(self.settings.failover_time)
    }

    /// One step: an event, and all timers that are due.
    pub(crate) fn step(&mut self, event: Event, now: Time) -> Step {
        self.effects.now = now;
        match event {
            Event::Answered(answered) => self.on_answered(*answered),
            Event::Due => {}
            Event::Report(report) => self.on_report(report),
            Event::Shutdown { within } => self.on_shutdown(within),
            Event::Change(change) => self.on_change(change),
            Event::Retention { stream, retention } => {
                self.identity.streams.set_retention(stream.as_ref(), retention);
            }
        }
        self.end_if_overdue();
        while let Some(timer) = self.effects.take_due() {
            self.on_timer(timer);
        }
        self.send_claims();
        self.out()
    }

    fn out(&mut self) -> Step {
        let removed = self.take_removed();
        Step {
            calls: self.effects.take_calls(),
            start: self.consumers.take_to_start(),
            removed,
            events: self.effects.take_events(),
            describe: self.signals.take_to_describe(),
            outcome: self.shutdown.take_outcome(),
        }
    }

    /// Examines the table, as at a start.
    fn examine_table(&mut self) {
        let examination = Start::new(self.identity.table.clone(), self.identity.me.clone(), &self.settings);
        self.startup.begin(examination, &mut self.effects);
    }

    /// Ends the worker: no record is delivered and no call made any more.
    fn end(&mut self, outcome: Result<(), Error>) {
        self.consumers.shut();
        for held in self.per_session.held.values() {
            held.delivery.close();
        }
        self.effects.begin_session();
        self.shutdown.end(outcome);
    }
}
