//! Connects the shutdown with leases, consumers, the session and the term.
//!
//! See docs/protocol/handoff-and-shutdown.md.

use super::Coordinator;
use crate::coordination::call::{LeaderTimer, TimerId};
use crate::coordination::departure::{Departure, Next};
use crate::coordination::event::CoordinationEvent;
use crate::coordination::held_lease::Why;
use crate::coordination::intervals;
use crate::error::Error;
use crate::lease::row::SessionNumber;
use std::time::Duration;

impl Coordinator {
    pub(super) fn on_shutdown(&mut self, within: Duration) {
        let now = self.effects.now;
        let deadline = now + within;
        if let Some(departure) = self.shutdown.departure_mut() {
            departure.hurry(deadline);
            return self.effects.set_timer(TimerId::Departure, now);
        }
        let number = self.session.number();
        self.effects.emit(CoordinationEvent::ShutdownAsked { within });
        let me = (self.identity.me.clone(), number.unwrap_or(0));
        let departure = Departure::new(me, deadline, now).leaving_quarantined(self.settings.leave_quarantined);
        self.shutdown.begin(departure);
        match number {
            Some(number) => self.begin_departure(number),
            // A session that is being registered may exist, and must be ended. Before that, there is nothing to end.
            None if self.session.is_registering() => self.effects.set_timer(TimerId::Departure, deadline),
            None => self.end_as_pending(),
        }
    }

    pub(super) fn begin_departure(&mut self, number: SessionNumber) {
        let load = self.per_session.load();
        if let Some(departure) = self.shutdown.departure_mut() {
            let me = (self.identity.me.clone(), number);
            *departure = Departure::new(me, departure.deadline(), self.effects.now)
                .leaving_quarantined(self.settings.leave_quarantined);
        }
        self.per_session.claims.cancel();
        self.per_session.shard_sync.follow(&[], &mut self.effects);
        self.session.drain(load, &mut self.effects);
        if let Some(term) = &mut self.per_session.term {
            term.drain(&mut self.effects);
        }
        self.wake_leader();
        self.continue_departure();
    }

    /// Takes the next step of the departure at once, rather than at the next look.
    pub(super) fn continue_departure(&mut self) {
        self.effects.set_timer(TimerId::Departure, self.effects.now);
    }

    pub(super) fn on_departure_timer(&mut self) {
        let Some(departure) = self.shutdown.departure_mut() else { return };
        if self.session.number().is_none() {
            return self.end_as_pending();
        }
        if !departure.is_waiting() {
            departure.on_timer(&mut self.effects);
            return self.end_if_departed();
        }
        let alone = self.per_session.term.as_ref().is_some_and(|term| term.has_others() == Some(false));
        let leases_left = self.per_session.has_leases();
        let deadline = departure.deadline();
        match departure.next(leases_left, !self.consumers.is_empty(), alone, self.effects.now) {
            Next::Wait => {}
            Next::ReleaseAll => {
                for held in self.per_session.held.values_mut() {
                    held.drain(Why::Shutdown, deadline, &mut self.effects);
                }
            }
            Next::ReleaseNow => {
                for held in self.per_session.held.values_mut() {
                    held.release_now(Why::Shutdown, &mut self.effects);
                }
            }
            Next::Depart => return self.depart(),
        }
        self.effects.set_timer(TimerId::Departure, self.effects.now + intervals::DEPARTURE);
    }

    fn depart(&mut self) {
        // The cycle of a term or a sync pass may have writes under way that would create rows again after they were
        // deleted. A term that is won after the session ended would have no leader.
        let leads = self.per_session.term.as_ref().is_some_and(|term| !term.is_idle());
        if self.fleet_poll.is_attempting() || leads || !self.per_session.shard_sync.is_idle() {
            return self.effects.set_timer(TimerId::Departure, self.effects.now + intervals::LAST_ANSWERS);
        }
        // Delivery ends before the session does: from then on another worker may claim the leases.
        self.consumers.shut();
        for held in self.per_session.held.values() {
            held.delivery.close();
        }
        self.session.end(&mut self.effects);
        let term = self.per_session.term.take().map(|term| term.number());
        for timer in [
            TimerId::Leader(LeaderTimer::Cycle),
            TimerId::Leader(LeaderTimer::PollSessions),
            TimerId::Leader(LeaderTimer::Heartbeat),
            TimerId::FleetPoll,
            TimerId::TakeTerm,
            TimerId::AwaitedLeases,
        ] {
            self.effects.clear_timer(&timer);
        }
        if let Some(departure) = self.shutdown.departure_mut() {
            departure.depart(term, &mut self.effects);
        }
    }

    /// Ends the worker if there is no time left for the departure's calls.
    pub(super) fn end_if_overdue(&mut self) {
        if self.shutdown.is_overdue(self.effects.now) {
            self.end_as_pending();
        }
    }

    pub(super) fn end_if_departed(&mut self) {
        if self.shutdown.is_complete() {
            self.end_as_pending();
        }
    }

    /// Ends the worker with the error that began its shutdown, if one did.
    pub(super) fn end_as_pending(&mut self) {
        let outcome = self.shutdown.take_pending();
        self.end(outcome);
    }

    /// Begins an orderly shutdown, after which the worker ends with this error.
    pub(super) fn fail(&mut self, error: Error) {
        if self.shutdown.fail(error) && !self.shutdown.is_requested() {
            self.on_shutdown(self.settings.shutdown_deadline);
        }
    }
}
