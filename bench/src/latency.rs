//! `latency`: measures the time from an answer of GetRecords, or an event of a subscription, to the
//! call of the handler.
//!
//! A bare loop around the SDK has its records when the call returns, so this is the latency that
//! the worker adds. Also measures the time from a record's arrival at the servers to the handler.

use std::time::Duration;

use crate::child::Child;
use crate::feed::Feed;
use crate::figure::{Figure, median, p99};
use crate::role::Message;
use crate::server::Server;
use crate::{Error, Options};

const SHARDS: u64 = 8;
/// Number of measured handler calls.
const DELIVERIES: usize = 1_500;
/// The longest time of a measurement, with the start of the worker.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Half of the default `poll_interval` (200 ms), and 5 ms.
const MAX_POLLING_MS: f64 = 105.0;

/// Medians over all runs, in milliseconds.
struct Latencies {
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
        Figure::new("latency.polling_p50_ms", polling.since_arrival_p50, "ms").at_most(MAX_POLLING_MS),
        Figure::new("latency.fanout_p99_ms", fan_out.p99, "ms").at_most(5.0),
        Figure::new("latency.fanout_arrival_p50_ms", fan_out.since_arrival_p50, "ms"),
    ])
}

async fn measure(options: &Options, mode: Option<&str>) -> Result<Latencies, Error> {
    let (mut p99s, mut medians, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=options.runs {
        let server = Server::start(options.latency, SHARDS, 0).await?;
        let feed = Feed::start(&server, SHARDS)?;
        let mut arguments =
            vec!["timed".to_owned(), format!("--endpoint={}", server.endpoint()), format!("--deliveries={DELIVERIES}")];
        arguments.extend(mode.map(str::to_owned));
        let mut worker = Child::spawn(&arguments)?;
        let message = tokio::time::timeout(TIMEOUT, worker.next_message()).await??;
        feed.stop().await?;
        let (Message::Latencies { millis, since_arrival }, _) = message else {
            return Err(format!("unexpected message of a worker: {message:?}").into());
        };
        p99s.push(p99(millis.iter().copied()));
        medians.push(median(millis));
        arrivals.push(median(since_arrival));
        eprintln!("latency {run}/{}: p99 {:.3} ms", options.runs, p99s.last().copied().unwrap_or(f64::NAN));
    }
    Ok(Latencies { p99: median(p99s), p50: median(medians), since_arrival_p50: median(arrivals) })
}
