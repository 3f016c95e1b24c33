//! `perkey`: handlers that wait, one after the other and 32 at a time, a key's records in order.

use crate::child::Child;
use crate::figure::{Figure, median};
use crate::role::{Drained, Said};
use crate::server::Server;
use crate::{Error, Options};

const RECORDS: u64 = 4_000;
const KEYS: u64 = 1_000;

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let server = Server::start_keyed(options.latency, 1, RECORDS, KEYS).await?;
    let mut ratios = Vec::new();
    for run in 1..=options.runs {
        let serial = handled(&server, run, "serial").await?;
        let keyed = handled(&server, run, "per-key:32").await?;
        eprintln!("perkey {run}/{}: serial {:.1} s, 32 lanes {:.2} s", options.runs, serial.seconds, keyed.seconds);
        ratios.push(serial.seconds / keyed.seconds);
    }
    Ok(vec![Figure::new("perkey.speedup", median(ratios), "x").at_least(20.0)])
}

/// A worker whose handler takes 5 ms a record, and looks whether each key's records come in order.
async fn handled(server: &Server, run: usize, concurrency: &str) -> Result<Drained, Error> {
    let mut worker = Child::spawn(&[
        "work".to_owned(),
        format!("--endpoint={}", server.endpoint()),
        format!("--application={}-{run}", concurrency.replace(':', "-")),
        format!("--concurrency={concurrency}"),
        "--handler-time=5ms".to_owned(),
        format!("--drain={RECORDS}"),
    ])?;
    match worker.hear().await? {
        (Said::Drained(drained), _) => Ok(drained),
        (said, _) => Err(format!("a worker said {said:?}").into()),
    }
}
