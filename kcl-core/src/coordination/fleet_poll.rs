//! Polls the fleet row: detects a stale leader, new assignments and requests to read the table, and takes the next term.
//!
//! See docs/protocol/leader.md.

use super::backoff::RetryPolicy;
use super::call::{CallId, Failure, Op, Reply, Rows, TimerId};
use super::effects::Effects;
use super::staleness::StalenessTimer;
use crate::clock::Time;
use crate::config::Settings;
use crate::lease::row::{Fleet, RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Write, Written, next};
use std::time::Duration;

/// While the table is throttled, polls slow down by this factor each time, up to `SLOWEST`. Every worker polls, so polls
/// are the calls of which the fleet can save most.
const SLOWER: u32 = 2;
const SLOWEST: u32 = 4;
/// Workers spread their attempts at a free term over this much time for each session, for up to `MOST_SPREAD` of them,
/// so that not all workers of a fleet write the same row in the same millisecond.
const SPREAD: Duration = Duration::from_millis(2);
const MOST_SPREAD: u64 = 100;

#[derive(Debug)]
pub(crate) struct FleetPoll {
    me: WorkerId,
    every: Duration,
    failover_time: Duration,
    slowed: u32,
    /// Polls that failed in a row.
    failed: u32,
    /// The last poll: when it was sent, and with which consistency.
    poll: (Time, Consistency),
    /// When the newest row was received.
    newest_at: Time,
    fleet: Option<Fleet>,
    staleness: Option<StalenessTimer<(u64, u64)>>,
    attempt: Option<Attempt>,
}

/// An attempt at the next term. It is settled when the fleet row has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    term: u64,
    heartbeat: u64,
    leader: Option<(WorkerId, SessionNumber)>,
    /// The stale leader that is the reason for the attempt.
    stale: Option<StaleLeader>,
    session: SessionNumber,
    /// An attempt got no answer: it may have been applied, or may be applied later.
    unsettled: bool,
}

/// A leader whose heartbeat did not change for `failover_time`, and what its successor already knows of its session. The
/// fleet row mirrors the leader's session heartbeat, so that its successor need not watch its session for another
/// `failover_time` before it fences it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaleLeader {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionNumber,
    pub(crate) leader_session_heartbeat: Option<u64>,
    pub(crate) since: Time,
}

/// A term that this worker won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) fleet: Fleet,
    pub(crate) before: Option<StaleLeader>,
}

/// The outcome of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FleetPollEvent {
    Nothing,
    /// The poll read the fleet row.
    Seen,
    /// There is no fleet row.
    NoFleet,
    /// The row was deleted and created again with new counters: what was known of the old one is void.
    Recreated,
}

impl FleetPoll {
    pub(crate) fn new(me: WorkerId, settings: &Settings) -> Self {
        FleetPoll {
            me,
            every: settings.fleet_poll_interval,
            failover_time: settings.failover_time,
            slowed: 1,
            failed: 0,
            poll: (Time::ZERO, Consistency::Eventual),
            newest_at: Time::ZERO,
            fleet: None,
            staleness: None,
            attempt: None,
        }
    }

    /// The fleet row as last seen.
    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// A new session begins to poll. It forgets the row seen before it drew its number, which may be gone: from the draw
    /// on, the session keeps other workers from deleting the row.
    pub(crate) fn begin(&mut self, effects: &mut Effects) {
        self.forget();
        self.attempt = None;
        effects.set_timer(TimerId::FleetPoll, effects.now);
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        self.read(Consistency::Eventual, effects);
    }

    fn read(&mut self, consistency: Consistency, effects: &mut Effects) {
        self.poll = (effects.now, consistency);
        effects.call(CallId::FleetPoll, Op::Read(vec![RowKey::Fleet], consistency));
    }

