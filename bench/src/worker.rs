//! Starts workers as child processes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::child::Child;
use crate::role::Message;
use crate::server::Server;
use crate::{Error, Options};

/// The application, which is also the name of the lease table.
pub(crate) const APPLICATION: &str = "bench";

/// Starts a worker with a new id and default settings except the failover time. All workers of a
/// server are one fleet.
pub(crate) fn start(server: &Server, options: &Options) -> Result<Child, Error> {
    Child::spawn(&arguments(server, options.failover_time))
}

/// As [`start`], with another `idle_poll_interval`.
pub(crate) fn polling(server: &Server, options: &Options, idle_poll_interval: Duration) -> Result<Child, Error> {
    let mut arguments = arguments(server, options.failover_time);
    arguments.push(format!("--idle-poll-interval={}", humantime::format_duration(idle_poll_interval)));
    Child::spawn(&arguments)
}

/// Starts a worker with this id that reports every record.
pub(crate) fn reporting(server: &Server, failover_time: Duration, id: &str) -> Result<Child, Error> {
    let mut arguments = arguments(server, failover_time);
    arguments.extend(["--report".to_owned(), format!("--worker-id={id}")]);
    Child::spawn(&arguments)
}

fn arguments(server: &Server, failover_time: Duration) -> Vec<String> {
    vec![
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        format!("--application={APPLICATION}"),
        format!("--failover-time={}", humantime::format_duration(failover_time)),
    ]
}

/// Waits until the worker has received a record of each shard, and returns the time since the
/// worker's start.
pub(crate) async fn first_records(worker: &mut Child, shards: u64) -> Result<Duration, Error> {
    let mut seen = BTreeSet::new();
    loop {
        if let (Message::FirstRecord { shard }, elapsed) = worker.next_message().await? {
            seen.insert(shard);
            if seen.len() as u64 == shards {
                return Ok(elapsed);
            }
        }
    }
}
