//! A worker in a process of its own, as benchmarks start it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::child::Child;
use crate::role::Said;
use crate::server::Server;
use crate::{Error, Options};

/// Starts a worker under a new id, with default settings but for the failover time. All workers of a server are one fleet.
pub(crate) fn start(server: &Server, options: &Options) -> Result<Child, Error> {
    let failover_time = humantime::format_duration(options.failover_time);
    Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        "--application=bench".to_owned(),
        format!("--failover-time={failover_time}"),
    ])
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
