//! Making the fleet row where there is none, or none that can be read: above every term and number that the table still
//! knows.

use super::effects::{Answer, CallId, Effects, Op};
use crate::lease::row::{Fleet, FleetSettings, LARGEST_COUNTER, RowKey, SessionNumber};
use crate::lease::{Row, Table, Write, Written};

/// More terms and sessions than can be under way at a time.
const DRAWN_UNSEEN: u64 = 1_000;
/// Fleets that follow each other on one table draw their session numbers from so many ranges, by chance.
const NUMBERED_APART: u64 = 1_000_000;
/// How far below the largest counter a new fleet row begins at the least.
const ROOM: u64 = 1 << 40;

#[derive(Debug, Default)]
pub(crate) struct FleetRow {
    state: State,
    /// The highest term and session number that this worker saw, also of rows that are gone.
    seen: Option<(u64, SessionNumber)>,
    /// What a row that this worker makes says of settings.
    settings: Option<FleetSettings>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Reading,
    /// Makes away with one that cannot be read, to make this one.
    Discarding(Box<Fleet>),
    Creating,
}

/// What making it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FleetRowEvent {
    Nothing,
    /// The row is there, whoever made it.
    Made(Fleet),
    /// Another kind of row stands there, and is not ours to remove.
    Obstructed {
        why: String,
    },
}

impl FleetRow {
    pub(crate) fn new(settings: FleetSettings) -> Self {
        FleetRow { settings: Some(settings), ..FleetRow::default() }
    }

    /// The worker uses other settings from now on.
    pub(crate) fn adopt(&mut self, settings: FleetSettings) {
        self.settings = Some(settings);
    }

    /// A term and a session number, from whichever answer showed them.
    pub(crate) fn note(&mut self, term: u64, session: SessionNumber) {
        let seen = self.seen.unwrap_or_default();
        self.seen = Some((seen.0.max(term), seen.1.max(session)));
    }

    /// Makes it, unless that is under way.
    pub(crate) fn make(&mut self, effects: &mut Effects) {
        if self.state != State::Idle {
            return;
        }
        self.state = State::Reading;
        if effects.may_start_over(&CallId::FleetRow) {
            self.read(effects);
        }
    }

    fn read(&mut self, effects: &mut Effects) {
        self.state = State::Reading;
        effects.call(CallId::FleetRow, Op::Scan);
    }

    /// Makes it from a table that was just read.
    pub(crate) fn make_from(&mut self, table: &Table, effects: &mut Effects) {
        let terms = table.assignments.iter().map(|plan| plan.term).chain(self.seen.map(|(term, _)| term));
        let owners = table.leases.iter().filter_map(|lease| lease.owner.as_ref()?.session);
        let registered = table.sessions.iter().map(|session| session.number);
        let numbers = registered.chain(owners).chain(self.seen.map(|(_, sessions)| sessions));
        // What was drawn from a row that was removed by hand, and is not written anywhere yet, must not be drawn again.
        // Nobody has counted to the end: a number up there was written by hand, and would leave no room to count on.
        let counted = |number: &u64| *number <= LARGEST_COUNTER - ROOM;
        let above = |known: Option<u64>| known.map_or(0, |known| known.saturating_add(DRAWN_UNSEEN));
        // Nothing may be known of a fleet that ended here, and one of its processes may wake up yet.
        let before = !table.leases.is_empty();
        let apart = if before { effects.below(NUMBERED_APART) * DRAWN_UNSEEN } else { 0 };
        let fleet = Fleet::above(
            above(terms.filter(counted).max()),
            above(numbers.filter(counted).max()).saturating_add(apart),
            before,
        );
        let fleet = Fleet { settings: self.settings.clone(), ..fleet };
        match table.damaged.iter().find(|damaged| damaged.key == RowKey::Fleet && damaged.is_ours()) {
            Some(damaged) => {
                effects.write(CallId::FleetRow, Write::Discard(damaged.clone()));
                self.state = State::Discarding(Box::new(fleet));
            }
            None => self.create(fleet, effects),
        }
    }

