//! Connects the settings that all workers of a fleet share with the components that use them.

use super::Coordinator;
use crate::config::{OnFleetSettings, timing};
use crate::coordination::call::Reply;
use crate::coordination::event::CoordinationEvent;
use crate::coordination::fleet_poll::FleetPoll;
use crate::coordination::staleness::Contact;
use crate::coordination::start::shared;
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, FleetSettings};
use crate::lease::{Row, Written};
use std::time::Duration;

impl Coordinator {
    /// A longer time without an answer voids the evidence that sessions are stale.
    pub(super) fn longest_gap(&self) -> Duration {
        timing::longest_gap(self.settings.failover_time, self.settings.fleet_poll_interval)
    }

    /// Whether a worker with these settings may register under this fleet row without another examination.
    pub(super) fn agrees(&self, fleet: &Fleet) -> bool {
        fleet.settings.as_ref().is_none_or(|settings| {
            let same_end = settings.until_ms == self.settings.until_ms();
            let changes = self.settings.on_fleet_settings == OnFleetSettings::Change;
            same_end && (changes || settings.shared == shared(&self.settings))
        })
    }

    /// Uses the fleet's settings instead of the worker's own. The worker has not registered yet.
    pub(super) fn adopt(&mut self, settings: FleetSettings) -> Result<(), Error> {
        let mut adopted = self.settings.clone();
        adopted.failover_time = settings.shared.failover_time;
        adopted.balance_by = settings.shared.balance_by;
        if let Err(error) = adopted.validate_timing() {
            let message = format!(
                "worker `{}` cannot adopt the settings of the fleet of table `{}`, set by worker `{}`: {error}",
                self.identity.me, self.identity.table, settings.set_by
            );
            return Err(Error::new(Code::FleetSettings, message));
        }
        self.settings = adopted;
        self.effects.contact = Contact::new(self.longest_gap());
        self.session.adopt(&self.settings);
        self.fleet_poll = FleetPoll::new(self.identity.me.clone(), &self.settings);
        self.fleet_row.adopt(settings.clone());
        self.effects.emit(CoordinationEvent::FleetSettingsAdopted { settings });
        Ok(())
    }

    /// The leader's write of the shared settings was answered. It is refused if another leader has changed them.
    pub(super) fn on_fleet_settings_answer(&mut self, answer: Reply<Written>) {
        let Ok(written) = answer else { return };
        let applied = matches!(written, Written::Applied(_));
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else { return };
        if let (true, Some(settings)) = (applied, fleet.settings.clone()) {
            self.effects.emit(CoordinationEvent::FleetSettingsChanged { settings });
        }
        self.see_fleet(fleet);
    }
}
