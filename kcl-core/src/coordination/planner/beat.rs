//! The planning beat: tells the fleet that planning goes on, and which version of the plan to obey.

use crate::clock::Time;
use crate::coordination::backoff::RetryPolicy;
use crate::coordination::effects::{Answer, Effects, Part};
use crate::lease::row::{Fleet, SessionNumber, WorkerId};
use crate::lease::{Row, Write, Written};
use std::time::Duration;

/// The fleet takes a planner that is silent for `failover_time` for dead: a beat that failed is repeated well within that.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct FleetBeat {
    me: (WorkerId, SessionNumber),
    term: u64,
    beat: u64,
    told: Option<(u64, u64)>,
    sending: Option<Sending>,
    /// Whether planning moved on since the last beat: a page was read, a row was written.
    moved_on: bool,
    /// When a cycle last ended well.
    sound_at: Time,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    mirror: u64,
    version: u64,
}

/// What the beat's answer told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// The fleet row now shows this version of the plan.
    Shown {
        fleet: Fleet,
    },
    /// Another planner has the term.
    Deposed,
}

impl FleetBeat {
    pub(crate) fn new(fleet: &Fleet, me: (WorkerId, SessionNumber), now: Time) -> Self {
        FleetBeat { me, term: fleet.term, beat: fleet.beat, told: None, sending: None, moved_on: false, sound_at: now }
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    pub(crate) fn moved_on(&mut self) {
        self.moved_on = true;
    }

    /// Time that a slow table took from a cycle is not counted against it.
    pub(crate) fn excuse(&mut self, time: Duration) {
        self.sound_at = self.sound_at + time;
    }

    pub(crate) fn cycle_ended_well(&mut self, now: Time) {
        self.sound_at = now;
    }

    /// Beats if there is something to tell: a new version at once; a new session beat while planning moves on and a
    /// cycle ended well not too long ago.
    pub(crate) fn consider(&mut self, mirror: u64, version: u64, longest_cycle: Duration, effects: &mut Effects) {
        if self.sending.is_some() {
            return;
        }
        let news = match self.told {
            None => version > 0 || self.moved_on,
            Some((told_mirror, told_version)) => {
                let sound = self.moved_on && effects.now.since(self.sound_at) < longest_cycle;
                version != told_version || (mirror != told_mirror && sound)
            }
        };
        if news {
            self.moved_on = false;
            self.sending = Some(Sending { mirror, version });
            self.send(effects);
        }
    }

    pub(crate) fn on_timer(&self, effects: &mut Effects) {
        self.send(effects);
    }

    fn send(&self, effects: &mut Effects) {
        if let Some(Sending { mirror, version: plan_version }) = self.sending {
            let write = Write::FleetBeat { term: self.term, beat: self.beat, mirror, plan_version };
            effects.write(Part::FleetBeat, write);
        }
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> News {
        let (Some(sending), Answer::Written(written)) = (self.sending, answer) else {
            effects.repeat_by(RetryPolicy::default().no_longer_than(LONGEST_PAUSE), Part::FleetBeat);
            return News::Nothing;
        };
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let Some(Row::Fleet(fleet)) = row else { return News::Deposed };
        if fleet.term != self.term || fleet.planner.as_ref() != Some(&self.me) {
            return News::Deposed;
        }
        self.beat = fleet.beat;
        if (fleet.mirror, fleet.plan_version) != (Some(sending.mirror), sending.version) {
            effects.remind(Part::FleetBeat, effects.now);
            return News::Nothing;
        }
        self.sending = None;
        self.told = Some((sending.mirror, sending.version));
        News::Shown { fleet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CYCLE: Duration = Duration::from_secs(30);

    fn beating() -> (FleetBeat, Fleet, Effects) {
        let me = (WorkerId::parse("me").unwrap(), 4);
        let fleet = Fleet { planner: Some(me.clone()), ..Fleet::above(0, 4, true) };
        (FleetBeat::new(&fleet, me, Time::ZERO), fleet, Effects::new(fastrand::Rng::with_seed(1)))
    }

    fn round(beat: &mut FleetBeat, row: &mut Fleet, effects: &mut Effects) -> Option<News> {
        let call = effects.take_calls().pop()?;
        let crate::coordination::effects::Op::Write(write) = call.op else { return None };
        let written = write.apply(Some(&Row::Fleet(row.clone())));
        if let Written::Applied(Some(Row::Fleet(new))) = &written {
            *row = new.clone();
        }
        Some(beat.on_answer(Answer::Written(written), effects))
    }

    #[test]
    fn a_new_version_is_told_at_once_and_an_idle_planner_beats_once_a_session_beat() {
        let (mut beat, mut row, mut effects) = beating();
        beat.consider(1, 1, CYCLE, &mut effects);
        assert!(matches!(round(&mut beat, &mut row, &mut effects), Some(News::Shown { .. })));
        assert_eq!((row.mirror, row.plan_version), (Some(1), 1));
        beat.moved_on();
        beat.consider(1, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut beat, &mut row, &mut effects), None, "nothing to tell");
        beat.consider(2, 1, CYCLE, &mut effects);
        assert!(round(&mut beat, &mut row, &mut effects).is_some());
        beat.consider(3, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut beat, &mut row, &mut effects), None, "planning did not move on");
    }

    #[test]
    fn a_planner_whose_cycles_do_not_end_falls_silent() {
        let (mut beat, mut row, mut effects) = beating();
        beat.consider(1, 1, CYCLE, &mut effects);
        round(&mut beat, &mut row, &mut effects);
        effects.now = Time::ZERO + CYCLE;
        beat.moved_on();
        beat.consider(2, 1, CYCLE, &mut effects);
        assert_eq!(round(&mut beat, &mut row, &mut effects), None);
    }

    #[test]
    fn another_term_deposes() {
        let (mut beat, mut row, mut effects) = beating();
        beat.consider(1, 1, CYCLE, &mut effects);
        row.term += 1;
        row.planner = Some((WorkerId::parse("other").unwrap(), 5));
        assert_eq!(round(&mut beat, &mut row, &mut effects), Some(News::Deposed));
    }

    #[test]
    fn a_lost_answer_is_settled_by_asking_again() {
        let (mut beat, mut row, mut effects) = beating();
        beat.consider(1, 1, CYCLE, &mut effects);
        let call = effects.take_calls().pop().unwrap();
        let crate::coordination::effects::Op::Write(write) = call.op else { unreachable!() };
        let Written::Applied(Some(Row::Fleet(new))) = write.apply(Some(&Row::Fleet(row.clone()))) else {
            unreachable!()
        };
        row = new;
        beat.on_answer(Answer::Failed(crate::coordination::effects::Failure::Unanswered), &mut effects);
        beat.on_timer(&mut effects);
        assert!(matches!(round(&mut beat, &mut row, &mut effects), Some(News::Shown { .. })));
    }
}
