//! A worker in a process of its own, as benchmarks start it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::child::Child;
use crate::role::Said;
use crate::server::Server;
use crate::{Error, Options};

/// The fleet's name, which is its lease table's as well.
pub(crate) const APPLICATION: &str = "bench";

/// Starts a worker under a new id, with default settings but for the failover time. All workers of a server are one fleet.
pub(crate) fn start(server: &Server, options: &Options) -> Result<Child, Error> {
    Child::spawn(&arguments(server, options.failover_time))
}

/// The same, with idle shards read so often.
pub(crate) fn polling(server: &Server, options: &Options, idle_poll_interval: Duration) -> Result<Child, Error> {
    let mut arguments = arguments(server, options.failover_time);
    arguments.push(format!("--idle-poll-interval={}", humantime::format_duration(idle_poll_interval)));
    Child::spawn(&arguments)
}

/// Starts a worker under this id that says every record.
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

/// Waits until each of so many shards has delivered a record, and tells how long after the worker's start that was.
pub(crate) async fn first_records(worker: &mut Child, shards: u64) -> Result<Duration, Error> {
    let mut seen = BTreeSet::new();
    loop {
        if let (Said::First { shard }, took) = worker.hear().await? {
            seen.insert(shard);
            if seen.len() as u64 == shards {
                return Ok(took);
            }
        }
    }
}
