//! Defines how tasks are started: on tokio's runtimes in production, on hosts that can be frozen or
//! killed in a simulation.

use futures_util::future::BoxFuture;
use std::fmt::Debug;

/// Starts tasks. A started task runs until it finishes or its runtime ends.
pub trait Spawn: Debug + Send + Sync + 'static {
    /// Starts a task and returns at once.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

impl Spawn for tokio::runtime::Handle {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(tokio::runtime::Handle::spawn(self, task));
    }
}
