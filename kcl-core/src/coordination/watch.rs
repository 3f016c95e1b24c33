//! Looking at the fleet row: who plans, is it silent, is there a new plan, does somebody want the table read.

use super::backoff::RetryPolicy;
use super::effects::{Answer, Effects, Failure, Op, Part};
use super::silence::Silence;
use crate::clock::Time;
use crate::config::Settings;
use crate::lease::row::{Fleet, RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Write, Written, next};
use std::time::Duration;

/// Polls slow down by this factor when the table is throttled, up to four times.
const SLOWER: u32 = 2;
const SLOWEST: u32 = 4;
/// A poll that failed for another reason is repeated after no more than this, for the outage may be over.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
pub(crate) struct Watch {
    me: WorkerId,
    every: Duration,
    failover_time: Duration,
    slowed: u32,
    /// How many polls in a row failed.
    failed: u32,
    /// The look under way: when it was sent, and how fresh its answer is.
    look: (Time, Consistency),
    /// When the newest row was received.
    raised_at: Time,
    fleet: Option<Fleet>,
    silence: Option<Silence<(u64, u64)>>,
    attempt: Option<Attempt>,
}

/// An attempt at the next term, settled when the term has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    term: u64,
    beat: u64,
    planner: Option<(WorkerId, SessionNumber)>,
    /// The planner whose silence is the reason, with the session beat it had mirrored and since when that stood.
    silent: Option<SilentPlanner>,
    session: SessionNumber,
    /// An attempt got no answer: it may have been applied, or may be yet.
    unsettled: bool,
}

/// A planner that was silent for `failover_time`: what its successor already knows of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SilentPlanner {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionNumber,
    pub(crate) mirror: Option<u64>,
    pub(crate) since: Time,
}

/// A term that was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) fleet: Fleet,
    pub(crate) before: Option<SilentPlanner>,
}

/// What a look told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// The fleet row, as it is now known.
    Seen,
    /// There is no fleet row.
    NoFleet,
    /// It was removed and made again, and counts anew: whatever was known of it is over.
    MadeAgain,
}

impl Watch {
    pub(crate) fn new(me: WorkerId, settings: &Settings) -> Self {
        Watch {
            me,
            every: settings.watch,
            failover_time: settings.failover_time,
            slowed: 1,
            failed: 0,
            look: (Time::ZERO, Consistency::Eventual),
            raised_at: Time::ZERO,
            fleet: None,
            silence: None,
            attempt: None,
        }
    }

    /// The fleet row as last seen.
    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// A new session looks afresh. What was seen before it drew its number may be of a fleet row that is gone: from then
    /// on nobody clears it away.
    pub(crate) fn begin(&mut self, effects: &mut Effects) {
        self.forget();
        self.attempt = None;
        effects.remind(Part::Watch, effects.now);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        self.look(Consistency::Eventual, effects);
    }

