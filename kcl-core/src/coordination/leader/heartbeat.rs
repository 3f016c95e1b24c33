//! Sends the fleet heartbeat: proves that the leader's work goes on, and publishes the version of
//! the assignment.

use crate::clock::Time;
use crate::coordination::backoff::RetryPolicy;
use crate::coordination::call::{CallId, LeaderCall, LeaderTimer, Reply, TimerId};
use crate::coordination::effects::Effects;
use crate::lease::row::{Fleet, SessionNumber, WorkerId};
use crate::lease::{Row, Write, Written};
use std::time::Duration;

const TIMER: TimerId = TimerId::Leader(LeaderTimer::Heartbeat);

#[derive(Debug)]
pub(crate) struct FleetHeartbeat {
    me: (WorkerId, SessionNumber),
    term: u64,
    heartbeat: u64,
    published: Option<(u64, u64)>,
    sending: Option<Sending>,
    /// Whether the leader's work moved on since the last heartbeat: a page was read, or a row was
    /// written.
    moved_on: bool,
    /// When a cycle last succeeded.
    sound_at: Time,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    leader_session_heartbeat: u64,
    version: u64,
}

/// The outcome of a heartbeat's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeartbeatEvent {
    Nothing,
    /// The fleet row now shows this version of the assignment.
    Shown {
        fleet: Fleet,
    },
    /// Another leader has the term.
    Deposed,
}

