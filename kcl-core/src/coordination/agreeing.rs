//! How a coordinator follows the settings that its fleet has agreed on.

use super::coordinator::Coordinator;
use super::effects::Answer;
use super::fleet_poll::FleetPoll;
use super::leader::StaleOwnerTracker;
use super::staleness::Contact;
use super::start::{Start, shared};
use crate::config::{OnFleetSettings, timing};
use crate::coordination::event::CoordinationEvent;
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, FleetSettings};
use crate::lease::{Row, Written};
use std::time::Duration;

impl Coordinator {
    /// A call of one row without an answer after so long is given up. It may still be applied.
    pub(crate) fn call_timeout(&self) -> Duration {
        timing::call_timeout(self.settings.failover_time)
    }

    /// Whether a worker with these settings may register beside this fleet row without another look.
    pub(super) fn agrees(&self, fleet: &Fleet) -> bool {
        fleet.settings.as_ref().is_none_or(|settings| {
            let same_end = settings.until_ms == self.settings.until_ms();
            let changes = self.settings.on_fleet_settings == OnFleetSettings::Change;
            same_end && (changes || settings.shared == shared(&self.settings))
        })
    }

    /// Looks at the table as at the start.
    pub(super) fn examine_table(&mut self) {
        let mut start = Start::new(self.identity.table.clone(), self.identity.me.clone(), &self.settings);
        start.look(&mut self.effects);
        self.starting = Some(start);
    }

    /// Uses the fleet's settings instead of the worker's own, before it has registered.
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
        self.resting = StaleOwnerTracker::default();
        let gap = timing::longest_gap(self.settings.failover_time, self.settings.fleet_poll_interval);
        self.effects.contact = Contact::new(gap);
        self.session.adopt(&self.settings);
        self.watch = FleetPoll::new(self.identity.me.clone(), &self.settings);
        self.fleet_row.adopt(settings.clone());
        self.effects.tell(CoordinationEvent::FleetSettingsAdopted { settings });
        Ok(())
    }

    /// The leader has written the settings that all workers use, or somebody else had changed them.
    pub(super) fn on_fleet_settings_answer(&mut self, answer: Answer) {
        let Answer::Written(written) = answer else { return };
        let applied = matches!(written, Written::Applied(_));
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else { return };
        if let (true, Some(settings)) = (applied, fleet.settings.clone()) {
            self.effects.tell(CoordinationEvent::FleetSettingsChanged { settings });
        }
        self.see_fleet(fleet);
    }
}
