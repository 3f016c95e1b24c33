//! When a stage of a shard's work has stood too long, and what is done about it. Pure: knows times, no consumers.
//!
//! | stage | stands while | first | then | at last |
//! |---|---|---|---|---|
//! | fetch | no read call is answered | the fetch is restarted, twice | the consumer is restarted | the lease is given up |
//! | process | one call of a handler runs | an alarm; with `restart_stuck_handlers` the consumer is restarted | the lease is given up | |
//! | acknowledge | records are handed over and not acknowledged, retries and all | an alarm | | |
//! | checkpoint | what is acknowledged is not written | an alarm | | |
//!
//! Each step comes a deadline after the one before. A handler that acquires long is not stuck: unless a person says so, it is
//! only told. What is acknowledged and cannot be written could not be released either.

use crate::clock::Time;
use crate::config::Settings;
use std::time::Duration;

/// Between two looks at what is held, and at whether it moves.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// A part of a shard's way from the stream to the checkpoint.
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

/// What is done about a stage that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Somebody is told.
    Alarm,
    /// The reader is dropped, and another one goes on after the last record it had accepted.
    RestartFetch,
    /// The consumer and its processor are dropped, and others go on after the last record that was acknowledged.
    RestartConsumer,
    /// Another worker is to try.
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

/// How long each stage may stand.
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

    /// What is done when a stage has stood for its `nth` deadline.
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

/// Since when each stage of a held lease stands.
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

/// What a look told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchdogEvent {
    Stalled { stage: Stage, stood: Duration, step: Step },
    Over { stage: Stage, stood: Duration },
}

/// Nobody looked for longer than this: the machine was suspended, or hogged, and so was what is looked at.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// Watches one held lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watchdog {
    looked: Option<Time>,
    stages: [Option<Watched>; 4],
}

/// A stage that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    since: Time,
    /// Since when it was looked at without a gap.
    counted: Time,
    /// The steps taken: since then, and before.
    taken: u32,
    before: u32,
}

impl Watchdog {
    /// Looks at the lease now.
    pub(crate) fn look(&mut self, standing: Standing, now: Time, deadlines: &Deadlines) -> Vec<WatchdogEvent> {
        let blind = self.looked.replace(now).is_some_and(|looked| now.since(looked) > LONGEST_GAP);
        let looked = Stage::ALL.into_iter().zip(&mut self.stages).filter_map(|(stage, watched)| {
            let deadline = deadlines.of(stage);
            let (known, at) = (*watched, standing.of(stage));
            *watched = at.map(|since| match known.filter(|known| known.since == since) {
                Some(known) if blind => Watched { counted: now, taken: 0, before: known.before + known.taken, ..known },
                Some(known) => known,
                None => Watched { since, counted: if blind { now } else { since }, taken: 0, before: 0 },
            });
            // It ended, or another one began.
            if let Some(known) = known.filter(|known| known.before + known.taken > 0 && at != Some(known.since)) {
                return Some(WatchdogEvent::Over { stage, stood: at.unwrap_or(now).since(known.since) });
            }
            let watched = watched.as_mut()?;
            let passed = now.since(watched.counted).as_nanos().checked_div(deadline.as_nanos()).unwrap_or(0);
            if passed <= u128::from(watched.taken) {
                return None;
            }
            watched.taken += 1;
            let step = deadlines.step(stage, watched.before + watched.taken);
            Some(WatchdogEvent::Stalled { stage, stood: now.since(watched.since), step })
        });
        looked.collect()
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

    /// What is done, and after how many seconds, about a stage that began at 10 s and does not end.
    fn ladder(stage: Stage, settings: Settings) -> Vec<(u64, Step)> {
        let (deadlines, mut watchdog) = (deadlines(settings), Watchdog::default());
        let since = Some(t(10));
        let standing = match stage {
            Stage::Fetch => Standing { fetch: since, ..Standing::default() },
            Stage::Process => Standing { process: since, ..Standing::default() },
            Stage::Acknowledge => Standing { acknowledge: since, ..Standing::default() },
            Stage::Checkpoint => Standing { checkpoint: since, ..Standing::default() },
        };
        let mut steps = Vec::new();
        for second in 10..400 {
            for news in watchdog.look(standing, t(second), &deadlines) {
                let WatchdogEvent::Stalled { step, stage: stalled, .. } = news else { panic!("{news:?}") };
                assert_eq!(stalled, stage);
                steps.push((second - 10, step));
            }
        }
        steps
    }

    #[test]
    fn a_fetch_that_stands_is_restarted_then_its_consumer_then_the_lease_is_given_up() {
        let steps = ladder(Stage::Fetch, Settings::default());
        let first =
            [(30, Step::RestartFetch), (60, Step::RestartFetch), (90, Step::RestartConsumer), (120, Step::GiveUp)];
        assert_eq!(steps[..4], first);
    }

    #[test]
    fn a_handler_that_takes_long_is_told_and_left_alone() {
        let steps = ladder(Stage::Process, Settings::default());
        assert_eq!(steps, [(100, Step::Alarm), (200, Step::Alarm), (300, Step::Alarm)]);
    }

    #[test]
    fn a_stuck_handler_is_restarted_where_that_was_asked_for() {
        let steps = ladder(Stage::Process, Settings::default().restart_stuck_handlers(true));
        assert_eq!(steps[..2], [(100, Step::RestartConsumer), (200, Step::GiveUp)]);
    }

    #[test]
    fn what_is_not_acknowledged_or_not_written_is_told() {
        for stage in [Stage::Acknowledge, Stage::Checkpoint] {
            let steps = ladder(stage, Settings::default());
            assert!(steps.iter().all(|(_, step)| *step == Step::Alarm), "{stage:?}: {steps:?}");
        }
        assert!(!ladder(Stage::Checkpoint, Settings::default()).is_empty());
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let (deadlines, mut watchdog) = (deadlines(Settings::default()), Watchdog::default());
        let standing = Standing { fetch: Some(t(0)), ..Standing::default() };
        let mut steps = |seconds: std::ops::Range<u64>| -> Vec<u64> {
            seconds.filter(|second| !watchdog.look(standing, t(*second), &deadlines).is_empty()).collect()
        };
        assert_eq!(steps(0..50), [30]);
        assert_eq!(steps(1_000..1_070), [1_030, 1_060], "the machine was suspended");
    }

    #[test]
    fn a_stage_that_goes_on_is_told_and_starts_from_the_beginning() {
        let (deadlines, mut watchdog) = (deadlines(Settings::default()), Watchdog::default());
        let stalled = |stood| WatchdogEvent::Stalled {
            stage: Stage::Fetch,
            stood: Duration::from_secs(stood),
            step: Step::RestartFetch,
        };
        let over = |stood| WatchdogEvent::Over { stage: Stage::Fetch, stood: Duration::from_secs(stood) };
        let told: Vec<_> = (0..80)
            .flat_map(|second| {
                let fetch = match second {
                    0..40 => Some(t(0)),
                    40 => None,
                    41..73 => Some(t(41)),
                    _ => Some(t(73)),
                };
                let news = watchdog.look(Standing { fetch, ..Standing::default() }, t(second), &deadlines);
                news.into_iter().map(move |news| (second, news))
            })
            .collect();
        assert_eq!(told, [(30, stalled(30)), (40, over(40)), (71, stalled(30)), (73, over(32))]);
    }
}
