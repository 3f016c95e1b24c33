//! `latency`: from an answer of GetRecords, or an event of a subscription, to the handler that is called with it. A bare loop
//! around the same call has its records when the call returns: what comes on top is the worker's. And from a record's arrival
//! at the servers to the handler.

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

/// Half of the setting `poll_interval`, and 5 ms.
const POLLING: f64 = 105.0;

/// Medians over all runs, in milliseconds.
struct Late {
    p99: f64,
    p50: f64,
    since_arrival_p50: f64,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let polling = measure(options, None).await?;
    let fan_out = measure(options, Some("--fan-out")).await?;
    Ok(vec![
        Figure::new("latency.added_p99_ms", polling.p99, "ms").at_most(1.0),
        Figure::new("latency.added_p50_ms", polling.p50, "ms"),
        Figure::new("latency.polling_p50_ms", polling.since_arrival_p50, "ms").at_most(POLLING),
        Figure::new("latency.fanout_p99_ms", fan_out.p99, "ms").at_most(5.0),
        Figure::new("latency.fanout_arrival_p50_ms", fan_out.since_arrival_p50, "ms"),
    ])
}

async fn measure(options: &Options, how: Option<&str>) -> Result<Late, Error> {
    let (mut late, mut middle, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let server = Server::start(options.latency, SHARDS, 0).await?;
        let feed = Feed::start(&server, SHARDS)?;
        let mut arguments =
            vec!["timed".to_owned(), format!("--endpoint={}", server.endpoint()), format!("--deliveries={DELIVERIES}")];
        arguments.extend(how.map(str::to_owned));
        let mut worker = Child::spawn(&arguments)?;
        let said = tokio::time::timeout(PATIENCE, worker.hear()).await??;
        feed.stop().await?;
        let (Said::Added { millis, since_arrival }, _) = said else {
            return Err(format!("a worker said {said:?}").into());
        };
        late.push(p99(millis.iter().copied()));
        middle.push(median(millis));
        arrivals.push(median(since_arrival));
        eprintln!("latency {run}/{}: p99 {:.3} ms", options.runs, late.last().copied().unwrap_or(f64::NAN));
    }
    Ok(Late { p99: median(late), p50: median(middle), since_arrival_p50: median(arrivals) })
}
