//! The streams that a process serves, and changes of them.

use super::history::{Fact, History, Name};
use super::process::{Life, Process};
use kcl_core::testing::Spawn;
use kcl_core::{StreamConfig, WorkerHandle};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The pause before another attempt to add a stream.
const AGAIN: Duration = Duration::from_secs(1);

/// Creates what a process needs for the n-th stream.
pub(crate) type Configs = Arc<dyn Fn(usize) -> StreamConfig + Send + Sync>;

/// A process's state for each of several streams.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) configs: Configs,
    /// Account and name, and the ARN, of each stream.
    pub(crate) names: Vec<(String, String)>,
    /// The streams it is to serve.
    wanted: Arc<Mutex<BTreeSet<usize>>>,
    /// One change at a time.
    busy: Arc<AtomicBool>,
}

impl Serving {
    pub(crate) fn new(configs: Configs, names: Vec<(String, String)>, wanted: BTreeSet<usize>) -> Self {
        Serving { configs, names, wanted: Arc::new(Mutex::new(wanted)), busy: Arc::default() }
    }

    /// The streams it is to serve.
    pub(crate) fn wanted(&self) -> BTreeSet<usize> {
        self.wanted.lock().unwrap().clone()
    }

    /// Everything it is built with.
    pub(crate) fn all(&self) -> Vec<StreamConfig> {
        self.wanted().into_iter().map(|n| (self.configs)(n)).collect()
    }

    async fn add(&self, handle: &WorkerHandle, n: usize) {
        while let Err(error) = handle.add_stream((self.configs)(n)).await {
            if error.to_string().contains("has ended") {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    async fn remove(&self, handle: &WorkerHandle, n: usize, process: Name, history: &History) {
        let (stream, arn) = self.names[n].clone();
        match handle.remove_stream(arn).await {
            Ok(()) => history.add(Fact::HasLeft { process, stream }),
            Err(error) => history.add(Fact::Note(format!("{process} could not leave {stream}: {error}"))),
        }
    }
}

impl Process {
    /// Adds the n-th stream to a running process, or removes it if the process serves it. Does
    /// nothing while a change is under way or the process does not run.
    pub(crate) fn toggle(&self, n: usize) {
        let (Some(serving), Life::Running(handle)) = (self.serving.clone(), self.life()) else { return };
        if serving.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let (process, history) = (self.name.clone(), self.history.clone());
        let stream = serving.names[n].0.clone();
        let serves = serving.wanted.lock().unwrap().remove(&n);
        if serves {
            history.add(Fact::ServesNoMore { process: process.clone(), stream });
        } else {
            serving.wanted.lock().unwrap().insert(n);
            history.add(Fact::Serves { process: process.clone(), stream });
        }
        self.host.spawn(Box::pin(async move {
            if serves {
                serving.remove(&handle, n, process, &history).await;
            } else {
                serving.add(&handle, n).await;
            }
            serving.busy.store(false, Ordering::Relaxed);
        }));
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("wanted", &self.wanted()).finish_non_exhaustive()
    }
}
