//! Looking at the fleet row: who plans, is it silent, is there a new plan, does somebody want the table read.

use super::backoff::RetryPolicy;
use super::effects::{Answer, CallId, Effects, Failure, Op};
use super::staleness::StalenessTimer;
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
pub(crate) struct FleetPoll {
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
    staleness: Option<StalenessTimer<(u64, u64)>>,
    attempt: Option<Attempt>,
}

/// An attempt at the next term, settled when the term has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    term: u64,
    heartbeat: u64,
    leader: Option<(WorkerId, SessionNumber)>,
    /// The leader whose staleness is the reason, with the session heartbeat it had mirrored and since when that stood.
    silent: Option<StaleLeader>,
    session: SessionNumber,
    /// An attempt got no answer: it may have been applied, or may be yet.
    unsettled: bool,
}

/// A leader that was silent for `failover_time`: what its successor already knows of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaleLeader {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionNumber,
    pub(crate) leader_session_heartbeat: Option<u64>,
    pub(crate) since: Time,
}

/// A term that was won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) fleet: Fleet,
    pub(crate) before: Option<StaleLeader>,
}

/// What a look told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FleetPollEvent {
    Nothing,
    /// The fleet row, as it is now known.
    Seen,
    /// There is no fleet row.
    NoFleet,
    /// It was removed and made again, and counts anew: whatever was known of it is over.
    MadeAgain,
}