    fn look(&mut self, consistency: Consistency, effects: &mut Effects) {
        self.look = (effects.now, consistency);
        effects.call(Part::Watch, Op::Read(vec![RowKey::Fleet], consistency));
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> News {
        let throttled = matches!(answer, Answer::Failed(Failure::Throttled));
        self.slowed = if throttled { (self.slowed * SLOWER).min(SLOWEST) } else { 1 };
        // One poll that fails is repeated in time for the failure detector; more than that, and its evidence is void anyway.
        self.failed = if matches!(answer, Answer::Failed(_)) { self.failed.saturating_add(1) } else { 0 };
        let outage = RetryPolicy::from(self.every).no_longer_than(LONGEST_PAUSE).pause(self.failed.saturating_sub(1));
        let every = effects.jittered((self.every * self.slowed).max(outage));
        effects.remind(Part::Watch, effects.now + every);
        let Answer::Rows(rows) = answer else { return News::Nothing };
        match rows.into_iter().next().flatten() {
            Some(Row::Fleet(fleet)) if self.is_older(&fleet) => self.on_older(fleet, effects),
            Some(Row::Fleet(fleet)) => {
                self.see(fleet, effects.now);
                News::Seen
            }
            // One that cannot be read is none, and is made again.
            Some(Row::Damaged(_)) | None => News::NoFleet,
            Some(Row::Lease(_) | Row::Session(_) | Row::Plan(_) | Row::Stream(_)) => News::Nothing,
        }
    }

    fn is_older(&self, fleet: &Fleet) -> bool {
        self.fleet.as_ref().is_some_and(|known| (known.term, known.beat) > (fleet.term, fleet.beat))
    }

    /// A row older than the newest seen: a stale read, which is asked again for what is true now. If that is older too, the
    /// row was removed by hand and made again.
    fn on_older(&mut self, fleet: Fleet, effects: &mut Effects) -> News {
        let (sent, consistency) = self.look;
        match consistency {
            Consistency::Strong if sent > self.raised_at => {
                self.forget();
                self.see(fleet, effects.now);
                News::MadeAgain
            }
            Consistency::Strong => News::Nothing,
            Consistency::Eventual => {
                effects.forget(&Part::Watch);
                self.look(Consistency::Strong, effects);
                News::Nothing
            }
        }
    }

    /// The fleet row, from whichever answer showed it. Counters only grow: a stale one says nothing new.
    pub(crate) fn see(&mut self, fleet: Fleet, received: Time) {
        let mark = (fleet.term, fleet.beat);
        match &mut self.silence {
            Some(silence) => silence.look(&mark, received),
            None => self.silence = Some(Silence::new(mark, received)),
        }
        match &mut self.fleet {
            Some(known) if (known.term, known.beat) > mark => {
                known.wake = known.wake.max(fleet.wake);
                known.sessions = known.sessions.max(fleet.sessions);
            }
            known => {
                if known.as_ref().is_none_or(|known| (known.term, known.beat) < mark) {
                    self.raised_at = received;
                }
                let wake = known.as_ref().map_or(0, |k| k.wake).max(fleet.wake);
                *known = Some(Fleet { wake, ..fleet });
            }
        }
    }

    /// Forgets a fleet row that is gone.
    pub(crate) fn forget(&mut self) {
        self.fleet = None;
        self.silence = None;
    }

    /// Whether an attempt at the term is under way: this worker may become the planner yet.
    pub(crate) fn is_attempting(&self) -> bool {
        self.attempt.is_some()
    }

    /// Tries for the next term where nobody plans: there is no planner, it is silent, or it is this worker's own
    /// former session.
    pub(crate) fn consider_term(&mut self, session: SessionNumber, effects: &mut Effects) {
        let (Some(fleet), Some(silence), None) = (&self.fleet, &self.silence, &self.attempt) else { return };
        // The planner's own time counts, as it does for every session.
        let long = fleet.planner_failover_time.unwrap_or(self.failover_time);
        let silent = silence.lasted(&effects.contact) >= long && *silence.value() == (fleet.term, fleet.beat);
        let reason = match &fleet.planner {
            None => Some(None),
            Some((worker, number)) if *worker == self.me && *number < session => Some(None),
            Some((worker, number)) if silent => Some(Some(SilentPlanner {
                worker: worker.clone(),
                session: *number,
                mirror: fleet.mirror,
                since: silence.began(&effects.contact),
            })),
            Some(_) => None,
        };
        let Some(before) = reason else { return };
        self.attempt = Some(Attempt {
            term: fleet.term,
            beat: fleet.beat,
            planner: fleet.planner.clone(),
            silent: before,
            session,
            unsettled: false,
        });
        // Spread, so that not every worker of a fleet asks for the same row in the same millisecond.
        let crowd = u32::try_from(fleet.sessions.min(100)).unwrap_or(100);
        let after = Duration::from_millis(2) * crowd;
        let at = effects.now + after.mul_f64(effects.rng.f64());
        effects.remind(Part::TakeTerm, at);
    }

    pub(crate) fn on_term_timer(&mut self, effects: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let moved = self.fleet.as_ref().is_none_or(|f| (f.term, f.beat) != (attempt.term, attempt.beat));
        if moved && !attempt.unsettled {
            self.attempt = None;
            return;
        }
        effects.write(
            Part::TakeTerm,
            Write::TakeTerm {
                term: attempt.term,
                beat: attempt.beat,
                planner: attempt.planner.clone(),
                me: (self.me.clone(), attempt.session),
                failover_time: self.failover_time,
            },
        );
    }

    /// An attempt that got no answer is repeated until the term has moved.
    pub(crate) fn on_term_answer(&mut self, answer: Answer, effects: &mut Effects) -> Option<Won> {
        let written = match answer {
            Answer::Written(written) => written,
            Answer::Failed(_) | Answer::Rows(_) | Answer::Table(_) | Answer::Page(_) | Answer::Listing(_) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.unsettled = true;
                }
                effects.repeat(Part::TakeTerm);
                return None;
            }
        };
        let attempt = self.attempt.take()?;
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else {
            self.forget();
            return None;
        };
        let known = self.fleet.as_ref().map_or((0, 0), |known| (known.term, known.beat));
        if (fleet.term, fleet.beat) < known {
            // Not stale, as the answer to a write never is: the row was removed and made again, and counts anew.
            self.forget();
        }
        self.see(fleet.clone(), effects.now);
        let ours = fleet.term == next(attempt.term) && fleet.planner == Some((self.me.clone(), attempt.session));
        ours.then_some(Won { fleet, before: attempt.silent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(ms: u64) -> Time {
        Time::from_origin(Duration::from_millis(ms))
    }

    fn watching() -> (Watch, Effects) {
        let me = WorkerId::parse("me").unwrap();
        (Watch::new(me, &Settings::default()), Effects::new(fastrand::Rng::with_seed(7)))
    }

    fn fleet(planner: Option<(&str, u64)>, beat: u64) -> Fleet {
        let planner = planner.map(|(worker, number)| (WorkerId::parse(worker).unwrap(), number));
        Fleet { planner, beat, mirror: Some(40), ..Fleet::above(0, 9, true) }
    }

    fn looks(watch: &mut Watch, fleet: &Fleet, from_ms: u64, to_ms: u64) {
        for at in (from_ms..=to_ms).step_by(500) {
            watch.see(fleet.clone(), t(at));
        }
    }

    #[test]
    fn a_planner_is_silent_once_its_own_failover_time_has_passed() {
        let (mut watch, mut effects) = watching();
        let slow = Fleet { planner_failover_time: Some(Duration::from_secs(60)), ..fleet(Some(("other", 3)), 5) };
        looks(&mut watch, &slow, 0, 59_500);
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
        looks(&mut watch, &slow, 60_000, 60_000);
        watch.consider_term(9, &mut effects);
        assert!(watch.attempt.is_some());
    }

    #[test]
    fn a_planner_is_silent_when_its_beat_stood_still_for_the_failover_time() {
        let (mut watch, mut effects) = watching();
        let dead = fleet(Some(("other", 3)), 5);
        looks(&mut watch, &dead, 0, 9_500);
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
        looks(&mut watch, &dead, 10_000, 10_000);
        watch.consider_term(9, &mut effects);
        let before = watch.attempt.unwrap().silent.unwrap();
        assert_eq!((before.session, before.mirror, before.since), (3, Some(40), t(0)));
    }

    #[test]
    fn the_term_is_free_where_nobody_plans_or_ones_own_former_session_did() {
        for free in [fleet(None, 5), fleet(Some(("me", 8)), 5)] {
            let (mut watch, mut effects) = watching();
            watch.see(free, t(0));
            watch.consider_term(9, &mut effects);
            assert!(watch.attempt.is_some());
        }
        let (mut watch, mut effects) = watching();
        watch.see(fleet(Some(("me", 9)), 5), t(0));
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
    }

    #[test]
    fn a_fleet_row_that_was_made_again_counts_anew() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(None, 5), t(0));
        watch.consider_term(9, &mut effects);
        watch.on_term_timer(&mut effects);
        let made_again = Answer::Written(Written::Refused(Some(Row::Fleet(fleet(None, 0)))));
        assert_eq!(watch.on_term_answer(made_again, &mut effects), None);
        assert_eq!(watch.fleet().unwrap().beat, 0);

        let (mut watch, mut effects) = watching();
        watch.see(fleet(None, 5), t(0));
        watch.begin(&mut effects);
        watch.see(fleet(None, 0), t(1));
        assert_eq!(watch.fleet().unwrap().beat, 0);
    }

