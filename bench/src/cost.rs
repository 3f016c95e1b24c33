//! `cost`: measures the calls per second of a fleet, by operation, as the servers count them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::figure::Figure;
use crate::server::{Calls, Server};
use crate::{Error, Options, worker};

/// A fleet and its load.
struct Scenario {
    /// The name in figures: load, number of shards, and number of workers if there are several.
    name: &'static str,
    shards: u64,
    workers: u64,
    /// The setting `idle_poll_interval`, if it is not the default.
    idle_poll_interval: Option<Duration>,
    load: Load,
    max_writes: Option<f64>,
}

enum Load {
    /// Records per second, spread evenly over the shards. Zero: the fleet is idle.
    Records(u64),
    /// No records; one more worker joins.
    Join,
}

/// Polling a thousand idle shards twice a second over HTTP would keep two cores busy. The interval
/// does not change the cost of coordination.
const SLOW_POLL: Option<Duration> = Some(Duration::from_secs(5));

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "idle.1",
        shards: 1,
        workers: 1,
        idle_poll_interval: None,
        load: Load::Records(0),
        max_writes: Some(0.8),
    },
    Scenario {
        name: "idle.8",
        shards: 8,
        workers: 1,
        idle_poll_interval: None,
        load: Load::Records(0),
        max_writes: Some(0.9),
    },
    Scenario {
        name: "busy.8",
        shards: 8,
        workers: 1,
        idle_poll_interval: None,
        load: Load::Records(100),
        max_writes: None,
    },
    Scenario { name: "join.8", shards: 8, workers: 1, idle_poll_interval: None, load: Load::Join, max_writes: None },
    Scenario {
        name: "busy.1",
        shards: 1,
        workers: 1,
        idle_poll_interval: None,
        load: Load::Records(100),
        max_writes: None,
    },
    Scenario {
        name: "idle.1000x20",
        shards: 1_000,
        workers: 20,
        idle_poll_interval: SLOW_POLL,
        load: Load::Records(0),
        max_writes: Some(8.4),
    },
    Scenario {
        name: "busy.1000x20",
        shards: 1_000,
        workers: 20,
        idle_poll_interval: SLOW_POLL,
        load: Load::Records(1_000),
        max_writes: None,
    },
    Scenario {
        name: "join.1000x20",
        shards: 1_000,
        workers: 20,
        idle_poll_interval: SLOW_POLL,
        load: Load::Join,
        max_writes: None,
    },
];

/// By then a new worker has its share of the leases, and the fleet is steady again.
const JOINED: Duration = Duration::from_secs(20);

/// DynamoDB operations that write rows.
const WRITES: [&str; 5] = ["BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"];
const READS: [&str; 5] = ["BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"];
/// The operation that the bench itself calls.
const FEED: &str = "PutRecords";

pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    for scenario in SCENARIOS {
        figures.extend(measure(&scenario, options).await?);
    }
    Ok(figures)
}

async fn measure(scenario: &Scenario, options: &Options) -> Result<Vec<Figure>, Error> {
    let Options { window, warm_up, .. } = options;
    eprintln!("cost.{}: {warm_up:?} to settle, then {window:?}", scenario.name);
    let server = Server::start(options.latency, scenario.shards, 0).await?;
    let start = || match scenario.idle_poll_interval {
        Some(interval) => worker::polling(&server, options, interval),
        None => worker::start(&server, options),
    };
    let mut workers = (0..scenario.workers).map(|_| start()).collect::<Result<Vec<_>, Error>>()?;
    let records_per_second = if let Load::Records(records) = scenario.load { records } else { 0 };
    let count = async {
        tokio::time::sleep(*warm_up).await;
        let (before, began) = (server.calls().await?, Instant::now());
        tokio::time::sleep(*window).await;
        let (after, took) = (server.calls().await?, began.elapsed());
        if let Load::Records(_) = scenario.load {
            return Ok(figures(scenario, &before, &after, took));
        }
        workers.push(start()?);
        tokio::time::sleep(JOINED).await;
        let joined = server.calls().await?;
        Ok::<_, Error>(join_figures(scenario, [&before, &after, &joined], took))
    };
    let figures = tokio::select! {
        figures = count => figures?,
        fed = feed(&server, records_per_second) => return Err(fed.err().unwrap_or_else(|| "the feed ended".into())),
    };
    // Stop all workers at once, as a fleet is stopped.
    let ended = futures_util::future::join_all(workers.into_iter().map(|worker| worker.terminate())).await;
    ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(figures)
}

