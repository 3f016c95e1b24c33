//! Workers that start, stop, are cut off and are killed.

use super::handler::{Calls, Handler, Mood};
use super::weather::{Reach, Weather};
use crate::stage::{APPLICATION, STREAM};
use kcl_core::{Error, Worker, WorkerHandle};
use kcl_local::LocalAws;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The process of one worker.
#[derive(Debug)]
pub(super) struct Process {
    /// Under which the fleet knows it.
    pub(super) id: String,
    /// Its own name: a restart has the same id and another name.
    pub(super) name: String,
    alive: Arc<AtomicBool>,
    killed: Arc<Notify>,
    handle: Arc<Mutex<Option<WorkerHandle>>>,
    task: JoinHandle<Result<(), Error>>,
}

#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) aws: Arc<LocalAws>,
    pub(super) weather: Weather,
    pub(super) calls: Calls,
    pub(super) mood: Arc<Mutex<Mood>>,
    pub(super) rng: fastrand::Rng,
    pub(super) running: Vec<Process>,
    pub(super) started: u32,
    pub(super) stopping: Vec<JoinHandle<Result<(), String>>>,
}

impl Fleet {
    /// A worker under this id. Where building it fails, it is started again, as a supervisor would.
    pub(super) fn start(&mut self, id: &str) {
        self.started += 1;
        let name = format!("{id}.{}", self.started);
        let (alive, killed) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let handle: Arc<Mutex<Option<WorkerHandle>>> = Arc::default();
        let (calls, mood, seed) = (self.calls.clone(), Arc::clone(&self.mood), self.rng.u64(..));
        let (config, processes_name) = (self.aws.sdk_config_for(&name), name.clone());
        let (id_of_it, lives, kill, known) = (id.to_owned(), alive.clone(), killed.clone(), handle.clone());
        let life = async move {
            let worker = loop {
                let (calls, mood, alive, name) = (calls.clone(), mood.clone(), lives.clone(), processes_name.clone());
                let rng = Mutex::new(fastrand::Rng::with_seed(seed));
                let built = Worker::builder(APPLICATION, STREAM)
                    .worker_id(&id_of_it)
                    .with_seed(seed)
                    .sdk_config(&config)
                    .on_current_runtime()
                    .processor(move |_| Handler {
                        worker: name.clone(),
                        calls: calls.clone(),
                        alive: alive.clone(),
                        mood: mood.clone(),
                        rng: rng.lock().unwrap().fork(),
                    })
                    .build()
                    .await;
                match built {
                    Ok(worker) => break worker,
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            };
            *known.lock().unwrap() = Some(worker.handle());
            worker.run().await
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                outcome = life => outcome,
                () = kill.notified() => Ok(()),
            }
        });
        self.running.push(Process { id: id.to_owned(), name, alive, killed, handle, task });
    }

    /// As `kill -9`: nothing of it is heard again.
    pub(super) fn kill(&mut self, n: usize) -> String {
        let process = self.running.swap_remove(n);
        process.alive.store(false, Ordering::Relaxed);
        self.weather.cut_off(&process.name, Reach::Nothing);
        process.killed.notify_one();
        process.id
    }

    /// Asks it to stop; what comes of it is told in the end.
    pub(super) fn stop(&mut self, n: usize, within: Duration) -> String {
        let process = self.running.swap_remove(n);
        let id = process.id.clone();
        self.stopping.push(tokio::spawn(process.stop(within)));
        id
    }

    /// Those that ended without being asked to.
    pub(super) async fn ended(&mut self) -> Vec<String> {
        let mut broken = Vec::new();
        for n in (0..self.running.len()).rev() {
            if self.running[n].task.is_finished() {
                let process = self.running.swap_remove(n);
                let outcome = process.task.await.unwrap();
                broken.push(format!("run: {} ended by itself: {outcome:?}", process.name));
            }
        }
        broken
    }
}

impl Process {
    async fn stop(self, within: Duration) -> Result<(), String> {
        let asked = loop {
            let handle = self.handle.lock().unwrap().clone();
            if let Some(handle) = handle {
                break handle;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let began = tokio::time::Instant::now();
        asked.shutdown(within).await;
        let outcome = self.task.await.unwrap();
        let took = began.elapsed();
        match outcome {
            Err(error) => Err(format!("stop: {} ended with {error}", self.name)),
            Ok(()) if took > within + Duration::from_secs(20) => {
                Err(format!("stop: {} took {took:?} of {within:?}", self.name))
            }
            Ok(()) => Ok(()),
        }
    }
}
