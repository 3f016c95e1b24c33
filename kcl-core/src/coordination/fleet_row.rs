//! Creates the fleet row where there is none, or none that can be read, with counters above all that the table shows.

use super::backoff::RetryPolicy;
use super::call::{CallId, FleetRowCall, Reply, TimerId};
use super::effects::Effects;
use crate::lease::row::{Fleet, FleetSettings, LARGEST_COUNTER, RowKey, SessionNumber};
use crate::lease::{Row, Table, Write, Written};

/// Numbers drawn from a lost row may not be written anywhere yet. This is more than can be under way at a time.
const DRAWN_UNSEEN: u64 = 1_000;
/// Fleets that follow each other on one table draw their session numbers from one of this many ranges, at random.
const NUMBER_RANGES: u64 = 1_000_000;
/// A new fleet row begins at least this far below the largest counter.
const ROOM: u64 = 1 << 40;

#[derive(Debug, Default)]
pub(crate) struct FleetRow {
    state: State,
    /// The highest term and session number that this worker saw, also in rows that are gone.
    seen: Option<(u64, SessionNumber)>,
    /// The settings in a row that this worker creates.
    settings: Option<FleetSettings>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Reading,
    /// Deletes a row that cannot be read, before this one is created.
    Discarding(Box<Fleet>),
    Creating,
}

/// The outcome of one step of the creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FleetRowEvent {
    Nothing,
    /// The row exists: this worker or another one created it.
    Exists(Fleet),
    /// The key has a row of another kind, which this library must not delete.
    Obstructed {
        why: String,
    },
}

const TIMER: TimerId = TimerId::FleetRow;

impl FleetRow {
    pub(crate) fn new(settings: FleetSettings) -> Self {
        FleetRow { settings: Some(settings), ..FleetRow::default() }
    }

    /// The worker uses other settings from now on.
    pub(crate) fn adopt(&mut self, settings: FleetSettings) {
        self.settings = Some(settings);
    }

    /// An answer showed a term and a session number.
    pub(crate) fn note(&mut self, term: u64, session: SessionNumber) {
        let seen = self.seen.unwrap_or_default();
        self.seen = Some((seen.0.max(term), seen.1.max(session)));
    }

    /// Creates the row, unless that is under way.
    pub(crate) fn create(&mut self, effects: &mut Effects) {
        if self.state != State::Idle {
            return;
        }
        self.state = State::Reading;
        if effects.may_start_over(&TIMER, "creating the fleet row") {
            self.read(effects);
        }
    }

    fn read(&mut self, effects: &mut Effects) {
        self.state = State::Reading;
        effects.read_table(CallId::FleetRow(FleetRowCall::ReadTable));
    }

    /// Creates the row, given a table that was just read.
    pub(crate) fn create_from(&mut self, table: &Table, effects: &mut Effects) {
        let terms = table.assignments.iter().map(|plan| plan.term).chain(self.seen.map(|(term, _)| term));
        let owners = table.leases.iter().filter_map(|lease| lease.owner.as_ref()?.session);
        let registered = table.sessions.iter().map(|session| session.number);
        let numbers = registered.chain(owners).chain(self.seen.map(|(_, sessions)| sessions));
        // No fleet counts this far: a number so close to the end was written by a person, and a row above it would
        // soon run out of numbers.
        let counted = |number: &u64| *number <= LARGEST_COUNTER - ROOM;
        // A number that was drawn from a deleted row, and is not written anywhere yet, must not be drawn again.
        let above = |known: Option<u64>| known.map_or(0, |known| known.saturating_add(DRAWN_UNSEEN));
        // A fleet that used this table before may have left no row, and one of its processes may still wake up.
        let before = !table.leases.is_empty();
        let range = if before { effects.below(NUMBER_RANGES) * DRAWN_UNSEEN } else { 0 };
        let fleet = Fleet::above(
            above(terms.filter(counted).max()),
            above(numbers.filter(counted).max()).saturating_add(range),
            before,
        );
        let fleet = Fleet { settings: self.settings.clone(), ..fleet };
        match table.damaged.iter().find(|damaged| damaged.key == RowKey::Fleet && damaged.is_ours()) {
            Some(damaged) => {
                effects.write(CallId::FleetRow(FleetRowCall::Write), Write::Discard(damaged.clone()));
                self.state = State::Discarding(Box::new(fleet));
            }
            None => self.write(fleet, effects),
        }
    }

    fn write(&mut self, fleet: Fleet, effects: &mut Effects) {
        effects.write(CallId::FleetRow(FleetRowCall::Write), Write::CreateFleet(fleet));
        self.state = State::Creating;
    }

    /// The session ended, and answers to its calls are dropped.
    pub(crate) fn cancel(&mut self) {
        self.state = State::Idle;
    }

