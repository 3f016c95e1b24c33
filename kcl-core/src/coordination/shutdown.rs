//! The coordinator's half that concerns stopping: asked to, or because it cannot go on.

use super::coordinator::Coordinator;
use super::departure::{self, Departure};
use super::effects::CallId;
use super::held_lease::Why;
use super::quarantine;
use crate::coordination::event::CoordinationEvent;
use crate::error::Error;
use crate::lease::row::SessionNumber;
use std::time::Duration;

impl Coordinator {
    pub(super) fn on_shutdown(&mut self, within: Duration) {
        let deadline = self.effects.now + within;
        if let Some(departure) = &mut self.departure {
            departure.hurry(deadline);
            return self.effects.remind(CallId::Departure, self.effects.now);
        }
        let number = self.session.number();
        self.effects.tell(CoordinationEvent::ShutdownAsked { within });
        let me = (self.identity.me.clone(), number.unwrap_or(0));
        let departure = Departure::new(me, deadline, self.effects.now).leaving_parked(self.settings.leave_quarantined);
        self.departure = Some(departure);
        match number {
            Some(number) => self.begin_goodbye(number),
            // Registering: a session that may exist must be ended; before that there is nothing to end.
            None if self.session.is_registering() => self.effects.remind(CallId::Departure, deadline),
            None => self.finish_with_pending_error(),
        }
    }

    pub(super) fn begin_goodbye(&mut self, number: SessionNumber) {
        let load = self.load();
        if let Some(departure) = &mut self.departure {
            let me = (self.identity.me.clone(), number);
            *departure = Departure::new(me, departure.deadline(), self.effects.now)
                .leaving_parked(self.settings.leave_quarantined);
        }
        self.claims.give_up();
        self.shard_sync.follow(&[], &mut self.effects);
        self.session.drain(load, &mut self.effects);
        if let Some(term) = &mut self.term {
            term.drain(&mut self.effects);
        }
        self.wake_leader();
        self.effects.remind(CallId::Departure, self.effects.now);
    }

    pub(super) fn on_goodbye_timer(&mut self) {
        let Some(departure) = &mut self.departure else { return };
        if self.session.number().is_none() {
            return self.finish_with_pending_error();
        }
        if !departure.is_waiting() {
            departure.on_timer(&mut self.effects);
            return self.finish_if_gone();
        }
        let alone = self.term.as_ref().is_some_and(|term| term.has_others() == Some(false));
        let leases_left = !self.held.is_empty() || !self.claims.is_empty();
        let deadline = departure.deadline();
        match departure.next(leases_left, !self.consumers.is_empty(), alone, self.effects.now) {
            departure::Next::Wait => {}
            departure::Next::ReleaseAll => {
                for held in self.held.values_mut() {
                    held.drain(Why::Shutdown, deadline, &mut self.effects);
                }
            }
            departure::Next::ReleaseNow => {
                for held in self.held.values_mut() {
                    held.release_now(Why::Shutdown, &mut self.effects);
                }
            }
            departure::Next::Depart => return self.depart(),
        }
        self.effects.remind(CallId::Departure, self.effects.now + departure::LOOK_EVERY);
    }

    fn depart(&mut self) {
        // A term whose cycle is under way would write rows after they were cleared, as would a list of shards, and one that is won after the departure
        // would be nobody's.
        let plans = self.term.as_ref().is_some_and(|term| !term.is_idle());
        if self.watch.is_attempting() || plans || !self.shard_sync.is_idle() {
            return self.effects.remind(CallId::Departure, self.effects.now + Duration::from_millis(10));
        }
        self.gate.shut();
        for held in self.held.values() {
            held.delivery.close();
        }
        self.session.end(&mut self.effects);
        let term = self.term.take().map(|term| term.number());
        for part in [
            CallId::Cycle,
            CallId::Sessions,
            CallId::FleetHeartbeat,
            CallId::FleetPoll,
            CallId::TakeTerm,
            CallId::Awaited,
        ] {
            self.effects.forget(&part);
        }
        if let Some(departure) = &mut self.departure {
            departure.depart(term, &mut self.effects);
        }
    }

    /// Ends without a departure when there was no time for one.
    pub(super) fn finish_if_overdue(&mut self) {
        let now = self.effects.now;
        if self.finished.is_none() && self.departure.as_ref().is_some_and(|departure| departure.is_overdue(now)) {
            self.finish_with_pending_error();
        }
    }

    pub(super) fn finish_if_gone(&mut self) {
        let Some(departure) = self.departure.as_ref().filter(|departure| departure.is_gone()) else { return };
        if !departure.parked().is_empty() && self.ending_with.is_none() {
            self.ending_with = Some(quarantine::refusal(departure.parked()));
        }
        self.finish_with_pending_error();
    }

    pub(super) fn finish_with_pending_error(&mut self) {
        let outcome = self.ending_with.take().map_or(Ok(()), Err);
        self.finish(outcome);
    }

    /// Stops in an orderly way, and ends with this error.
    pub(super) fn fail(&mut self, error: Error) {
        if self.ending_with.is_none() {
            self.ending_with = Some(error);
            let within = self.settings.shutdown_deadline;
            if self.departure.is_none() {
                self.on_shutdown(within);
            }
        }
    }
}