    fn create(&mut self, fleet: Fleet, effects: &mut Effects) {
        effects.write(CallId::FleetRow, Write::CreateFleet(fleet));
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

    /// Tells the row once it is there.
    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> FleetRowEvent {
        match (answer, std::mem::take(&mut self.state)) {
            (Answer::Table(table), _) => match table.fleet.clone() {
                Some(fleet) => FleetRowEvent::Made(fleet),
                None => {
                    self.make_from(&table, effects);
                    FleetRowEvent::Nothing
                }
            },
            (Answer::Written(Written::Applied(None) | Written::Refused(None)), State::Discarding(fleet)) => {
                self.create(*fleet, effects);
                FleetRowEvent::Nothing
            }
            (Answer::Written(Written::Applied(row) | Written::Refused(row)), _) => match row {
                Some(Row::Fleet(fleet)) => FleetRowEvent::Made(fleet),
                Some(Row::Damaged(damaged)) if !damaged.is_ours() => FleetRowEvent::Obstructed { why: damaged.why },
                // Changed since it was read: to be looked at again.
                Some(Row::Damaged(_)) => {
                    self.read_later(effects);
                    FleetRowEvent::Nothing
                }
                Some(Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_)) => FleetRowEvent::Nothing,
                // Gone between the write and the look at what refused it.
                None => {
                    self.read_later(effects);
                    FleetRowEvent::Nothing
                }
            },
            (Answer::Failed(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Listing(_), _) => {
                self.read_later(effects);
                FleetRowEvent::Nothing
            }
        }
    }

    fn read_later(&mut self, effects: &mut Effects) {
        self.state = State::Reading;
        effects.repeat(CallId::FleetRow);
    }
}

#[cfg(test)]
mod tests {
    use super::super::effects::Failure;
    use super::*;
    use crate::lease::MemoryStore;
    use crate::lease::row::{Damaged, SeenAttribute, SeenValue};

    fn created(effects: &mut Effects) -> Option<Fleet> {
        effects
            .take_calls()
            .into_iter()
            .find_map(|call| if let Op::Write(Write::CreateFleet(fleet)) = call.op { Some(fleet) } else { None })
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
    fn a_row_is_made_with_room_to_count_on_whatever_other_rows_say() {
        for largest in [LARGEST_COUNTER, u64::MAX] {
            let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
            row.note(largest, largest);
            row.make_from(&Table::default(), &mut effects);
            let made = created(&mut effects).expect("it is made");
            assert!(made.term < LARGEST_COUNTER - DRAWN_UNSEEN && made.sessions < LARGEST_COUNTER - DRAWN_UNSEEN);
        }
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

    fn damaged(shown: &str, ours: bool) -> Row {
        let mark = SeenAttribute { attribute: "term", value: SeenValue::Text(shown.to_owned()) };
        let fingerprint = if ours { vec![mark] } else { Vec::new() };
        Row::Damaged(Damaged { key: RowKey::Fleet, why: "no".to_owned(), fingerprint })
    }

    /// Makes the row in a table; `between` changes it before the second call.
    fn made(store: &MemoryStore, mut between: impl FnMut(&MemoryStore, usize)) -> FleetRowEvent {
        let (mut effects, mut row) = (Effects::new(fastrand::Rng::with_seed(1)), FleetRow::default());
        row.make(&mut effects);
        for call in 0..20 {
            let Some(asked) = effects.take_calls().pop() else {
                let due = effects.next_due().expect("it waits for nothing");
                assert!(due > effects.now, "a pause");
                effects.now = due;
                effects.take_due();
                row.on_timer(&mut effects);
                continue;
            };
            between(store, call);
            let answer = match asked.op {
                Op::Write(write) => Answer::Written(store.apply(&write)),
                Op::Scan => Answer::Table(store.table()),
                Op::Read(..) | Op::ReadSome(..) | Op::Page { .. } | Op::List(..) => unreachable!(),
            };
            let news = row.on_answer(answer, &mut effects);
            if news != FleetRowEvent::Nothing {
                return news;
            }
        }
        panic!("never made: {row:?}")
    }

    #[test]
    fn a_row_that_cannot_be_read_is_made_again() {
        let store = MemoryStore::of([damaged("x", true)]);
        assert!(matches!(made(&store, |_, _| {}), FleetRowEvent::Made(_)));
        assert!(matches!(store.get(&RowKey::Fleet), Some(Row::Fleet(_))));
    }

    #[test]
    fn a_row_that_another_worker_has_mended_meanwhile_is_left_alone() {
        let store = MemoryStore::of([damaged("x", true)]);
        let mended = Fleet { heartbeat: 77, ..Fleet::above(3, 3, true) };
        let put = Row::Fleet(mended.clone());
        assert_eq!(
            made(&store, |store, call| if call == 1 {
                store.put(put.clone())
            }),
            FleetRowEvent::Made(mended)
        );
    }

    #[test]
    fn a_row_that_was_damaged_otherwise_meanwhile_is_looked_at_again() {
        let store = MemoryStore::of([damaged("x", true)]);
        let news = made(&store, |store, call| {
            if call == 1 {
                store.put(damaged("y", true))
            }
        });
        assert!(matches!(news, FleetRowEvent::Made(_)));
    }

    #[test]
    fn another_kind_of_row_at_its_key_is_not_ours_to_remove() {
        let store = MemoryStore::of([damaged("x", false)]);
        assert_eq!(made(&store, |_, _| {}), FleetRowEvent::Obstructed { why: "no".to_owned() });
        assert_eq!(store.get(&RowKey::Fleet), Some(damaged("x", false)));
    }
}
