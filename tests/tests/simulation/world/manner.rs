//! The processing mode: the number of handlers per shard, how they acknowledge, and what happens to
//! failed records.

use super::database::Database;
use super::history::{Fact, History, Name};
use kcl_core::policy::{DeadLetter, sink_fn};
use kcl_core::{Concurrency, FinalAction, OnError, Settings, WorkerBuilder};
use std::time::Duration;

/// One processing mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One handler; a failed batch is delivered again.
    #[default]
    Plain,
    /// Three handlers, each key in order.
    PerKey,
    /// Three handlers, in no order.
    Unordered,
    /// Other tasks acknowledge records one by one, later.
    Handles,
    /// Records that fail three times go to the dead letters; the handler names the failed records,
    /// or does not.
    DeadLetters { names: bool, lanes: u16 },
    /// Keys of records that fail twice go to quarantine.
    Quarantine { lanes: u16 },
    /// A failure stops the worker.
    Stops,
    /// Effects and positions change together in a database; in a broken one they do not.
    Database { sound: bool },
}

impl Manner {
    /// True if the records of a key arrive in order, each after the former ones are done.
    pub(crate) fn keeps_order(self) -> bool {
        !matches!(self, Manner::Unordered | Manner::Handles)
    }

    /// True if a given-up or quarantined record lets others pass.
    pub(crate) fn names_failures(self) -> bool {
        matches!(self, Manner::DeadLetters { names: true, .. })
    }

    /// The number of handlers per shard.
    pub(crate) fn lanes(self) -> u32 {
        match self {
            Manner::PerKey | Manner::Unordered => 3,
            Manner::DeadLetters { lanes, .. } | Manner::Quarantine { lanes } => lanes.into(),
            Manner::Plain | Manner::Handles | Manner::Stops | Manner::Database { .. } => 1,
        }
    }

    /// True if records may be poison.
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

    /// Configures a worker.
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
