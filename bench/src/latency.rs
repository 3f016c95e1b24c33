//! `latency`: from an answer of GetRecords to the handler that is called with it. A bare loop around the same call has its
//! records when the call returns: what comes on top is the worker's.

use std::time::Duration;

use crate::child::Child;
use crate::feed::Feed;
use crate::figure::{Figure, median, p99};
use crate::role::Said;
use crate::server::Server;
use crate::{Error, Options};

const SHARDS: u64 = 8;
/// Deliveries that are measured.
const DELIVERIES: usize = 1_500;
/// Above the worker's own start.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let (mut late, mut middle) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let server = Server::start(options.latency, SHARDS, 0).await?;
        let feed = Feed::start(&server, SHARDS)?;
        let mut worker = Child::spawn(&[
            "timed".to_owned(),
            format!("--endpoint={}", server.endpoint()),
            format!("--deliveries={DELIVERIES}"),
        ])?;
        let said = tokio::time::timeout(PATIENCE, worker.hear()).await??;
        feed.stop().await?;
        let (Said::Added { millis }, _) = said else { return Err(format!("a worker said {said:?}").into()) };
        late.push(p99(millis.iter().copied()));
        middle.push(median(millis));
        eprintln!("latency {run}/{}: p99 {:.3} ms", options.runs, late.last().copied().unwrap_or(f64::NAN));
    }
    Ok(vec![
        Figure::new("latency.added_p99_ms", median(late), "ms").at_most(1.0),
        Figure::new("latency.added_p50_ms", median(middle), "ms"),
    ])
}
