//! The coordinator's half that concerns stopping: asked to, or because it cannot go on.

use super::coordinator::Coordinator;
use super::effects::Part;
use super::goodbye::{self, Goodbye};
use super::held::Why;
use super::parked;
use crate::error::Error;
use crate::lease::row::SessionNumber;
use crate::telemetry::event::coordination::Happening;
use std::time::Duration;

impl Coordinator {
    pub(super) fn on_shutdown(&mut self, within: Duration) {
        let deadline = self.effects.now + within;
        if let Some(goodbye) = &mut self.goodbye {
            goodbye.hurry(self.effects.now);
            return self.effects.remind(Part::Goodbye, self.effects.now);
        }
        let number = self.session.number();
        self.effects.tell(Happening::ShutdownAsked { within });
        let me = (self.identity.me.clone(), number.unwrap_or(0));
        let goodbye = Goodbye::new(me, deadline, self.effects.now).leaving_parked(self.settings.leave_parked);
        self.goodbye = Some(goodbye);
        match number {
            Some(number) => self.begin_goodbye(number),
            // Registering: a session that may exist must be ended; before that there is nothing to end.
            None if self.session.is_registering() => self.effects.remind(Part::Goodbye, deadline),
            None => self.finish_with_pending_error(),
        }
    }

    pub(super) fn begin_goodbye(&mut self, number: SessionNumber) {
        let load = self.load();
        if let Some(goodbye) = &mut self.goodbye {
            let me = (self.identity.me.clone(), number);
            *goodbye =
                Goodbye::new(me, goodbye.deadline(), self.effects.now).leaving_parked(self.settings.leave_parked);
        }
        self.claims.give_up();
        self.listings.follow(&[], &mut self.effects);
        self.session.drain(load, &mut self.effects);
        if let Some(term) = &mut self.term {
            term.drain(&mut self.effects);
        }
        self.wake_planner();
        self.effects.remind(Part::Goodbye, self.effects.now);
    }

    pub(super) fn on_goodbye_timer(&mut self) {
        let Some(goodbye) = &mut self.goodbye else { return };
        if self.session.number().is_none() {
            return self.finish_with_pending_error();
        }
        if !goodbye.is_waiting() {
            goodbye.on_timer(&mut self.effects);
            return self.finish_if_gone();
        }
        let alone = self.term.as_ref().is_some_and(|term| term.has_others() == Some(false));
        let leases_left = !self.held.is_empty() || !self.claims.is_empty();
        let deadline = goodbye.deadline();
        match goodbye.next(leases_left, !self.consumers.is_empty(), alone, self.effects.now) {
            goodbye::Next::Wait => {}
            goodbye::Next::ReleaseAll => {
                for held in self.held.values_mut() {
                    held.drain(Why::Shutdown, deadline, &mut self.effects);
                }
            }
            goodbye::Next::ReleaseNow => {
                for held in self.held.values_mut() {
                    held.release_now(Why::Shutdown, &mut self.effects);
                }
            }
            goodbye::Next::Depart => return self.depart(),
        }
        self.effects.remind(Part::Goodbye, self.effects.now + goodbye::LOOK_EVERY);
    }

    fn depart(&mut self) {
        // A term whose cycle is under way would write rows after they were cleared, as would a list of shards, and one that is won after the goodbye
        // would be nobody's.
        let plans = self.term.as_ref().is_some_and(|term| !term.is_resting());
        if self.watch.is_attempting() || plans || !self.listings.is_idle() {
            return self.effects.remind(Part::Goodbye, self.effects.now + Duration::from_millis(10));
        }
        self.gate.shut();
        for held in self.held.values() {
            held.delivery.close();
        }
        self.session.end(&mut self.effects);
        let term = self.term.take().map(|term| term.number());
        for part in [Part::Cycle, Part::Sessions, Part::FleetBeat, Part::Watch, Part::TakeTerm, Part::Awaited] {
            self.effects.forget(&part);
        }
        if let Some(goodbye) = &mut self.goodbye {
            goodbye.depart(term, &mut self.effects);
        }
    }

    /// Ends without a goodbye when there was no time for one.
    pub(super) fn finish_if_overdue(&mut self) {
        let now = self.effects.now;
        if self.finished.is_none() && self.goodbye.as_ref().is_some_and(|goodbye| goodbye.is_overdue(now)) {
            self.finish_with_pending_error();
        }
    }

    pub(super) fn finish_if_gone(&mut self) {
        let Some(goodbye) = self.goodbye.as_ref().filter(|goodbye| goodbye.is_gone()) else { return };
        if !goodbye.parked().is_empty() && self.ending_with.is_none() {
            self.ending_with = Some(parked::refusal(goodbye.parked()));
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
            if self.goodbye.is_none() {
                self.on_shutdown(within);
            }
        }
    }
}
