//! Runs a process's tasks. It can freeze them, like a suspended machine, and kill them, like `kill
//! -9`.

use futures_util::future::BoxFuture;
use kcl_core::testing::Spawn;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// One process as the executor of its tasks. Clones are the same process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    dead: CancellationToken,
    /// Tasks that were woken while the process was frozen.
    frozen: Arc<Mutex<Option<Vec<Waker>>>>,
    tasks: Arc<AtomicUsize>,
}

impl Host {
    /// Drops its tasks at once.
    pub(crate) fn kill(&self) {
        self.dead.cancel();
        self.thaw();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Stops polling its tasks.
    pub(crate) fn freeze(&self) {
        self.frozen.lock().unwrap().get_or_insert_default();
    }

    /// Resumes all tasks; timers that expired meanwhile fire now.
    pub(crate) fn thaw(&self) {
        let waiting = self.frozen.lock().unwrap().take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// The number of its tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// True if the task must wait.
    fn park(&self, task: &Waker) -> bool {
        match self.frozen.lock().unwrap().as_mut() {
            Some(waiting) => {
                waiting.push(task.clone());
                true
            }
            None => false,
        }
    }
}

impl Spawn for Host {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let death = Box::pin(self.dead.clone().cancelled_owned());
        let counted = Counted::one_more(&self.tasks);
        drop(tokio::spawn(Hosted { task: Some(task), host: self.clone(), death, _counted: counted }));
    }
}

/// One task, for its lifetime.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(tasks))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Hosted {
    task: Option<BoxFuture<'static, ()>>,
    host: Host,
    death: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: Counted,
}

impl Future for Hosted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.death.as_mut().poll(context).is_ready() {
            self.task = None;
        } else if self.host.park(context.waker()) {
            return Poll::Pending;
        }
        let done = self.task.as_mut().is_none_or(|task| task.as_mut().poll(context).is_ready());
        if done { Poll::Ready(()) } else { Poll::Pending }
    }
}