/// Computes the calls of a join beyond the steady rate.
fn join_figures(scenario: &Scenario, [before, after, joined]: [&Calls; 3], took: Duration) -> Vec<Figure> {
    let sum = |rates: &BTreeMap<&str, f64>, operations: &[&str]| -> f64 {
        rates.iter().filter(|(name, _)| operations.contains(name)).map(|(_, rate)| rate).sum()
    };
    let steady = rates(&before.dynamodb, &after.dynamodb, took);
    let joining = rates(&after.dynamodb, &joined.dynamodb, JOINED);
    let extra = |name: &str, operations: &[&str]| {
        let calls = (sum(&joining, operations) - sum(&steady, operations)) * JOINED.as_secs_f64();
        Figure::new(format!("cost.{}.{name}", scenario.name), calls, "calls")
    };
    vec![extra("writes", &WRITES), extra("reads", &READS)]
}

/// Puts records in even portions, ten times a second, without end.
async fn feed(server: &Server, per_second: u64) -> Result<(), Error> {
    const TIMES: u64 = 10;
    if per_second == 0 {
        return std::future::pending().await;
    }
    let mut tick = interval(Duration::from_secs(1) / TIMES as u32);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut written = 0;
    loop {
        tick.tick().await;
        server.put_in_turn(written, per_second / TIMES).await?;
        written += per_second / TIMES;
    }
}

fn figures(scenario: &Scenario, before: &Calls, after: &Calls, took: Duration) -> Vec<Figure> {
    let (tables, streams) =
        (rates(&before.dynamodb, &after.dynamodb, took), rates(&before.kinesis, &after.kinesis, took));
    let sum =
        |operations: &[&str]| tables.iter().filter(|(name, _)| operations.contains(name)).map(|(_, rate)| rate).sum();
    let name = |operation: &str| format!("cost.{}.{operation}", scenario.name);
    let writes = Figure::new(name("writes"), sum(&WRITES), "1/s");
    let writes = match scenario.max_writes {
        Some(max) => writes.at_most(max),
        None => writes,
    };
    let mut figures = vec![writes, Figure::new(name("reads"), sum(&READS), "1/s")];
    let single = tables.iter().chain(streams.iter().filter(|(operation, _)| **operation != FEED));
    figures.extend(single.map(|(operation, rate)| Figure::new(name(&snake_case(operation)), *rate, "1/s")));
    figures
}

/// Calls per second, by operation.
fn rates<'a>(
    before: &BTreeMap<String, u64>,
    after: &'a BTreeMap<String, u64>,
    took: Duration,
) -> BTreeMap<&'a str, f64> {
    #[allow(clippy::cast_precision_loss, reason = "a count of calls")]
    let rate = |name: &str, count: u64| (count - before.get(name).copied().unwrap_or(0)) as f64 / took.as_secs_f64();
    after.iter().map(|(name, count)| (name.as_str(), rate(name, *count))).filter(|(_, rate)| *rate > 0.0).collect()
}

/// Converts `GetRecords` to `get_records`.
fn snake_case(operation: &str) -> String {
    let mut name = String::new();
    for letter in operation.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_calls_per_second_between_two_counts() {
        let calls = |updates, reads, feeds| Calls {
            dynamodb: BTreeMap::from([("UpdateItem".to_owned(), updates), ("CreateTable".to_owned(), 1)]),
            kinesis: BTreeMap::from([("GetRecords".to_owned(), reads), ("PutRecords".to_owned(), feeds)]),
        };
        let figures = figures(&SCENARIOS[1], &calls(10, 100, 5), &calls(18, 260, 50), Duration::from_secs(10));
        let expected = [
            Figure::new("cost.idle.8.writes", 0.8, "1/s").at_most(0.9),
            Figure::new("cost.idle.8.reads", 0.0, "1/s"),
            Figure::new("cost.idle.8.update_item", 0.8, "1/s"),
            Figure::new("cost.idle.8.get_records", 16.0, "1/s"),
        ];
        assert_eq!(figures, expected);
    }
}
