//! Making the fleet row where there is none: above every term and number that the table still knows.

use super::effects::{Answer, Effects, Op, Part};
use crate::lease::row::Fleet;
use crate::lease::{Table, Write, Written};
use std::time::Duration;

/// More terms and sessions than can be under way at a time.
const DRAWN_UNSEEN: u64 = 1_000;
const AGAIN: Duration = Duration::from_millis(300);

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum FleetRow {
    #[default]
    Idle,
    Reading,
    Creating(Fleet),
}

impl FleetRow {
    /// Makes it, unless that is under way.
    pub(crate) fn make(&mut self, effects: &mut Effects) {
        if *self == FleetRow::Idle {
            *self = FleetRow::Reading;
            effects.call(Part::FleetRow, Op::Scan);
        }
    }

    /// Makes it from a table that was just read.
    pub(crate) fn make_from(&mut self, table: &Table, effects: &mut Effects) {
        let terms = table.plans.iter().map(|plan| plan.term);
        let owners = table.leases.iter().filter_map(|lease| lease.owner.as_ref()?.session);
        let numbers = table.sessions.iter().map(|session| session.number).chain(owners);
        // What was drawn from a row that was removed by hand, and is not written anywhere yet, must not be drawn again.
        let above = |known: Option<u64>| known.map_or(0, |known| known + DRAWN_UNSEEN);
        let fleet = Fleet::above(above(terms.max()), above(numbers.max()), !table.leases.is_empty());
        effects.write(Part::FleetRow, Write::CreateFleet(fleet.clone()));
        *self = FleetRow::Creating(fleet);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        match self {
            FleetRow::Idle => {}
            FleetRow::Reading => effects.call(Part::FleetRow, Op::Scan),
            FleetRow::Creating(fleet) => effects.write(Part::FleetRow, Write::CreateFleet(fleet.clone())),
        }
    }

    /// Tells the row once it is there, whoever made it.
    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> Option<Fleet> {
        match answer {
            Answer::Table(table) => match table.fleet.clone() {
                Some(fleet) => {
                    *self = FleetRow::Idle;
                    Some(fleet)
                }
                None => {
                    self.make_from(&table, effects);
                    None
                }
            },
            Answer::Written(Written::Applied(row) | Written::Refused(row)) => {
                *self = FleetRow::Idle;
                row.and_then(|row| row.as_fleet().cloned())
            }
            Answer::Failed(_) | Answer::Rows(_) | Answer::Listing(_) => {
                effects.remind(Part::FleetRow, effects.now + AGAIN);
                None
            }
        }
    }
}
