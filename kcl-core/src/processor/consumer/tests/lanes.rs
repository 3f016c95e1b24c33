//! Tests several handlers on one shard, and the sizes of batches.

use super::stage::*;
use crate::checkpoint::CompletedRanges;
use crate::config::Concurrency;
use crate::processor::{Batch, BoxError, RecordProcessor, ShardContext};
use crate::record::{Checkpoint, Record};
use crate::retrieval::Chunk;
use futures_util::future::FutureExt;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn send(it: &Fixture, records: impl Iterator<Item = Record>) {
    it.feed.send(Ok(Chunk { records: records.collect(), ..Chunk::default() })).unwrap();
}

/// The delivered records, by key: lane and record.
type Seen = Arc<Mutex<BTreeMap<String, Vec<(usize, u64)>>>>;

/// A handler that takes a moment for every record, and logs the records by key and lane.
struct Slow {
    each: Duration,
    seen: Seen,
    busy: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    fails: u32,
    rng: fastrand::Rng,
}

impl RecordProcessor for Slow {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(busy, Ordering::Relaxed);
        let fails = self.rng.u32(0..100) < self.fails;
        if !fails {
            for record in batch {
                sleep(self.each).await;
                let number = record.sequence_number.as_str().parse().unwrap();
                let key = record.partition_key.as_deref().unwrap().to_owned();
                self.seen.lock().unwrap().entry(key).or_default().push((shard.lane(), number));
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
        if fails { Err("not now".into()) } else { Ok(()) }
    }
}

struct Run {
    it: Fixture,
    seen: Seen,
    most: Arc<AtomicUsize>,
}

fn slow(stage: Stage, fails: u32) -> Run {
    let (seen, busy, most) = (Arc::default(), Arc::default(), Arc::default());
    let (kept, peak) = (Arc::clone(&seen), Arc::clone(&most));
    let rng = Mutex::new(fastrand::Rng::with_seed(5));
    let it = stage.start(Log::new(), move |_| Slow {
        each: Duration::from_millis(5),
        seen: Arc::clone(&kept),
        busy: Arc::clone(&busy),
        most: Arc::clone(&peak),
        fails,
        rng: rng.lock().unwrap().fork(),
    });
    Run { it, seen, most }
}

async fn done(run: &Run, last: u64) -> Duration {
    let began = Instant::now();
    while run.it.acknowledged() != Some(last) {
        assert!(began.elapsed() < secs(3_600), "{:?}", run.it.acknowledged());
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn lanes_by_key_work_concurrently_and_keep_each_keys_order_and_lane() {
    for fails in [0, 30] {
        let run = slow(Stage::lanes(Concurrency::PerKey(8)), fails);
        for chunk in 0..4 {
            let records =
                (chunk * 100 + 1..=chunk * 100 + 100).map(|n| record(n).with_partition_key(format!("key-{}", n % 50)));
            send(&run.it, records);
        }
        done(&run, 400).await;
        assert!(run.most.load(Ordering::Relaxed) > 4);
        for (key, seen) in run.seen.lock().unwrap().iter() {
            assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "{key}: {seen:?}");
            assert!(seen.iter().all(|(lane, _)| *lane == seen[0].0), "{key}: {seen:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_on_many_lanes_are_twenty_times_as_fast_as_one_lane() {
    let mut took = Vec::new();
    for concurrency in [Concurrency::Serial, Concurrency::PerKey(32)] {
        let run = slow(Stage::lanes(concurrency), 0);
        send(&run.it, (1..=10_000).map(|n| record(n).with_partition_key(format!("key-{}", n % 1_000))));
        took.push(done(&run, 10_000).await);
    }
    assert!(took[0] >= took[1] * 20, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn unordered_lanes_all_have_work() {
    let run = slow(Stage::lanes(Concurrency::Unordered(8)), 0);
    send(&run.it, (1..=80).map(|n| record(n).with_partition_key("one key")));
    done(&run, 80).await;
    assert_eq!(run.most.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_key_does_not_block_the_others_up_to_max_unacknowledged() {
    let stuck = |call: &str| if call.split(' ').any(|number| number == "1") { acquires(100_000) } else { fine() };
    let stage = Stage::lanes(Concurrency::PerKey(4)).set(|settings| settings.max_unacknowledged(50));
    let it = stage.run(stuck);
    for n in 1..=100 {
        send(&it, std::iter::once(keyed(n)));
    }
    sleep(secs(600)).await;
    let fetched = it.log.count("fetched");
    assert!((50..=53).contains(&fetched), "{fetched}: fifty unacknowledged, and the prefetched ones");
    assert_eq!(it.acknowledged(), None);
    let handled = it.log.lines().iter().filter(|line| line.starts_with("records")).count();
    assert!(handled > 20, "{handled}: the keys of the other lanes are handled");
}

#[tokio::test(start_paused = true)]
async fn all_lanes_end_before_the_shard_and_before_the_lease() {
    for lanes in [Concurrency::PerKey(3), Concurrency::Unordered(3)] {
        let mut it = Stage::lanes(lanes).run(|call| if call.starts_with("records") { acquires(1) } else { fine() });
        let chunk = Chunk { records: (1..=30).map(keyed).collect(), end: Some(children()), ..Chunk::default() };
        it.feed.send(Ok(chunk)).unwrap();
        assert_eq!(it.reports().await, [Said::Ended(children())]);
        assert_eq!((it.acknowledged(), it.log.count("shard_ended")), (Some(30), 3));
        assert_eq!((it.log.count("initialize"), it.log.count("processor dropped")), (3, 3));
        let mut it = Stage::lanes(lanes).run(|call| if call.starts_with("records") { acquires(1) } else { fine() });
        send(&it, (1..=30).map(keyed));
        sleep(Duration::from_millis(500)).await;
        it.delivery.drain();
        assert_eq!(it.reports().await, [Said::Drained]);
        assert_eq!((it.log.count("shutdown_requested"), it.log.count("lease_lost")), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_an_earlier_owner_completed_beyond_the_checkpoint_are_not_repeated() {
    for lanes in [Concurrency::Serial, Concurrency::PerKey(2)] {
        let run = |from: u64, to: u64| (record(from).position()..=record(to).position(), to - from + 1);
        let bytes = CompletedRanges::write(&Checkpoint::TrimHorizon, &[run(3, 4), run(6, 6)]).unwrap();
        let done = CompletedRanges::read(&bytes, &Checkpoint::TrimHorizon);
        let it = Stage { done, ..Stage::lanes(lanes) }.run(|_| fine());
        send(&it, (1..=8).map(keyed));
        sleep(secs(1)).await;
        let handed: Vec<String> =
            it.log.lines().into_iter().filter_map(|line| line.strip_prefix("records ").map(str::to_owned)).collect();
        let mut handed: Vec<u64> = handed.iter().flat_map(|line| line.split(' ')).map(|n| n.parse().unwrap()).collect();
        handed.sort_unstable();
        assert_eq!((handed, it.acknowledged()), (vec![1, 2, 5, 7, 8], Some(8)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_window_unless_it_is_full() {
    let settings = |settings: crate::Settings| settings.batch_window(secs(10)).max_batch_records(4);
    let it = Stage::default().set(settings).run(|_| fine());
    it.feed(1..=1);
    sleep(secs(3)).await;
    it.feed(2..=2);
    sleep(secs(6)).await;
    assert_eq!(it.acknowledged(), None);
    sleep(secs(2)).await;
    assert_eq!((it.log.count("records 1 2"), it.acknowledged()), (1, Some(2)));
    assert_eq!(it.log.when("records 1 2"), secs(10));
    it.feed(3..=5);
    it.feed(6..=7);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(it.log.count("records 3 4 5 6"), 1, "full");
    assert_eq!(it.log.count("records 7"), 0);
    sleep(secs(10)).await;
    assert_eq!((it.log.count("records 7"), it.acknowledged()), (1, Some(7)));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_shard_does_not_wait_for_the_window() {
    let mut it = Stage::default().set(|settings| settings.batch_window(secs(300))).run(|_| fine());
    it.feed_end(1..=2);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
    assert_eq!(it.log.when("records 1 2"), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded_by_records_and_by_bytes() {
    let it = Stage::default().set(|settings| settings.max_batch_records(2)).run(|_| fine());
    it.feed(1..=5);
    sleep(secs(1)).await;
    assert_eq!((it.log.count("records 1 2"), it.log.count("records 3 4"), it.log.count("records 5")), (1, 1, 1));
    let it = Stage::default().set(|settings| settings.max_batch_bytes(10)).run(|_| fine());
    send(&it, [4, 4, 4, 40, 1].into_iter().zip(1..).map(|(bytes, n)| Record::new(number(n), vec![0; bytes])));
    sleep(secs(1)).await;
    let batches = ["records 1 2", "records 3", "records 4", "records 5"].map(|batch| it.log.count(batch));
    assert_eq!((batches, it.acknowledged()), ([1; 4], Some(5)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// For any sizes, lanes and failures, every record is handled, and each key's records in order
    /// if order is promised.
    #[test]
    fn every_record_is_handled_with_any_lanes(
        chunks in proptest::collection::vec(1u64..40, 1..12), lanes in 1u16..6, ordered: bool, fails in 0u32..40,
        most in 1usize..20, window in 0u64..2_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let concurrency = if ordered { Concurrency::PerKey(lanes) } else { Concurrency::Unordered(lanes) };
            let settings = |settings: crate::Settings| {
                settings.max_batch_records(most).batch_window(Duration::from_millis(window)).max_unacknowledged(60)
            };
            let run = slow(Stage::lanes(concurrency).set(settings), fails);
            let mut next = 1;
            for count in chunks {
                send(&run.it, (next..next + count).map(keyed));
                next += count;
            }
            done(&run, next - 1).await;
            let seen = run.seen.lock().unwrap();
            let mut all: Vec<u64> = seen.values().flatten().map(|(_, number)| *number).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, (1..next).collect::<Vec<_>>());
            if ordered {
                assert!(seen.values().all(|seen| seen.windows(2).all(|pair| pair[0].1 < pair[1].1)));
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_gives_up_stops_the_others() {
    let policy = crate::OnError::retry().when_panicked(crate::OnError::at_once(crate::FinalAction::StopShard));
    let mut stage = Stage::lanes(Concurrency::PerKey(4));
    stage.handling.policy = Arc::new(policy);
    let mut it = stage.run(|call| match call.split(' ').any(|number| number == "7") {
        true => async { panic!("no gate") }.boxed(),
        false => fine(),
    });
    send(&it, (1..=9).map(keyed));
    while !matches!(it.reports.recv().await.unwrap().kind, crate::processor::ReportKind::GaveUp { .. }) {}
    // The owner closes the delivery then.
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(it.log.count("lease_lost"), 4);
}