    pub(crate) fn on_answer(&mut self, answer: Reply<Rows>, effects: &mut Effects) -> FleetPollEvent {
        let throttled = matches!(answer, Err(Failure::Throttled));
        self.slowed = if throttled { (self.slowed * SLOWER).min(SLOWEST) } else { 1 };
        self.failed = if answer.is_err() { self.failed.saturating_add(1) } else { 0 };
        let outage = RetryPolicy::fleet_poll(self.every).pause(self.failed.saturating_sub(1));
        let every = effects.jittered((self.every * self.slowed).max(outage));
        effects.set_timer(TimerId::FleetPoll, effects.now + every);
        let Ok(rows) = answer else { return FleetPollEvent::Nothing };
        match rows.into_iter().next().flatten() {
            Some(Row::Fleet(fleet)) if self.is_older(&fleet) => self.on_older(fleet, effects),
            Some(Row::Fleet(fleet)) => {
                self.see(fleet, effects.now);
                FleetPollEvent::Seen
            }
            // A row that cannot be read is created again, like one that is missing.
            Some(Row::Damaged(_)) | None => FleetPollEvent::NoFleet,
            Some(Row::Lease(_) | Row::Session(_) | Row::Assignment(_) | Row::Stream(_)) => FleetPollEvent::Nothing,
        }
    }

    fn is_older(&self, fleet: &Fleet) -> bool {
        self.fleet.as_ref().is_some_and(|known| (known.term, known.heartbeat) > (fleet.term, fleet.heartbeat))
    }

    /// The poll read an older row than the newest one seen. An eventually consistent read may be stale, so the row is read
    /// again strongly. If that row is older too, an external writer deleted the row and a worker created it again.
    fn on_older(&mut self, fleet: Fleet, effects: &mut Effects) -> FleetPollEvent {
        let (sent, consistency) = self.poll;
        match consistency {
            Consistency::Strong if sent > self.newest_at => {
                self.forget();
                self.see(fleet, effects.now);
                FleetPollEvent::Recreated
            }
            Consistency::Strong => FleetPollEvent::Nothing,
            Consistency::Eventual => {
                effects.clear_timer(&TimerId::FleetPoll);
                self.read(Consistency::Strong, effects);
                FleetPollEvent::Nothing
            }
        }
    }

    /// An answer showed the fleet row. Its counters only grow, so a stale row shows nothing new.
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
                    self.newest_at = received;
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

    /// Whether an attempt at the term is under way: this worker may still become the leader.
    pub(crate) fn is_attempting(&self) -> bool {
        self.attempt.is_some()
    }

