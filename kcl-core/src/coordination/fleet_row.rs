//! Making the fleet row where there is none: above every term and number that the table still knows.

use super::effects::{Answer, Effects, Op, Part};
use crate::lease::row::{Fleet, SessionNumber};
use crate::lease::{Table, Write, Written};
use std::time::Duration;

/// More terms and sessions than can be under way at a time.
const DRAWN_UNSEEN: u64 = 1_000;
const AGAIN: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
pub(crate) struct FleetRow {
    state: State,
    /// The highest term and session number that this worker saw, also of rows that are gone.
    seen: Option<(u64, SessionNumber)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Reading,
    Creating,
}

impl FleetRow {
    /// A term and a session number, from whichever answer showed them.
    pub(crate) fn note(&mut self, term: u64, session: SessionNumber) {
        let seen = self.seen.unwrap_or_default();
        self.seen = Some((seen.0.max(term), seen.1.max(session)));
    }

    /// Makes it, unless that is under way.
    pub(crate) fn make(&mut self, effects: &mut Effects) {
        if self.state == State::Idle {
            self.read(effects);
        }
    }

    fn read(&mut self, effects: &mut Effects) {
        self.state = State::Reading;
        effects.call(Part::FleetRow, Op::Scan);
    }

    /// Makes it from a table that was just read.
    pub(crate) fn make_from(&mut self, table: &Table, effects: &mut Effects) {
        let terms = table.plans.iter().map(|plan| plan.term).chain(self.seen.map(|(term, _)| term));
        let owners = table.leases.iter().filter_map(|lease| lease.owner.as_ref()?.session);
        let registered = table.sessions.iter().map(|session| session.number);
        let numbers = registered.chain(owners).chain(self.seen.map(|(_, sessions)| sessions));
        // What was drawn from a row that was removed by hand, and is not written anywhere yet, must not be drawn again.
        let above = |known: Option<u64>| known.map_or(0, |known| known + DRAWN_UNSEEN);
        let fleet = Fleet::above(above(terms.max()), above(numbers.max()), !table.leases.is_empty());
        effects.write(Part::FleetRow, Write::CreateFleet(fleet));
        self.state = State::Creating;
    }

    /// The session is over, and with it what was under way.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Idle;
    }

    /// An attempt came to nothing. The table is read again: it may be another one by now.
    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        if self.state != State::Idle {
            self.read(effects);
        }
    }

    /// Tells the row once it is there, whoever made it.
    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> Option<Fleet> {
        match answer {
            Answer::Table(table) => match table.fleet.clone() {
                Some(fleet) => {
                    self.state = State::Idle;
                    Some(fleet)
                }
                None => {
                    self.make_from(&table, effects);
                    None
                }
            },
            Answer::Written(Written::Applied(row) | Written::Refused(row)) => {
                self.state = State::Idle;
                row.and_then(|row| row.as_fleet().cloned())
            }
            Answer::Failed(_) | Answer::Rows(_) | Answer::Listing(_) => {
                effects.remind(Part::FleetRow, effects.now + AGAIN);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::effects::Failure;
    use super::*;

    fn created(effects: &mut Effects) -> Option<Fleet> {
        effects.take_calls().into_iter().find_map(|call| match call.op {
            Op::Write(Write::CreateFleet(fleet)) => Some(fleet),
            _ => None,
        })
    }

    #[test]
    fn a_row_that_is_made_again_counts_above_what_was_seen_of_the_one_before() {
        let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
        row.make_from(&Table::default(), &mut effects);
        let first = created(&mut effects).expect("it is made");
        assert_eq!((first.term, first.sessions), (1, 0));
        row.note(4, 7);
        row.make_from(&Table::default(), &mut effects);
        let again = created(&mut effects).expect("it is made");
        assert_eq!((again.term, again.sessions), (4 + DRAWN_UNSEEN + 1, 7 + DRAWN_UNSEEN));
    }

    #[test]
    fn an_attempt_without_an_answer_reads_the_table_again() {
        let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
        row.make_from(&Table::default(), &mut effects);
        effects.take_calls();
        row.on_answer(Answer::Failed(Failure::Unanswered), &mut effects);
        row.on_timer(&mut effects);
        assert!(matches!(effects.take_calls().as_slice(), [call] if matches!(call.op, Op::Scan)));
    }
}
