//! Which of several streams a process serves, and telling it to serve others.

use super::history::{Fact, History, Name};
use super::process::{Life, Process};
use kcl_core::{Spawn, StreamConfig, WorkerHandle};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// Somebody who could not add a stream tries again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes what a process needs to know of the n-th stream.
pub(crate) type Configs = Arc<dyn Fn(usize) -> StreamConfig + Send + Sync>;

/// What a process has of each of several streams.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) configs: Configs,
    /// Account and name, and the ARN, of each stream.
    pub(crate) names: Vec<(String, String)>,
    /// Those that it is to serve.
    wanted: Arc<Mutex<BTreeSet<usize>>>,
    /// It is at one thing at a time.
    busy: Arc<AtomicBool>,
}

impl Serving {
    pub(crate) fn new(configs: Configs, names: Vec<(String, String)>, wanted: BTreeSet<usize>) -> Self {
        Serving { configs, names, wanted: Arc::new(Mutex::new(wanted)), busy: Arc::default() }
    }

    /// Those that it is to serve.
    pub(crate) fn wanted(&self) -> BTreeSet<usize> {
        self.wanted.lock().unwrap().clone()
    }

    /// All that it is to be built with.
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
    /// Tells a running process to serve the n-th stream if it does not, and not to if it does. One that is at something, or
    /// does not run, is not told.
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