    #[test]
    fn a_row_that_seems_to_go_back_is_asked_for_strongly_and_believed_then() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Answer::Rows(vec![Some(Row::Fleet(fleet(None, 0)))]);
        effects.now = t(500);
        watch.on_timer(&mut effects);
        effects.take_calls();
        assert_eq!(watch.on_answer(older(), &mut effects), News::Nothing, "a stale read?");
        assert!(matches!(&effects.take_calls()[0].op, Op::Read(_, Consistency::Strong)));
        assert_eq!(watch.on_answer(older(), &mut effects), News::MadeAgain);
        assert_eq!(watch.fleet().unwrap().beat, 0);
    }

    #[test]
    fn a_strong_read_that_was_overtaken_proves_nothing() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Answer::Rows(vec![Some(Row::Fleet(fleet(Some(("other", 3)), 5)))]);
        effects.now = t(500);
        watch.look(Consistency::Strong, &mut effects);
        watch.see(fleet(Some(("other", 3)), 6), t(600));
        assert_eq!(watch.on_answer(older(), &mut effects), News::Nothing);
        assert_eq!(watch.fleet().unwrap().beat, 6);
    }

    #[test]
    fn a_lost_answer_is_settled_by_asking_again() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(None, 5), t(0));
        watch.consider_term(9, &mut effects);
        watch.on_term_timer(&mut effects);
        assert_eq!(watch.on_term_answer(Answer::Failed(Failure::Unanswered), &mut effects), None);
        watch.on_term_timer(&mut effects);
        let mut taken = fleet(Some(("me", 9)), 6);
        taken.term += 1;
        let refused = Answer::Written(Written::Refused(Some(Row::Fleet(taken.clone()))));
        assert_eq!(watch.on_term_answer(refused, &mut effects).unwrap().fleet, taken);
    }

    #[test]
    fn a_term_that_was_won_without_an_answer_is_taken_up_although_a_look_showed_it_first() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(None, 5), t(0));
        watch.consider_term(9, &mut effects);
        watch.on_term_timer(&mut effects);
        let mut taken = fleet(Some(("me", 9)), 6);
        taken.term += 1;
        watch.see(taken.clone(), t(500));
        assert_eq!(watch.on_term_answer(Answer::Failed(Failure::Unanswered), &mut effects), None);
        effects.take_calls();
        watch.on_term_timer(&mut effects);
        assert_eq!(effects.take_calls().len(), 1);
        let refused = Answer::Written(Written::Refused(Some(Row::Fleet(taken.clone()))));
        assert_eq!(watch.on_term_answer(refused, &mut effects).unwrap().fleet, taken);
    }
}
