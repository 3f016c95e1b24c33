//! Detects that a handler waits for the end of its own worker, which would be a deadlock.

use crate::spawn::Spawn;
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::Arc;

tokio::task_local! {
    /// The worker that polls this task.
    static WORKER: WorkerToken;
}

/// Identifies a worker within the process.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerToken(Arc<()>);

impl WorkerToken {
    /// True in a handler of that worker; false in a task that the handler spawned.
    pub(super) fn is_within(&self) -> bool {
        WORKER.try_with(|worker| Arc::ptr_eq(&worker.0, &self.0)).unwrap_or(false)
    }

    /// A spawner whose tasks know their worker.
    pub(super) fn over(&self, tasks: Arc<dyn Spawn>) -> Arc<dyn Spawn> {
        Arc::new(TokenSpawner { token: self.clone(), tasks })
    }
}

#[derive(Debug)]
struct TokenSpawner {
    token: WorkerToken,
    tasks: Arc<dyn Spawn>,
}

impl Spawn for TokenSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(WORKER.scope(self.token.clone(), task).boxed());
    }
}