impl FleetPoll {
    pub(crate) fn new(me: WorkerId, settings: &Settings) -> Self {
        FleetPoll {
            me,
            every: settings.fleet_poll_interval,
            failover_time: settings.failover_time,
            slowed: 1,
            failed: 0,
            look: (Time::ZERO, Consistency::Eventual),
            raised_at: Time::ZERO,
            fleet: None,
            staleness: None,
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
        effects.remind(CallId::FleetPoll, effects.now);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        self.look(Consistency::Eventual, effects);
    }

    fn look(&mut self, consistency: Consistency, effects: &mut Effects) {
        self.look = (effects.now, consistency);
        effects.call(CallId::FleetPoll, Op::Read(vec![RowKey::Fleet], consistency));
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> FleetPollEvent {
        let throttled = matches!(answer, Answer::Failed(Failure::Throttled));
        self.slowed = if throttled { (self.slowed * SLOWER).min(SLOWEST) } else { 1 };
        // One poll that fails is repeated in time for the failure detector; more than that, and its evidence is void anyway.
        self.failed = if matches!(answer, Answer::Failed(_)) { self.failed.saturating_add(1) } else { 0 };
        let outage = RetryPolicy::from(self.every).no_longer_than(LONGEST_PAUSE).pause(self.failed.saturating_sub(1));
        let every = effects.jittered((self.every * self.slowed).max(outage));
        effects.remind(CallId::FleetPoll, effects.now + every);
        let Answer::Rows(rows) = answer else { return FleetPollEvent::Nothing };
        match rows.into_iter().next().flatten() {
            Some(Row::Fleet(fleet)) if self.is_older(&fleet) => self.on_older(fleet, effects),
            Some(Row::Fleet(fleet)) => {
                self.see(fleet, effects.now);
                FleetPollEvent::Seen
            }
            // One that cannot be read is none, and is made again.
            Some(Row::Damaged(_)) | None => FleetPollEvent::NoFleet,
            Some(Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_)) => FleetPollEvent::Nothing,
        }
    }

    fn is_older(&self, fleet: &Fleet) -> bool {
        self.fleet.as_ref().is_some_and(|known| (known.term, known.heartbeat) > (fleet.term, fleet.heartbeat))
    }

    /// A row older than the newest seen: a stale read, which is asked again for what is true now. If that is older too, the
    /// row was removed by hand and made again.
    fn on_older(&mut self, fleet: Fleet, effects: &mut Effects) -> FleetPollEvent {
        let (sent, consistency) = self.look;
        match consistency {
            Consistency::Strong if sent > self.raised_at => {
                self.forget();
                self.see(fleet, effects.now);
                FleetPollEvent::MadeAgain
            }
            Consistency::Strong => FleetPollEvent::Nothing,
            Consistency::Eventual => {
                effects.forget(&CallId::FleetPoll);
                self.look(Consistency::Strong, effects);
                FleetPollEvent::Nothing
            }
        }
    }

    /// The fleet row, from whichever answer showed it. Counters only grow: a stale one says nothing new.
    pub(crate) fn see(&mut self, fleet: Fleet, received: Time) {
        let mark = (fleet.term, fleet.heartbeat);
        match &mut self.staleness {
            Some(staleness) => staleness.look(&mark, received),
            None => self.staleness = Some(StalenessTimer::new(mark, received)),
        }
        match &mut self.fleet {
            Some(known) if (known.term, known.heartbeat) > mark => {
                known.wake = known.wake.max(fleet.wake);
                known.sessions = known.sessions.max(fleet.sessions);
            }
            known => {
                if known.as_ref().is_none_or(|known| (known.term, known.heartbeat) < mark) {
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
        self.staleness = None;
    }

    /// Whether an attempt at the term is under way: this worker may become the leader yet.
    pub(crate) fn is_attempting(&self) -> bool {
        self.attempt.is_some()
    }

    /// Tries for the next term where nobody plans: there is no leader, it is silent, or it is this worker's own
    /// former session.
    pub(crate) fn consider_term(&mut self, session: SessionNumber, effects: &mut Effects) {
        let (Some(fleet), Some(staleness), None) = (&self.fleet, &self.staleness, &self.attempt) else { return };
        // The leader's own time counts, as it does for every session.
        let long = fleet.leader_failover_time.unwrap_or(self.failover_time);
        let silent = staleness.lasted(&effects.contact) >= long && *staleness.value() == (fleet.term, fleet.heartbeat);
        let reason = match &fleet.leader {
            None => Some(None),
            Some((worker, number)) if *worker == self.me && *number < session => Some(None),
            Some((worker, number)) if silent => Some(Some(StaleLeader {
                worker: worker.clone(),
                session: *number,
                leader_session_heartbeat: fleet.leader_session_heartbeat,
                since: staleness.began(&effects.contact),
            })),
            Some(_) => None,
        };
        let Some(before) = reason else { return };
        self.attempt = Some(Attempt {
            term: fleet.term,
            heartbeat: fleet.heartbeat,
            leader: fleet.leader.clone(),
            silent: before,
            session,
            unsettled: false,
        });
        // Spread, so that not every worker of a fleet asks for the same row in the same millisecond.
        let crowd = u32::try_from(fleet.sessions.min(100)).unwrap_or(100);
        let after = Duration::from_millis(2) * crowd;
        let at = effects.now + after.mul_f64(effects.rng.f64());
        effects.remind(CallId::TakeTerm, at);
    }

    pub(crate) fn on_term_timer(&mut self, effects: &mut Effects) {
        let Some(attempt) = &self.attempt else { return };
        let moved = self.fleet.as_ref().is_none_or(|f| (f.term, f.heartbeat) != (attempt.term, attempt.heartbeat));
        if moved && !attempt.unsettled {
            self.attempt = None;
            return;
        }
        effects.write(
            CallId::TakeTerm,
            Write::TakeTerm {
                term: attempt.term,
                heartbeat: attempt.heartbeat,
                leader: attempt.leader.clone(),
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
                effects.repeat(CallId::TakeTerm);
                return None;
            }
        };
        let attempt = self.attempt.take()?;
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else {
            self.forget();
            return None;
        };
        let known = self.fleet.as_ref().map_or((0, 0), |known| (known.term, known.heartbeat));
        if (fleet.term, fleet.heartbeat) < known {
            // Not stale, as the answer to a write never is: the row was removed and made again, and counts anew.
            self.forget();
        }
        self.see(fleet.clone(), effects.now);
        let ours = fleet.term == next(attempt.term) && fleet.leader == Some((self.me.clone(), attempt.session));
        ours.then_some(Won { fleet, before: attempt.silent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(ms: u64) -> Time {
        Time::from_origin(Duration::from_millis(ms))
    }

    fn watching() -> (FleetPoll, Effects) {
        let me = WorkerId::parse("me").unwrap();
        (FleetPoll::new(me, &Settings::default()), Effects::new(fastrand::Rng::with_seed(7)))
    }

    fn fleet(leader: Option<(&str, u64)>, heartbeat: u64) -> Fleet {
        let leader = leader.map(|(worker, number)| (WorkerId::parse(worker).unwrap(), number));
        Fleet { leader, heartbeat, leader_session_heartbeat: Some(40), ..Fleet::above(0, 9, true) }
    }

    fn looks(watch: &mut FleetPoll, fleet: &Fleet, from_ms: u64, to_ms: u64) {
        for at in (from_ms..=to_ms).step_by(500) {
            watch.see(fleet.clone(), t(at));
        }
    }

    #[test]
    fn a_leader_is_silent_once_its_own_failover_time_has_passed() {
        let (mut watch, mut effects) = watching();
        let slow = Fleet { leader_failover_time: Some(Duration::from_secs(60)), ..fleet(Some(("other", 3)), 5) };
        looks(&mut watch, &slow, 0, 59_500);
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
        looks(&mut watch, &slow, 60_000, 60_000);
        watch.consider_term(9, &mut effects);
        assert!(watch.attempt.is_some());
    }

    #[test]
    fn a_leader_is_silent_when_its_heartbeat_stood_still_for_the_failover_time() {
        let (mut watch, mut effects) = watching();
        let dead = fleet(Some(("other", 3)), 5);
        looks(&mut watch, &dead, 0, 9_500);
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
        looks(&mut watch, &dead, 10_000, 10_000);
        watch.consider_term(9, &mut effects);
        let before = watch.attempt.unwrap().silent.unwrap();
        assert_eq!((before.session, before.leader_session_heartbeat, before.since), (3, Some(40), t(0)));
    }

    #[test]
    fn a_leaders_silence_counts_from_the_receipt_of_the_answer_that_first_showed_its_heartbeat() {
        let (mut watch, mut effects) = watching();
        let dead = fleet(Some(("other", 3)), 5);
        watch.on_timer(&mut effects);
        effects.now = t(1_900);
        watch.on_answer(Answer::Rows(vec![Some(Row::Fleet(dead.clone()))]), &mut effects);
        looks(&mut watch, &dead, 2_400, 11_400);
        watch.consider_term(9, &mut effects);
        assert_eq!(watch.attempt, None);
        looks(&mut watch, &dead, 11_900, 11_900);
        watch.consider_term(9, &mut effects);
        assert!(watch.attempt.is_some());
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
        assert_eq!(watch.fleet().unwrap().heartbeat, 0);

        let (mut watch, mut effects) = watching();
        watch.see(fleet(None, 5), t(0));
        watch.begin(&mut effects);
        watch.see(fleet(None, 0), t(1));
        assert_eq!(watch.fleet().unwrap().heartbeat, 0);
    }

    #[test]
    fn a_row_that_seems_to_go_back_is_asked_for_strongly_and_believed_then() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Answer::Rows(vec![Some(Row::Fleet(fleet(None, 0)))]);
        effects.now = t(500);
        watch.on_timer(&mut effects);
        effects.take_calls();
        assert_eq!(watch.on_answer(older(), &mut effects), FleetPollEvent::Nothing, "a stale read?");
        assert!(matches!(&effects.take_calls()[0].op, Op::Read(_, Consistency::Strong)));
        assert_eq!(watch.on_answer(older(), &mut effects), FleetPollEvent::MadeAgain);
        assert_eq!(watch.fleet().unwrap().heartbeat, 0);
    }

    #[test]
    fn a_strong_read_that_was_overtaken_proves_nothing() {
        let (mut watch, mut effects) = watching();
        watch.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Answer::Rows(vec![Some(Row::Fleet(fleet(Some(("other", 3)), 5)))]);
        effects.now = t(500);
        watch.look(Consistency::Strong, &mut effects);
        watch.see(fleet(Some(("other", 3)), 6), t(600));
        assert_eq!(watch.on_answer(older(), &mut effects), FleetPollEvent::Nothing);
        assert_eq!(watch.fleet().unwrap().heartbeat, 6);
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
