//! Hosts the coordination on a thread, a runtime and connections of its own, so that no handler
//! delays a heartbeat.

use super::connection::{Connect, Connected, Connection};
use super::fleet_membership::{FleetMembership, MembershipQuery};
use crate::coordination::{self, Coordinator, Outside};
use crate::error::{Code, Error};
use crate::process::ThisProcess;
use crate::spawn::Spawn;
use crate::telemetry::Scope;
use futures_util::FutureExt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The runtime of the coordination.
#[derive(Clone, Debug, Default)]
pub(super) enum Runtime {
    /// A thread of its own.
    #[default]
    Own,
    /// The runtime that builds the worker: for virtual time, where everything runs in one thread.
    Current,
    /// The caller's spawner, which also runs the consumers.
    Given(Arc<dyn Spawn>),
}

impl Runtime {
    /// Identifies the worker's process. Under virtual time one process plays many workers, so it is
    /// not identified.
    pub(super) fn process(&self) -> ThisProcess {
        match self {
            Runtime::Own => ThisProcess::current(),
            Runtime::Current | Runtime::Given(_) => ThisProcess::default(),
        }
    }

    /// Where consumers are spawned.
    pub(super) fn tasks(&self) -> Arc<dyn Spawn> {
        match self {
            Runtime::Own | Runtime::Current => Arc::new(tokio::runtime::Handle::current()),
            Runtime::Given(tasks) => Arc::clone(tasks),
        }
    }
}

/// Makes the coordinator from the connections.
type Begin = Box<dyn FnOnce(Connected) -> (Coordinator, Outside) + Send>;

/// The connected coordination, before it is started.
pub(super) struct Hosted {
    begin: oneshot::Sender<Begin>,
    done: oneshot::Receiver<(Result<(), Error>, FleetMembership)>,
}

/// The coordination's task, from connecting to the end.
struct Task {
    connect: Connect,
    connected: oneshot::Sender<Result<Vec<Connection>, Error>>,
    begin: oneshot::Receiver<Begin>,
    query: Option<MembershipQuery>,
    done: oneshot::Sender<(Result<(), Error>, FleetMembership)>,
}

impl Task {
    async fn run(self) {
        let parts = match self.connect.await {
            Ok(parts) => parts,
            Err(error) => {
                let _ = self.connected.send(Err(error));
                return;
            }
        };
        if self.connected.send(Ok(parts.streams.clone())).is_err() {
            return;
        }
        // The sender was dropped: the worker was never run.
        let Ok(begin) = self.begin.await else { return };
        let store = Arc::clone(&parts.store);
        let (coordinator, outside) = begin(parts);
        let outcome = coordination::run(coordinator, outside).await;
        let others = match self.query {
            Some(query) if outcome.is_ok() => query.look(store.as_ref()).await,
            Some(_) | None => FleetMembership::NotAsked,
        };
        let _ = self.done.send((outcome, others));
    }
}

/// Connects, on the runtime that will coordinate.
pub(super) async fn connect(
    runtime: &Runtime,
    connect: Connect,
    query: Option<MembershipQuery>,
    scope: Scope,
) -> Result<(Hosted, Vec<Connection>), Error> {
    let (connected, when_connected) = oneshot::channel();
    let (begin, when_begun) = oneshot::channel();
    let (done, when_done) = oneshot::channel();
    let task = Task { connect, connected, begin: when_begun, query, done };
    match runtime {
        Runtime::Own => spawn_thread(scope.around(task.run()))?,
        Runtime::Current => drop(tokio::spawn(scope.around(task.run()))),
        Runtime::Given(tasks) => tasks.spawn(scope.around(task.run()).boxed()),
    }
    let streams = when_connected.await.map_err(|_| exited())??;
    Ok((Hosted { begin, done: when_done }, streams))
}

fn spawn_thread(task: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    let could_not = |error: std::io::Error| {
        Error::new(Code::Runtime, "the coordination's thread or runtime could not be started").with_source(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(could_not)?;
    let thread = std::thread::Builder::new().name("kcl-coordination".to_owned());
    thread.spawn(move || runtime.block_on(task)).map_err(could_not)?;
    Ok(())
}

impl Hosted {
    /// Starts the coordination and waits until it ends. Also returns the answer about the rest of
    /// the fleet, if there was a question.
    pub(super) async fn run(
        self,
        begin: impl FnOnce(Connected) -> (Coordinator, Outside) + Send + 'static,
    ) -> (Result<(), Error>, FleetMembership) {
        if self.begin.send(Box::new(begin)).is_err() {
            return (Err(exited()), FleetMembership::NotAsked);
        }
        self.done.await.unwrap_or_else(|_| (Err(exited()), FleetMembership::NotAsked))
    }
}

fn exited() -> Error {
    Error::new(Code::Bug, "the coordination task exited unexpectedly (did its thread panic?)")
}
