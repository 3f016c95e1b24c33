//! Detects stalled stages of a shard's work and decides what is done about them. Pure: knows times, no consumers.
//!
//! Each stage has a deadline in the settings; each next step comes after another deadline.
//! - *fetch* is stalled while no read call is answered. The fetch is restarted twice, then the consumer is restarted,
//!   then the lease is released.
//! - *process* is stalled while one call of a handler runs. A slow handler need not be stuck, so the stall is only logged,
//!   unless `restart_stuck_handlers` is set: then the consumer is restarted, and next the lease is released.
//! - *acknowledge* is stalled while delivered records are not acknowledged, their retries included. It is only logged.
//! - *checkpoint* is stalled while an acknowledged position is not written. It is only logged: a lease whose row cannot be
//!   written cannot be released either.

use super::intervals;
use crate::clock::Time;
use crate::config::Settings;
use std::time::Duration;

/// A stage on the way of a shard's records from the stream to the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Fetch,
    Process,
    Acknowledge,
    Checkpoint,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Fetch, Stage::Process, Stage::Acknowledge, Stage::Checkpoint];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Stage::Fetch => "fetch",
            Stage::Process => "process",
            Stage::Acknowledge => "acknowledge",
            Stage::Checkpoint => "checkpoint",
        }
    }
}

/// What is done about a stalled stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The stall is logged.
    Alarm,
    /// The reader is dropped; another one goes on after the last record that was accepted.
    RestartFetch,
    /// The consumer and its processor are dropped; new ones go on after the last acknowledged record.
    RestartConsumer,
    /// The lease is released, so that another worker tries.
    GiveUp,
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Step::Alarm => "alarm",
            Step::RestartFetch => "restart fetch",
            Step::RestartConsumer => "restart consumer",
            Step::GiveUp => "give up",
        }
    }
}

/// The deadlines of the stages.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines {
    fetch: Duration,
    process: Duration,
    acknowledge: Duration,
    checkpoint: Duration,
    restart_stuck_handlers: bool,
}

impl Deadlines {
    pub(crate) fn new(settings: &Settings) -> Self {
        Deadlines {
            fetch: settings.fetch_deadline,
            process: settings.process_deadline,
            acknowledge: settings.acknowledge_deadline,
            checkpoint: settings.checkpoint_deadline,
            restart_stuck_handlers: settings.restart_stuck_handlers,
        }
    }

    fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Fetch => self.fetch,
            Stage::Process => self.process,
            Stage::Acknowledge => self.acknowledge,
            Stage::Checkpoint => self.checkpoint,
        }
    }

    /// The step when a stage was stalled for its `nth` deadline.
    fn step(&self, stage: Stage, nth: u32) -> Step {
        match (stage, nth) {
            (Stage::Fetch, ..=2) => Step::RestartFetch,
            (Stage::Fetch, 3) => Step::RestartConsumer,
            (Stage::Process, 1) if self.restart_stuck_handlers => Step::RestartConsumer,
            (Stage::Process, _) if self.restart_stuck_handlers => Step::GiveUp,
            (Stage::Fetch, _) => Step::GiveUp,
            (Stage::Process | Stage::Acknowledge | Stage::Checkpoint, _) => Step::Alarm,
        }
    }
}

/// Since when each stage of a held lease has made no progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) fetch: Option<Time>,
    pub(crate) process: Option<Time>,
    pub(crate) acknowledge: Option<Time>,
    pub(crate) checkpoint: Option<Time>,
}

impl Standing {
    fn of(&self, stage: Stage) -> Option<Time> {
        match stage {
            Stage::Fetch => self.fetch,
            Stage::Process => self.process,
            Stage::Acknowledge => self.acknowledge,
            Stage::Checkpoint => self.checkpoint,
        }
    }
}

/// A change that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StallEvent {
    Stalled { stage: Stage, lasted: Duration, step: Step },
    Over { stage: Stage, lasted: Duration },
}

/// Detects the stalls of one held lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StallDetector {
    checked: Option<Time>,
    stages: [Option<Watched>; 4],
}

/// A stage without progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    since: Time,
    /// Since when the checks came without a gap. The deadlines count from here.
    counted: Time,
    /// The steps taken since then.
    taken: u32,
    /// The steps taken before that.
    before: u32,
}

