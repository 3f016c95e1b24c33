//! In what manner records are handled: how many handlers a shard has, how they acknowledge, and what is done with what fails.

use super::database::Database;
use super::history::{Fact, History, Name};
use kcl_core::{Concurrency, DeadLetter, FinalAction, OnError, Settings, WorkerBuilder, sink_fn};
use std::time::Duration;

/// One of the ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One handler; a batch is done or comes again.
    #[default]
    Plain,
    /// Three handlers, each key in order.
    PerKey,
    /// Three handlers, in no order.
    Unordered,
    /// Records are acknowledged one by one, later, by other tasks.
    Handles,
    /// What fails three times is given up; the handler says which records failed, or does not.
    DeadLetters { names: bool, lanes: u16 },
    /// What fails twice is parked with its key.
    Quarantine { lanes: u16 },
    /// What fails stops the worker.
    Stops,
    /// Effects and positions change together, in a database; in a broken one not so.
    Database { sound: bool },
}

impl Manner {
    /// Whether a key's records come in order, and none before the ones before it are done.
    pub(crate) fn keeps_order(self) -> bool {
        !matches!(self, Manner::Unordered | Manner::Handles)
    }

    /// Whether a record that is given up or parked makes way for others.
    pub(crate) fn names_failures(self) -> bool {
        matches!(self, Manner::DeadLetters { names: true, .. })
    }

    /// How many handlers a shard has.
    pub(crate) fn lanes(self) -> u32 {
        match self {
            Manner::PerKey | Manner::Unordered => 3,
            Manner::DeadLetters { lanes, .. } | Manner::Quarantine { lanes } => lanes.into(),
            Manner::Plain | Manner::Handles | Manner::Stops | Manner::Database { .. } => 1,
        }
    }

    /// Whether records may be poison.
    pub(crate) fn bears_poison(self) -> bool {
        matches!(self, Manner::DeadLetters { .. } | Manner::Quarantine { .. })
    }

    pub(crate) fn settings(self, settings: Settings) -> Settings {
        let lanes = |lanes| if lanes > 1 { Concurrency::PerKey(lanes) } else { Concurrency::Serial };
        match self {
            Manner::Plain | Manner::Handles | Manner::Stops | Manner::Database { .. } => settings,
            Manner::PerKey => settings.concurrency(Concurrency::PerKey(3)),
            Manner::Unordered => settings.concurrency(Concurrency::Unordered(3)),
            Manner::DeadLetters { lanes: n, .. } => settings.concurrency(lanes(n)),
            Manner::Quarantine { lanes: n } => {
                settings.concurrency(lanes(n)).quarantine_retry(Duration::from_secs(10)).max_quarantined(30)
            }
        }
    }

    /// What a worker is built with.
    pub(crate) fn build<R>(
        self,
        builder: WorkerBuilder<R>,
        process: Name,
        history: History,
        database: &Database,
    ) -> WorkerBuilder<R> {
        match self {
            Manner::Plain | Manner::PerKey | Manner::Unordered | Manner::Handles => builder,
            Manner::DeadLetters { .. } => {
                let policy = OnError::retry()
                    .backoff(Duration::from_millis(50), Duration::from_secs(1))
                    .max_attempts(3)
                    .then(FinalAction::DeadLetter);
                let sink = sink_fn(move |letter: DeadLetter| {
                    let (process, history) = (process.clone(), history.clone());
                    async move {
                        let number = std::str::from_utf8(&letter.record.data)?.trim_end().parse()?;
                        history.add(Fact::GivenUp { process, number });
                        Ok(())
                    }
                });
                builder.error_policy(policy).dead_letters(sink)
            }
            Manner::Quarantine { .. } => {
                let policy = OnError::retry()
                    .backoff(Duration::from_millis(50), Duration::from_secs(1))
                    .max_attempts(2)
                    .then(FinalAction::Quarantine);
                builder.error_policy(policy)
            }
            Manner::Stops => builder.error_policy(OnError::at_once(FinalAction::StopWorker)),
            Manner::Database { .. } => builder.checkpoint_store(database.clone()),
        }
    }
}
