//! One process with one worker: how it starts, runs, and ends.

use super::clock::ProcessClock;
use super::history::{Fact, History, Name};
use super::host::Host;
use super::serving::Serving;
use kcl_core::testing::Spawn;
use kcl_core::{Error, Worker, WorkerHandle};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The supervisor's pause before another attempt.
const RESTART: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) enum Life {
    Building,
    Running(WorkerHandle),
    Ended,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: Name,
    /// Its worker id.
    pub(crate) worker: String,
    pub(crate) host: Host,
    pub(crate) clock: Arc<ProcessClock>,
    /// The streams it serves, with several streams.
    pub(crate) serving: Option<Serving>,
    life: Arc<Mutex<Life>>,
    pub(super) history: History,
}

impl Process {
    /// Builds a worker, repeatedly while that fails, and runs it.
    pub(crate) fn start<B, F>(
        name: Name,
        worker: String,
        host: Host,
        clock: Arc<ProcessClock>,
        history: History,
        build: B,
    ) -> Self
    where
        B: Fn() -> F + Send + 'static,
        F: Future<Output = Result<Worker, Error>> + Send,
    {
        history.add(Fact::Started { process: name.clone(), worker: worker.clone() });
        let life = Arc::new(Mutex::new(Life::Building));
        let (its_life, its_history, process) = (life.clone(), history.clone(), name.clone());
        host.spawn(Box::pin(async move {
            let worker = loop {
                match build().await {
                    Ok(worker) => break worker,
                    Err(error) => {
                        let error = error.to_string();
                        its_history.add(Fact::BuildFailed { process: process.clone(), error });
                        sleep(RESTART).await;
                    }
                }
            };
            *its_life.lock().unwrap() = Life::Running(worker.handle());
            let error = worker.run().await.err().map(|error| error.to_string());
            *its_life.lock().unwrap() = Life::Ended;
            its_history.add(Fact::Ended { process, error });
        }));
        Process { name, worker, host, clock, serving: None, life, history }
    }

    pub(super) fn life(&self) -> Life {
        self.life.lock().unwrap().clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.host.is_dead() || matches!(*self.life.lock().unwrap(), Life::Ended)
    }

    /// Like `kill -9`.
    pub(crate) fn kill(&self) {
        self.host.kill();
        self.history.add(Fact::Killed { process: self.name.clone() });
    }

    /// Like SIGTERM. A worker that is still being built ends at once.
    pub(crate) fn stop(&self, within: Duration) {
        self.history.add(Fact::StopAsked { process: self.name.clone(), within });
        let life = self.life.lock().unwrap().clone();
        match life {
            Life::Running(handle) => drop(tokio::spawn(async move { handle.shutdown(within).await })),
            Life::Building => {
                self.host.kill();
                *self.life.lock().unwrap() = Life::Ended;
                self.history.add(Fact::Ended { process: self.name.clone(), error: None });
            }
            Life::Ended => {}
        }
    }

    pub(crate) fn freeze(&self) {
        self.history.add(Fact::Frozen { process: self.name.clone() });
        self.host.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.history.add(Fact::Thawed { process: self.name.clone() });
        self.host.thaw();
    }
}
