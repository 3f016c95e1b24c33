//! Collects what components want done: calls, timers and events. Knows nothing of the protocol.

use super::backoff::{Attempts, RetryPolicy};
use super::call::{Answered, Call, CallId, Generation, Op, TimerId};
use super::staleness::Contact;
use super::table_read::TableReads;
use crate::clock::Time;
use crate::coordination::event::CoordinationEvent;
use crate::lease::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The contact's gap until the settings are known. See [`Contact`].
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// A component may go back to its first step this often without a pause: two processes race, or a row was removed.
/// More often than that, the table does not do what it answers.
const QUICK_ROUNDS: u32 = 2;

/// Timers, one for each id.
#[derive(Debug, Default)]
struct Timers {
    by_id: BTreeMap<TimerId, Time>,
    by_time: BTreeSet<(Time, TimerId)>,
}

impl Timers {
    fn set(&mut self, id: TimerId, at: Time) {
        if let Some(before) = self.by_id.insert(id.clone(), at) {
            self.by_time.remove(&(before, id.clone()));
        }
        self.by_time.insert((at, id));
    }

    fn clear(&mut self, id: &TimerId) {
        if let Some(at) = self.by_id.remove(id) {
            self.by_time.remove(&(at, id.clone()));
        }
    }

    fn take_due(&mut self, now: Time) -> Option<TimerId> {
        let (at, id) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let id = id.clone();
        self.clear(&id);
        Some(id)
    }
}

/// Takes the commands of all components, for the loop in [`super::run`] to execute.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) now: Time,
    pub(crate) rng: fastrand::Rng,
    generation: Generation,
    calls: Vec<Call>,
    events: Vec<CoordinationEvent>,
    timers: Timers,
    attempts: Attempts,
    rounds: Attempts,
    /// Full reads of the table under way.
    pub(crate) table_reads: TableReads,
    /// Since when the table has answered without a long gap.
    pub(crate) contact: Contact,
}

impl Effects {
    pub(crate) fn new(rng: fastrand::Rng) -> Self {
        Effects {
            now: Time::ZERO,
            rng,
            generation: Generation::default(),
            calls: Vec::new(),
            events: Vec::new(),
            timers: Timers::default(),
            attempts: Attempts::default(),
            rounds: Attempts::default(),
            table_reads: TableReads::default(),
            contact: Contact::new(LONGEST_GAP),
        }
    }

    /// Makes a call.
    pub(crate) fn call(&mut self, id: CallId, op: Op) {
        self.calls.push(Call { id, generation: self.generation, op });
    }

    /// Makes a write.
    pub(crate) fn write(&mut self, id: CallId, write: Write) {
        self.call(id, Op::Write(write));
    }

    /// Reads the whole table, page by page.
    pub(crate) fn read_table(&mut self, id: CallId) {
        let first_page = self.table_reads.begin(id.clone(), self.generation, self.now);
        self.call(id, first_page);
    }

    /// Sets a timer. A timer of the same id is replaced.
    pub(crate) fn set_timer(&mut self, id: TimerId, at: Time) {
        self.timers.set(id, at);
    }

    /// Clears a timer.
    pub(crate) fn clear_timer(&mut self, id: &TimerId) {
        self.timers.clear(id);
    }

    /// Sets the timer after which a failed call is repeated: later each time, until [`succeeded`](Self::succeeded).
    pub(crate) fn retry(&mut self, id: TimerId, policy: RetryPolicy) {
        let pause = policy.pause(self.attempts.failed(&id));
        let pause = self.jittered(pause);
        self.set_timer(id, self.now + pause);
    }

    /// Whether a component that is back at its first step, although no call failed, may go on at once. It may in the
    /// first rounds since it last succeeded; after that its timer is set, later each time, and one event is emitted.
    pub(crate) fn may_start_over(&mut self, id: &TimerId, what: &str) -> bool {
        let Some(slow) = self.rounds.failed(id).checked_sub(QUICK_ROUNDS).filter(|slow| *slow > 0) else {
            return true;
        };
        let pause = self.jittered(RetryPolicy::CALL.pause(slow));
        if slow == 1 {
            self.emit(CoordinationEvent::StartsOver { part: what.to_owned(), pause });
        }
        self.set_timer(id.clone(), self.now + pause);
        false
    }

