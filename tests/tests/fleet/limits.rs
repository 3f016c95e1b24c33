//! The calls that a fleet sends to Kinesis, whose limits are small for an account, a stream or a
//! shard.

use crate::stage::Stage;
use kcl_core::prelude::*;
use kcl_local::kinesis::EngineConfig;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A shard serves five reads a second, to all pollers together.
#[tokio::test(start_paused = true)]
async fn several_applications_share_a_shards_reads_and_few_are_refused() {
    let mut engine = EngineConfig::in_process();
    engine.read_throttling = true;
    let stage = Stage::with_engine(engine, 1).await;
    let applications = ["arrivals", "baggage", "crews", "delays"];
    let mut running = Vec::new();
    for application in applications {
        running.push(stage.start_other(application, Settings::default()).await);
    }
    // Together they would send 20 reads a second; they learn the limit from refusals.
    sleep(secs(60)).await;
    let before = stage.calls("GetRecords");
    let (mut number, mut late) = (0, 0);
    let until = Instant::now() + secs(120);
    while Instant::now() < until {
        stage.put(number..number + 1).await;
        number += 1;
        let put = Instant::now();
        while stage.log.count() < 4 * number as usize {
            sleep(Duration::from_millis(10)).await;
            assert!(put.elapsed() < secs(25), "some application waits for too long");
        }
        late += u32::from(put.elapsed() > secs(4));
    }
    let asked = stage.calls("GetRecords") - before;
    assert!((300..=750).contains(&asked), "{asked} reads asked for in two minutes, of which 600 can be served");
    assert!(number >= 40 && late <= number / 8, "{late} of {number} records came later than after 4 s");
    for one in running {
        one.stop().await.unwrap();
    }
    for application in applications {
        assert_eq!(stage.log.of(application).len(), number as usize, "{application}");
    }
}

/// DescribeStream allows ten calls a second for a whole account, DescribeStreamSummary twenty.
#[tokio::test(start_paused = true)]
async fn a_fleet_describes_its_stream_at_starts_and_every_ten_minutes_and_lists_its_shards_once_a_minute() {
    let stage = Stage::with_shards(8).await;
    let settings = || Settings::default().idle_poll_interval(secs(30)).poll_interval(secs(1));
    let mut running = Vec::new();
    for worker in ["a", "b", "c"] {
        running.push(stage.start_with(worker, settings(), Duration::ZERO).await);
    }
    sleep(secs(3_600)).await;
    assert_eq!(stage.calls("DescribeStream"), 0);
    // At each start, and every ten minutes by each worker, to notice a changed retention.
    let described = stage.calls("DescribeStreamSummary");
    assert!((3..=3 + 3 * 6).contains(&described), "{described}");
    let lists = stage.calls("ListShards");
    // Each start tries one more, to check its permission.
    assert!((55..=78).contains(&lists), "{lists}: one worker of the fleet asks");
    for one in running {
        one.stop().await.unwrap();
    }
}