impl FleetHeartbeat {
    pub(crate) fn new(fleet: &Fleet, me: (WorkerId, SessionNumber), now: Time) -> Self {
        FleetHeartbeat {
            me,
            term: fleet.term,
            heartbeat: fleet.heartbeat,
            published: None,
            sending: None,
            moved_on: false,
            sound_at: now,
        }
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    pub(crate) fn moved_on(&mut self) {
        self.moved_on = true;
    }

    /// Does not count time that a slow table took from a cycle.
    pub(crate) fn excuse(&mut self, time: Duration) {
        self.sound_at = self.sound_at + time;
    }

    pub(crate) fn cycle_ended_well(&mut self, now: Time) {
        self.sound_at = now;
    }

    /// Sends a heartbeat if there is something to publish: a new version at once; a new session
    /// heartbeat if the leader's work moved on and a cycle succeeded recently. It follows the
    /// session heartbeat directly, so that the copy proves the leader's silence to a successor
    /// (docs/protocol/leader.md).
    pub(crate) fn consider(
        &mut self,
        leader_session_heartbeat: u64,
        version: u64,
        longest_cycle: Duration,
        effects: &mut Effects,
    ) {
        if self.sending.is_some() {
            return;
        }
        let news = match self.published {
            None => version > 0 || self.moved_on,
            Some((published_mirror, published_version)) => {
                let sound = self.moved_on && effects.now.since(self.sound_at) < longest_cycle;
                version != published_version || (leader_session_heartbeat != published_mirror && sound)
            }
        };
        if news {
            self.moved_on = false;
            self.sending = Some(Sending { leader_session_heartbeat, version });
            self.send(effects);
        }
    }

    pub(crate) fn on_timer(&self, effects: &mut Effects) {
        self.send(effects);
    }

    fn send(&self, effects: &mut Effects) {
        if let Some(Sending { leader_session_heartbeat, version: assignment_version }) = self.sending {
            let write = Write::FleetHeartbeat {
                term: self.term,
                heartbeat: self.heartbeat,
                leader_session_heartbeat,
                assignment_version,
            };
            effects.write(CallId::Leader(LeaderCall::Heartbeat), write);
        }
    }

    pub(crate) fn on_answer(&mut self, answer: Reply<Written>, effects: &mut Effects) -> HeartbeatEvent {
        let (Some(sending), Ok(written)) = (self.sending, answer) else {
            effects.retry(TIMER, RetryPolicy::LEADER_HEARTBEAT);
            return HeartbeatEvent::Nothing;
        };
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else { return HeartbeatEvent::Deposed };
        if fleet.term != self.term || fleet.leader.as_ref() != Some(&self.me) {
            return HeartbeatEvent::Deposed;
        }
        self.heartbeat = fleet.heartbeat;
        if (fleet.leader_session_heartbeat, fleet.assignment_version)
            != (Some(sending.leader_session_heartbeat), sending.version)
        {
            effects.set_timer(TIMER, effects.now);
            return HeartbeatEvent::Nothing;
        }
        self.sending = None;
        self.published = Some((sending.leader_session_heartbeat, sending.version));
        HeartbeatEvent::Shown { fleet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CYCLE: Duration = Duration::from_secs(30);

    fn beating() -> (FleetHeartbeat, Fleet, Effects) {
        let me = (WorkerId::parse("me").unwrap(), 4);
        let fleet = Fleet { leader: Some(me.clone()), ..Fleet::above(0, 4, true) };
        (FleetHeartbeat::new(&fleet, me, Time::ZERO), fleet, Effects::new(fastrand::Rng::with_seed(1)))
    }

    fn round(heartbeat: &mut FleetHeartbeat, row: &mut Fleet, effects: &mut Effects) -> Option<HeartbeatEvent> {
        let call = effects.take_calls().pop()?;
        let crate::coordination::call::Op::Write(write) = call.op else { return None };
        let written = write.apply(Some(&Row::Fleet(row.clone())));
        if let Written::Applied(Some(Row::Fleet(new))) = &written {
            *row = new.clone();
        }
        Some(heartbeat.on_answer(Ok(written), effects))
    }

    #[test]
    fn a_new_version_is_published_at_once_and_an_idle_leader_sends_one_heartbeat_per_session_heartbeat() {
        let (mut heartbeat, mut row, mut effects) = beating();
        heartbeat.consider(1, 1, CYCLE, &mut effects);
        assert!(matches!(round(&mut heartbeat, &mut row, &mut effects), Some(HeartbeatEvent::Shown { .. })));
        assert_eq!((row.leader_session_heartbeat, row.assignment_version), (Some(1), 1));
        heartbeat.moved_on();
        heartbeat.consider(1, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut heartbeat, &mut row, &mut effects), None, "nothing to tell");
        heartbeat.consider(2, 1, CYCLE, &mut effects);
        assert!(round(&mut heartbeat, &mut row, &mut effects).is_some());
        heartbeat.consider(3, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut heartbeat, &mut row, &mut effects), None, "the leader's work did not move on");
    }

    #[test]
    fn a_leader_whose_cycles_fail_stops_its_fleet_heartbeat() {
        let (mut heartbeat, mut row, mut effects) = beating();
        heartbeat.consider(1, 1, CYCLE, &mut effects);
        round(&mut heartbeat, &mut row, &mut effects);
        effects.now = Time::ZERO + CYCLE;
        heartbeat.moved_on();
        heartbeat.consider(2, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut heartbeat, &mut row, &mut effects), None);
    }

    #[test]
    fn another_term_deposes() {
        let (mut heartbeat, mut row, mut effects) = beating();
        heartbeat.consider(1, 1, CYCLE, &mut effects);
        row.term += 1;
        row.leader = Some((WorkerId::parse("other").unwrap(), 5));
        assert_eq!(round(&mut heartbeat, &mut row, &mut effects), Some(HeartbeatEvent::Deposed));
    }

    #[test]
    fn a_lost_answer_is_resolved_by_repeating_the_write() {
        let (mut heartbeat, mut row, mut effects) = beating();
        heartbeat.consider(1, 1, CYCLE, &mut effects);
        let call = effects.take_calls().pop().unwrap();
        let crate::coordination::call::Op::Write(write) = call.op else { unreachable!() };
        let Written::Applied(Some(Row::Fleet(new))) = write.apply(Some(&Row::Fleet(row.clone()))) else {
            unreachable!()
        };
        row = new;
        heartbeat.on_answer(Err(crate::coordination::call::Failure::Unanswered), &mut effects);
        heartbeat.on_timer(&mut effects);
        assert!(matches!(round(&mut heartbeat, &mut row, &mut effects), Some(HeartbeatEvent::Shown { .. })));
    }
}