    /// Resets the pauses of this timer's calls to the shortest.
    pub(crate) fn succeeded(&mut self, id: &TimerId) {
        self.attempts.succeeded(id);
        self.rounds.succeeded(id);
    }

    /// Emits an event.
    pub(crate) fn emit(&mut self, event: CoordinationEvent) {
        self.events.push(event);
    }

    /// A duration up to 10 % shorter or longer, so that the workers of a fleet do not call in step.
    pub(crate) fn jittered(&mut self, about: Duration) -> Duration {
        about.mul_f64(0.9 + 0.2 * self.rng.f64())
    }

    /// A random number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.rng.u64(..end)
    }

    /// A session ends: drops the calls that are not sent yet, all timers, and the answers to calls under way.
    pub(crate) fn begin_session(&mut self) {
        self.generation.session += 1;
        self.calls.clear();
        self.timers = Timers::default();
    }

    /// A term begins or ends: drops the timers of the one before, and the answers to its calls.
    pub(crate) fn begin_term(&mut self) {
        self.generation.term += 1;
        let leaders: Vec<TimerId> = self.timers.by_id.keys().filter(|id| id.is_leaders()).cloned().collect();
        for id in leaders {
            self.timers.clear(&id);
        }
    }

    /// Whether the answer is to a call of the current session and, for a leader's call, of the current term.
    pub(crate) fn awaits(&self, answered: &Answered) -> bool {
        self.is_current(&answered.id, answered.generation)
    }

    /// Whether a call that was made in that generation still concerns its component.
    pub(crate) fn is_current(&self, id: &CallId, generation: Generation) -> bool {
        let current = self.generation;
        generation.session == current.session && (generation.term == current.term || !id.is_leaders())
    }

    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn take_events(&mut self) -> Vec<CoordinationEvent> {
        std::mem::take(&mut self.events)
    }

    /// The next timer that is due.
    pub(crate) fn take_due(&mut self) -> Option<TimerId> {
        self.timers.take_due(self.now)
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.timers.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::{Answer, Failure, LeaderCall};
    use super::*;

    #[test]
    fn a_component_that_keeps_starting_over_waits_longer_each_time_and_emits_one_event() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let may_start_over = |effects: &mut Effects| effects.may_start_over(&TimerId::Session, "registering");
        assert!(may_start_over(&mut effects) && may_start_over(&mut effects));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(!may_start_over(&mut effects));
            pauses.push(effects.next_due().unwrap().since(effects.now).as_millis());
        }
        assert!(pauses[0] >= 270 && pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
        assert!(pauses[4] >= 1_350 && pauses[4] <= 1_650, "{pauses:?}");
        assert_eq!(effects.take_events().len(), 1);
        effects.succeeded(&TimerId::Session);
        assert!(may_start_over(&mut effects));
    }

    #[test]
    fn a_timer_that_is_set_again_replaces_the_earlier_one() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        effects.set_timer(TimerId::FleetPoll, Time::from_nanos(5));
        effects.set_timer(TimerId::Session, Time::from_nanos(7));
        effects.set_timer(TimerId::FleetPoll, Time::from_nanos(9));
        assert_eq!(effects.next_due(), Some(Time::from_nanos(7)));
        effects.now = Time::from_nanos(8);
        assert_eq!(effects.take_due(), Some(TimerId::Session));
        assert_eq!(effects.take_due(), None);
        effects.now = Time::from_nanos(9);
        assert_eq!(effects.take_due(), Some(TimerId::FleetPoll));
        assert_eq!(effects.next_due(), None);
    }

    #[test]
    fn answers_to_an_earlier_term_are_dropped_and_the_others_still_arrive() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        for id in [CallId::Leader(LeaderCall::ReadTable), CallId::Replay] {
            effects.read_table(id);
        }
        let answered = |call: Call| Answered {
            id: call.id,
            generation: call.generation,
            sent: Time::ZERO,
            answer: Answer::Page(Err(Failure::Unanswered)),
        };
        let answers: Vec<Answered> = effects.take_calls().into_iter().map(answered).collect();
        assert!(answers.iter().all(|answer| effects.awaits(answer)));
        effects.begin_term();
        assert_eq!(answers.iter().map(|answer| effects.awaits(answer)).collect::<Vec<_>>(), [false, true]);
        effects.begin_session();
        assert!(!answers.iter().any(|answer| effects.awaits(answer)));
    }
}
