//! Decides when this worker reads its assignment row, and which assignment it obeys.

use super::call::{CallId, Op, Reply, Rows};
use super::effects::Effects;
use super::intervals;
use crate::clock::Time;
use crate::lease::row::{AcquireMode, Assignment, Damaged, Fleet, RowKey, WorkerId};
use crate::lease::{Consistency, Row};

/// The state of one session's reads.
#[derive(Debug, Default)]
pub(super) struct AssignmentReader {
    /// The term and version of the assignments that were read last.
    seen: (u64, u64),
    /// The term and version for which the row is being read. The fleet row may show a later one before the answer comes.
    reading: Option<(u64, u64)>,
    /// When it was last reported that the row cannot be read.
    damage_reported: Option<Time>,
}

/// The outcome of a read.
#[derive(Debug, PartialEq)]
pub(super) enum AssignmentEvent {
    Nothing,
    Obey(Assignment),
    /// The row cannot be read. The leader writes it again once it has read the table.
    Damaged(Damaged),
}

impl AssignmentReader {
    /// The fleet row was created again, and its versions begin anew.
    pub(super) fn forget(&mut self) {
        self.seen = (0, 0);
    }

    /// The fleet row was read: reads the assignment row if the leader has published a new version.
    pub(super) fn on_fleet(&mut self, fleet: &Fleet, me: &WorkerId, effects: &mut Effects) {
        let shown = (fleet.term, fleet.assignment_version);
        if shown > self.seen && fleet.assignment_version > 0 && self.reading.is_none() {
            self.reading = Some(shown);
            let keys = vec![RowKey::Assignment(me.clone())];
            effects.call(CallId::AssignmentRow, Op::Read(keys, Consistency::Strong));
        }
    }

    pub(super) fn on_row(&mut self, answer: Reply<Rows>, fleet: Option<&Fleet>, now: Time) -> AssignmentEvent {
        let asked = self.reading.take();
        // Without an answer, the next poll of the fleet row reads again.
        let (Ok(rows), Some(asked), Some(fleet)) = (answer, asked, fleet) else { return AssignmentEvent::Nothing };
        let shown = (fleet.term, fleet.assignment_version);
        match rows.into_iter().next().flatten() {
            Some(Row::Assignment(mut assignment)) if mutated!(ObeysAnyPlan) => {
                assignment.acquires.iter_mut().for_each(|acquire| acquire.mode = AcquireMode::Now);
                self.seen = asked;
                AssignmentEvent::Obey(assignment)
            }
            Some(Row::Assignment(assignment)) if assignment.term == shown.0 && assignment.version <= shown.1 => {
                self.seen = asked;
                AssignmentEvent::Obey(assignment)
            }
            // Written and not published yet: the fleet row will show its version.
            Some(Row::Assignment(assignment)) if (assignment.term, assignment.version) > shown => {
                AssignmentEvent::Nothing
            }
            Some(Row::Damaged(damaged)) => {
                self.seen = asked;
                if self.damage_reported.is_some_and(|at| now.since(at) < intervals::ALARM_REPEAT) {
                    return AssignmentEvent::Nothing;
                }
                self.damage_reported = Some(now);
                AssignmentEvent::Damaged(damaged)
            }
            Some(_) | None => {
                self.seen = asked;
                AssignmentEvent::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Failure;
    use super::*;
    use std::time::Duration;

    fn me() -> WorkerId {
        WorkerId::parse("me").unwrap()
    }

    fn fleet(term: u64, assignment_version: u64) -> Fleet {
        Fleet { term, assignment_version, ..Fleet::above(0, 0, true) }
    }

    fn row(term: u64, version: u64) -> Reply<Rows> {
        let (acquires, yields, lists) = (vec![], vec![], vec![]);
        Ok(vec![Some(Row::Assignment(Assignment { worker: me(), term, version, acquires, yields, lists }))])
    }

    fn reads(reader: &mut AssignmentReader, fleet: &Fleet) -> bool {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        reader.on_fleet(fleet, &me(), &mut effects);
        !effects.take_calls().is_empty()
    }

    #[test]
    fn each_version_is_read_once_and_again_after_a_read_that_failed() {
        let mut reader = AssignmentReader::default();
        assert!(!reads(&mut reader, &fleet(3, 0)), "the term has published nothing");
        assert!(reads(&mut reader, &fleet(3, 1)));
        assert!(!reads(&mut reader, &fleet(3, 2)), "one read at a time");
        let failed = Err(Failure::Unanswered);
        assert_eq!(reader.on_row(failed, Some(&fleet(3, 2)), Time::ZERO), AssignmentEvent::Nothing);
        assert!(reads(&mut reader, &fleet(3, 2)));
        let obeyed = reader.on_row(row(3, 1), Some(&fleet(3, 2)), Time::ZERO);
        assert!(matches!(obeyed, AssignmentEvent::Obey(assignment) if assignment.version == 1));
        assert!(!reads(&mut reader, &fleet(3, 2)));
        reader.forget();
        assert!(reads(&mut reader, &fleet(1, 1)), "of a fleet row that was created again");
    }

    #[test]
    fn an_assignment_is_obeyed_only_in_its_term_and_once_it_is_published() {
        for (written, obeyed) in [((3, 2), true), ((3, 3), false), ((2, 9), false), ((4, 1), false)] {
            let mut reader = AssignmentReader::default();
            assert!(reads(&mut reader, &fleet(3, 2)));
            let event = reader.on_row(row(written.0, written.1), Some(&fleet(3, 2)), Time::ZERO);
            assert_eq!(matches!(event, AssignmentEvent::Obey(_)), obeyed, "{written:?}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_reported_once_a_minute() {
        let mut reader = AssignmentReader::default();
        let reported = (1..=90).filter(|second| {
            assert!(reads(&mut reader, &fleet(3, *second)));
            let damaged = Damaged { key: RowKey::Assignment(me()), why: "no".to_owned(), fingerprint: vec![] };
            let now = Time::from_origin(Duration::from_secs(*second));
            let event = reader.on_row(Ok(vec![Some(Row::Damaged(damaged))]), Some(&fleet(3, *second)), now);
            matches!(event, AssignmentEvent::Damaged(_))
        });
        assert_eq!(reported.collect::<Vec<_>>(), [1, 61]);
    }
}