    /// Tries to take the next term if the leader is missing, stale, or an earlier session of this worker.
    pub(crate) fn consider_term(&mut self, session: SessionNumber, effects: &mut Effects) {
        let (Some(fleet), Some(staleness), None) = (&self.fleet, &self.staleness, &self.attempt) else { return };
        // Every session, the leader's too, is stale after its own worker's failover time: its heartbeats follow that.
        let long = fleet.leader_failover_time.unwrap_or(self.failover_time);
        let stale = staleness.lasted(&effects.contact) >= long && *staleness.value() == (fleet.term, fleet.heartbeat);
        let reason = match &fleet.leader {
            None => Some(None),
            Some((worker, number)) if *worker == self.me && *number < session => Some(None),
            Some((worker, number)) if stale => Some(Some(StaleLeader {
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
            stale: before,
            session,
            unsettled: false,
        });
        let crowd = u32::try_from(fleet.sessions.min(MOST_SPREAD)).unwrap_or(u32::MAX);
        let at = effects.now + (SPREAD * crowd).mul_f64(effects.rng.f64());
        effects.set_timer(TimerId::TakeTerm, at);
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

    /// An attempt without an answer is repeated until the fleet row has changed.
    pub(crate) fn on_term_answer(&mut self, answer: Reply<Written>, effects: &mut Effects) -> Option<Won> {
        let Ok(Written::Applied(row) | Written::Refused(row)) = answer else {
            if let Some(attempt) = &mut self.attempt {
                attempt.unsettled = true;
            }
            effects.retry(TimerId::TakeTerm, RetryPolicy::CALL);
            return None;
        };
        let attempt = self.attempt.take()?;
        let Some(Row::Fleet(fleet)) = row else {
            self.forget();
            return None;
        };
        let known = self.fleet.as_ref().map_or((0, 0), |known| (known.term, known.heartbeat));
        if (fleet.term, fleet.heartbeat) < known {
            // The answer to a write is never stale, so the row was deleted and created again with new counters.
            self.forget();
        }
        self.see(fleet.clone(), effects.now);
        let ours = fleet.term == next(attempt.term) && fleet.leader == Some((self.me.clone(), attempt.session));
        ours.then_some(Won { fleet, before: attempt.stale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(ms: u64) -> Time {
        Time::from_origin(Duration::from_millis(ms))
    }

    fn polling() -> (FleetPoll, Effects) {
        let me = WorkerId::parse("me").unwrap();
        (FleetPoll::new(me, &Settings::default()), Effects::new(fastrand::Rng::with_seed(7)))
    }

    fn fleet(leader: Option<(&str, u64)>, heartbeat: u64) -> Fleet {
        let leader = leader.map(|(worker, number)| (WorkerId::parse(worker).unwrap(), number));
        Fleet { leader, heartbeat, leader_session_heartbeat: Some(40), ..Fleet::above(0, 9, true) }
    }

    fn polls(poll: &mut FleetPoll, fleet: &Fleet, from_ms: u64, to_ms: u64) {
        for at in (from_ms..=to_ms).step_by(500) {
            poll.see(fleet.clone(), t(at));
        }
    }

    #[test]
    fn a_leader_is_stale_once_its_own_failover_time_has_passed() {
        let (mut poll, mut effects) = polling();
        let slow = Fleet { leader_failover_time: Some(Duration::from_secs(60)), ..fleet(Some(("other", 3)), 5) };
        polls(&mut poll, &slow, 0, 59_500);
        poll.consider_term(9, &mut effects);
        assert_eq!(poll.attempt, None);
        polls(&mut poll, &slow, 60_000, 60_000);
        poll.consider_term(9, &mut effects);
        assert!(poll.attempt.is_some());
    }

    #[test]
    fn a_leader_is_stale_when_its_heartbeat_did_not_change_for_the_failover_time() {
        let (mut poll, mut effects) = polling();
        let dead = fleet(Some(("other", 3)), 5);
        polls(&mut poll, &dead, 0, 9_500);
        poll.consider_term(9, &mut effects);
        assert_eq!(poll.attempt, None);
        polls(&mut poll, &dead, 10_000, 10_000);
        poll.consider_term(9, &mut effects);
        let before = poll.attempt.unwrap().stale.unwrap();
        assert_eq!((before.session, before.leader_session_heartbeat, before.since), (3, Some(40), t(0)));
    }

    #[test]
    fn a_leaders_staleness_counts_from_the_receipt_of_the_answer_that_first_showed_its_heartbeat() {
        let (mut poll, mut effects) = polling();
        let dead = fleet(Some(("other", 3)), 5);
        poll.on_timer(&mut effects);
        effects.now = t(1_900);
        poll.on_answer(Ok(vec![Some(Row::Fleet(dead.clone()))]), &mut effects);
        polls(&mut poll, &dead, 2_400, 11_400);
        poll.consider_term(9, &mut effects);
        assert_eq!(poll.attempt, None);
        polls(&mut poll, &dead, 11_900, 11_900);
        poll.consider_term(9, &mut effects);
        assert!(poll.attempt.is_some());
    }

    #[test]
    fn the_term_is_free_where_there_is_no_leader_or_an_earlier_session_of_this_worker_leads() {
        for free in [fleet(None, 5), fleet(Some(("me", 8)), 5)] {
            let (mut poll, mut effects) = polling();
            poll.see(free, t(0));
            poll.consider_term(9, &mut effects);
            assert!(poll.attempt.is_some());
        }
        let (mut poll, mut effects) = polling();
        poll.see(fleet(Some(("me", 9)), 5), t(0));
        poll.consider_term(9, &mut effects);
        assert_eq!(poll.attempt, None);
    }

    #[test]
    fn the_counters_of_a_fleet_row_that_was_created_again_are_accepted() {
        let (mut poll, mut effects) = polling();
        poll.see(fleet(None, 5), t(0));
        poll.consider_term(9, &mut effects);
        poll.on_term_timer(&mut effects);
        let recreated = Ok(Written::Refused(Some(Row::Fleet(fleet(None, 0)))));
        assert_eq!(poll.on_term_answer(recreated, &mut effects), None);
        assert_eq!(poll.fleet().unwrap().heartbeat, 0);

        let (mut poll, mut effects) = polling();
        poll.see(fleet(None, 5), t(0));
        poll.begin(&mut effects);
        poll.see(fleet(None, 0), t(1));
        assert_eq!(poll.fleet().unwrap().heartbeat, 0);
    }

    #[test]
    fn a_row_with_lower_counters_is_read_strongly_before_it_is_believed() {
        let (mut poll, mut effects) = polling();
        poll.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Ok(vec![Some(Row::Fleet(fleet(None, 0)))]);
        effects.now = t(500);
        poll.on_timer(&mut effects);
        effects.take_calls();
        assert_eq!(poll.on_answer(older(), &mut effects), FleetPollEvent::Nothing, "a stale read?");
        assert!(matches!(&effects.take_calls()[0].op, Op::Read(_, Consistency::Strong)));
        assert_eq!(poll.on_answer(older(), &mut effects), FleetPollEvent::Recreated);
        assert_eq!(poll.fleet().unwrap().heartbeat, 0);
    }

    #[test]
    fn a_strong_read_that_a_newer_row_overtook_proves_nothing() {
        let (mut poll, mut effects) = polling();
        poll.see(fleet(Some(("other", 3)), 5), t(0));
        let older = || Ok(vec![Some(Row::Fleet(fleet(Some(("other", 3)), 5)))]);
        effects.now = t(500);
        poll.read(Consistency::Strong, &mut effects);
        poll.see(fleet(Some(("other", 3)), 6), t(600));
        assert_eq!(poll.on_answer(older(), &mut effects), FleetPollEvent::Nothing);
        assert_eq!(poll.fleet().unwrap().heartbeat, 6);
    }

    #[test]
    fn an_attempt_without_an_answer_is_settled_by_another_attempt() {
        let (mut poll, mut effects) = polling();
        poll.see(fleet(None, 5), t(0));
        poll.consider_term(9, &mut effects);
        poll.on_term_timer(&mut effects);
        assert_eq!(poll.on_term_answer(Err(Failure::Unanswered), &mut effects), None);
        poll.on_term_timer(&mut effects);
        let mut taken = fleet(Some(("me", 9)), 6);
        taken.term += 1;
        let refused = Ok(Written::Refused(Some(Row::Fleet(taken.clone()))));
        assert_eq!(poll.on_term_answer(refused, &mut effects).unwrap().fleet, taken);
    }

    #[test]
    fn a_term_that_was_won_without_an_answer_begins_although_a_poll_showed_it_first() {
        let (mut poll, mut effects) = polling();
        poll.see(fleet(None, 5), t(0));
        poll.consider_term(9, &mut effects);
        poll.on_term_timer(&mut effects);
        let mut taken = fleet(Some(("me", 9)), 6);
        taken.term += 1;
        poll.see(taken.clone(), t(500));
        assert_eq!(poll.on_term_answer(Err(Failure::Unanswered), &mut effects), None);
        effects.take_calls();
        poll.on_term_timer(&mut effects);
        assert_eq!(effects.take_calls().len(), 1);
        let refused = Ok(Written::Refused(Some(Row::Fleet(taken.clone()))));
        assert_eq!(poll.on_term_answer(refused, &mut effects).unwrap().fleet, taken);
    }
}