impl StallDetector {
    /// Checks the lease's stages at this time.
    pub(crate) fn check(&mut self, standing: Standing, now: Time, deadlines: &Deadlines) -> Vec<StallEvent> {
        let blind = self.checked.replace(now).is_some_and(|checked| now.since(checked) > intervals::WATCHDOG_GAP);
        let events = Stage::ALL.into_iter().zip(&mut self.stages).filter_map(|(stage, watched)| {
            let deadline = deadlines.of(stage);
            let (known, at) = (*watched, standing.of(stage));
            *watched = at.map(|since| match known.filter(|known| known.since == since) {
                Some(known) if blind => Watched { counted: now, taken: 0, before: known.before + known.taken, ..known },
                Some(known) => known,
                None => Watched { since, counted: if blind { now } else { since }, taken: 0, before: 0 },
            });
            // A stall that was reported has ended, even if another one began since.
            if let Some(known) = known.filter(|known| known.before + known.taken > 0 && at != Some(known.since)) {
                return Some(StallEvent::Over { stage, lasted: at.unwrap_or(now).since(known.since) });
            }
            let watched = watched.as_mut()?;
            let passed = now.since(watched.counted).as_nanos().checked_div(deadline.as_nanos()).unwrap_or(0);
            if passed <= u128::from(watched.taken) {
                return None;
            }
            watched.taken += 1;
            let step = deadlines.step(stage, watched.before + watched.taken);
            Some(StallEvent::Stalled { stage, lasted: now.since(watched.since), step })
        });
        events.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn deadlines(settings: Settings) -> Deadlines {
        Deadlines::new(&settings.fetch_deadline(Duration::from_secs(30)).process_deadline(Duration::from_secs(100)))
    }

    /// The steps, and after how many seconds each comes, for a stage that stalls at 10 s for good.
    fn ladder(stage: Stage, settings: Settings) -> Vec<(u64, Step)> {
        let (deadlines, mut detector) = (deadlines(settings), StallDetector::default());
        let since = Some(t(10));
        let standing = match stage {
            Stage::Fetch => Standing { fetch: since, ..Standing::default() },
            Stage::Process => Standing { process: since, ..Standing::default() },
            Stage::Acknowledge => Standing { acknowledge: since, ..Standing::default() },
            Stage::Checkpoint => Standing { checkpoint: since, ..Standing::default() },
        };
        let mut steps = Vec::new();
        for second in 10..400 {
            for event in detector.check(standing, t(second), &deadlines) {
                let StallEvent::Stalled { step, stage: stalled, .. } = event else { panic!("{event:?}") };
                assert_eq!(stalled, stage);
                steps.push((second - 10, step));
            }
        }
        steps
    }

    #[test]
    fn a_stalled_fetch_is_restarted_then_its_consumer_then_the_lease_is_released() {
        let steps = ladder(Stage::Fetch, Settings::default());
        let first =
            [(30, Step::RestartFetch), (60, Step::RestartFetch), (90, Step::RestartConsumer), (120, Step::GiveUp)];
        assert_eq!(steps[..4], first);
    }

    #[test]
    fn a_slow_handler_is_logged_and_left_alone() {
        let steps = ladder(Stage::Process, Settings::default());
        assert_eq!(steps, [(100, Step::Alarm), (200, Step::Alarm), (300, Step::Alarm)]);
    }

    #[test]
    fn a_stuck_handler_is_restarted_if_the_setting_is_on() {
        let steps = ladder(Stage::Process, Settings::default().restart_stuck_handlers(true));
        assert_eq!(steps[..2], [(100, Step::RestartConsumer), (200, Step::GiveUp)]);
    }

    #[test]
    fn records_that_are_not_acknowledged_or_not_checkpointed_are_only_logged() {
        for stage in [Stage::Acknowledge, Stage::Checkpoint] {
            let steps = ladder(stage, Settings::default());
            assert!(steps.iter().all(|(_, step)| *step == Step::Alarm), "{stage:?}: {steps:?}");
        }
        assert!(!ladder(Stage::Checkpoint, Settings::default()).is_empty());
    }

    #[test]
    fn time_without_checks_does_not_count() {
        let (deadlines, mut detector) = (deadlines(Settings::default()), StallDetector::default());
        let standing = Standing { fetch: Some(t(0)), ..Standing::default() };
        let mut steps = |seconds: std::ops::Range<u64>| -> Vec<u64> {
            seconds.filter(|second| !detector.check(standing, t(*second), &deadlines).is_empty()).collect()
        };
        assert_eq!(steps(0..50), [30]);
        assert_eq!(steps(1_000..1_070), [1_030, 1_060], "the machine was suspended");
    }

    #[test]
    fn the_end_of_a_stall_is_reported_and_the_next_stall_begins_with_the_first_step() {
        let (deadlines, mut detector) = (deadlines(Settings::default()), StallDetector::default());
        let stalled = |seconds| StallEvent::Stalled {
            stage: Stage::Fetch,
            lasted: Duration::from_secs(seconds),
            step: Step::RestartFetch,
        };
        let over = |seconds| StallEvent::Over { stage: Stage::Fetch, lasted: Duration::from_secs(seconds) };
        let reported: Vec<_> = (0..80)
            .flat_map(|second| {
                let fetch = match second {
                    0..40 => Some(t(0)),
                    40 => None,
                    41..73 => Some(t(41)),
                    _ => Some(t(73)),
                };
                let events = detector.check(Standing { fetch, ..Standing::default() }, t(second), &deadlines);
                events.into_iter().map(move |event| (second, event))
            })
            .collect();
        assert_eq!(reported, [(30, stalled(30)), (40, over(40)), (71, stalled(30)), (73, over(32))]);
    }
}