    /// An attempt failed. The table is read again, as it may have changed.
    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        if self.state != State::Idle {
            self.read(effects);
        }
    }

    pub(crate) fn on_table(&mut self, answer: Reply<Table>, effects: &mut Effects) -> FleetRowEvent {
        self.state = State::Idle;
        match answer {
            Ok(Table { fleet: Some(fleet), .. }) => return FleetRowEvent::Exists(fleet),
            Ok(table) => self.create_from(&table, effects),
            Err(_) => self.read_later(effects),
        }
        FleetRowEvent::Nothing
    }

    pub(crate) fn on_written(&mut self, answer: Reply<Written>, effects: &mut Effects) -> FleetRowEvent {
        let before = std::mem::take(&mut self.state);
        let Ok(Written::Applied(row) | Written::Refused(row)) = answer else {
            self.read_later(effects);
            return FleetRowEvent::Nothing;
        };
        match (row, before) {
            (None, State::Discarding(fleet)) => self.write(*fleet, effects),
            (Some(Row::Fleet(fleet)), _) => return FleetRowEvent::Exists(fleet),
            (Some(Row::Damaged(damaged)), _) if !damaged.is_ours() => {
                return FleetRowEvent::Obstructed { why: damaged.why };
            }
            // The damaged row has changed since it was read.
            (Some(Row::Damaged(_)), _) => self.read_later(effects),
            (Some(Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_)), _) => {}
            // The row that refused the write was deleted before it could be read.
            (None, State::Idle | State::Reading | State::Creating) => self.read_later(effects),
        }
        FleetRowEvent::Nothing
    }

    fn read_later(&mut self, effects: &mut Effects) {
        self.state = State::Reading;
        effects.retry(TIMER, RetryPolicy::CALL);
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::{Failure, Op};
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
    fn a_row_that_is_created_again_counts_above_the_numbers_seen_in_the_one_before() {
        let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
        row.create_from(&Table::default(), &mut effects);
        let first = created(&mut effects).expect("the row is created");
        assert_eq!((first.term, first.sessions), (1, 0));
        row.note(4, 7);
        row.create_from(&Table::default(), &mut effects);
        let again = created(&mut effects).expect("the row is created");
        assert_eq!((again.term, again.sessions), (4 + DRAWN_UNSEEN + 1, 7 + DRAWN_UNSEEN));
    }

    #[test]
    fn a_row_is_created_with_room_to_count_on_whatever_numbers_other_rows_have() {
        for largest in [LARGEST_COUNTER, u64::MAX] {
            let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
            row.note(largest, largest);
            row.create_from(&Table::default(), &mut effects);
            let made = created(&mut effects).expect("the row is created");
            assert!(made.term < LARGEST_COUNTER - DRAWN_UNSEEN && made.sessions < LARGEST_COUNTER - DRAWN_UNSEEN);
        }
    }

    #[test]
    fn an_attempt_without_an_answer_reads_the_table_again() {
        let (mut row, mut effects) = (FleetRow::default(), Effects::new(fastrand::Rng::with_seed(1)));
        row.create_from(&Table::default(), &mut effects);
        effects.take_calls();
        row.on_written(Err(Failure::Unanswered), &mut effects);
        row.on_timer(&mut effects);
        assert!(matches!(effects.take_calls().as_slice(), [call] if matches!(call.op, Op::Page { .. })));
    }

    fn damaged(shown: &str, ours: bool) -> Row {
        let mark = SeenAttribute { attribute: "term", value: SeenValue::Text(shown.to_owned()) };
        let fingerprint = if ours { vec![mark] } else { Vec::new() };
        Row::Damaged(Damaged { key: RowKey::Fleet, why: "no".to_owned(), fingerprint })
    }

    /// Creates the row in a table; `between` may change the table before each call, of which it gets the number.
    fn made(store: &MemoryStore, mut between: impl FnMut(&MemoryStore, usize)) -> FleetRowEvent {
        let (mut effects, mut row) = (Effects::new(fastrand::Rng::with_seed(1)), FleetRow::default());
        row.create(&mut effects);
        for call in 0..20 {
            let Some(asked) = effects.take_calls().pop() else {
                let due = effects.next_due().expect("neither a call nor a timer is left");
                assert!(due > effects.now, "a pause");
                effects.now = due;
                effects.take_due();
                row.on_timer(&mut effects);
                continue;
            };
            between(store, call);
            let event = match asked.op {
                Op::Write(write) => row.on_written(Ok(store.apply(&write)), &mut effects),
                Op::Page { .. } => row.on_table(Ok(store.table()), &mut effects),
                Op::Read(..) | Op::ReadSome(..) | Op::List(..) => unreachable!(),
            };
            if event != FleetRowEvent::Nothing {
                return event;
            }
        }
        panic!("the row was not created: {row:?}")
    }

    #[test]
    fn a_row_that_cannot_be_read_is_created_again() {
        let store = MemoryStore::of([damaged("x", true)]);
        assert!(matches!(made(&store, |_, _| {}), FleetRowEvent::Exists(_)));
        assert!(matches!(store.get(&RowKey::Fleet), Some(Row::Fleet(_))));
    }

    #[test]
    fn a_row_that_another_worker_has_repaired_meanwhile_is_left_alone() {
        let store = MemoryStore::of([damaged("x", true)]);
        let repaired = Fleet { heartbeat: 77, ..Fleet::above(3, 3, true) };
        let put = Row::Fleet(repaired.clone());
        assert_eq!(
            made(&store, |store, call| if call == 1 {
                store.put(put.clone())
            }),
            FleetRowEvent::Exists(repaired)
        );
    }

    #[test]
    fn a_row_that_was_damaged_in_another_way_meanwhile_is_read_again() {
        let store = MemoryStore::of([damaged("x", true)]);
        let event = made(&store, |store, call| {
            if call == 1 {
                store.put(damaged("y", true))
            }
        });
        assert!(matches!(event, FleetRowEvent::Exists(_)));
    }

    #[test]
    fn a_row_of_another_kind_at_the_key_is_not_deleted() {
        let store = MemoryStore::of([damaged("x", false)]);
        assert_eq!(made(&store, |_, _| {}), FleetRowEvent::Obstructed { why: "no".to_owned() });
        assert_eq!(store.get(&RowKey::Fleet), Some(damaged("x", false)));
    }
}
