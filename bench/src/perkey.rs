//! `perkey`: measures the speed-up of slow handlers by `PerKey(32)` over `Serial`, with the records
//! of a key in order.

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::role::{Drained, Message};
use crate::server::Server;
use crate::{Error, Options};

const RECORDS: u64 = 4_000;
const KEYS: u64 = 1_000;

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let server = Server::start_keyed(options.latency, 1, RECORDS, KEYS).await?;
    let mut ratios = Vec::new();
    for run in 1..=options.runs {
        let serial = drain(&server, run, "serial").await?;
        let keyed = drain(&server, run, "per-key:32").await?;
        eprintln!("perkey {run}/{}: serial {:.1} s, per-key:32 {:.2} s", options.runs, serial.seconds, keyed.seconds);
        ratios.push(serial.seconds / keyed.seconds);
    }
    Ok(vec![Figure::new("perkey.speedup", median(ratios), "x").at_least(20.0)])
}

/// Runs a worker whose handler takes 5 ms per record, and checks the order of each key's records.
async fn drain(server: &Server, run: usize, concurrency: &str) -> Result<Drained, Error> {
    let mut worker = Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        format!("--application={}-{run}", concurrency.replace(':', "-")),
        format!("--concurrency={concurrency}"),
        "--handler-time=5ms".to_owned(),
        format!("--drain={RECORDS}"),
    ])?;
    match worker.next_message().await? {
        (Message::Drained(drained), _) => Ok(drained),
        (other, _) => Err(format!("unexpected message of a worker: {other:?}").into()),
    }
}
