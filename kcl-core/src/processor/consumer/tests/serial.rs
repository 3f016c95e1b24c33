//! Tests one handler that gets one batch after the other.

use super::stage::*;
use crate::error::Code;
use crate::processor::{FinalAction, OnError, ReportKind};
use crate::record::{Checkpoint, Record, SequenceNumber, ShardId, StartingPosition};
use crate::retrieval::{Chunk, ReadError, Readers, ShardReader};
use crate::shard::{ApiError, ApiErrorKind};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use futures_util::future::{FutureExt, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn batches_are_delivered_in_order_and_move_the_acknowledged_position() {
    let mut it = consumer(|_| fine());
    it.feed(1..=3);
    it.feed.send(Ok(Chunk::default())).unwrap();
    it.feed(4..=5);
    sleep(secs(1)).await;
    let calls = ["initialize", "records 1 2 3", "records 4 5"];
    assert_eq!(it.log.lines().iter().filter(|line| *line != "fetched").collect::<Vec<_>>(), calls);
    assert_eq!(it.acknowledged(), Some(5));
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_the_batch_and_leaves_the_next_one() {
    let mut it = consumer(|call| if call == "records 1 2" { acquires(3) } else { fine() });
    it.feed(1..=2);
    it.feed(3..=4);
    sleep(secs(1)).await;
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!(it.acknowledged(), Some(2));
    assert_eq!(it.log.when("shutdown_requested"), secs(3));
    assert_eq!(it.log.count("records 3 4") + it.log.count("lease_lost"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_batch_that_keeps_failing() {
    let mut it = consumer(|call| if call == "records 1" { fails() } else { fine() });
    it.feed(1..=1);
    sleep(secs(60)).await;
    it.delivery.drain();
    let asked = Instant::now();
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!((it.acknowledged(), asked.elapsed()), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_drops_the_running_handler_and_ignores_acknowledgements() {
    let dropped = Log::new();
    let guard = dropped.clone();
    let mut it = consumer(move |call| {
        if !call.starts_with("records") {
            return fine();
        }
        let guard = Dropped(guard.clone(), "handler dropped");
        async move {
            let _guard = guard;
            pending().await
        }
        .boxed()
    });
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(dropped.lines(), ["handler dropped"]);
    assert_eq!((it.acknowledged(), it.log.count("lease_lost"), it.log.count("shutdown_requested")), (None, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn gone_is_reported_after_processor_and_reader_are_dropped() {
    let mut it = consumer(|call| if call == "lease_lost" { acquires(2) } else { fine() });
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.close();
    // The test's own task reads the report as soon as it is sent.
    while !matches!(it.reports.recv().await.unwrap().kind, ReportKind::Gone) {}
    assert_eq!((it.log.count("processor dropped"), it.log.count("reader dropped")), (1, 1));
    assert_eq!(it.log.when("processor dropped"), secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_lease_lost_callback_that_hangs_is_dropped() {
    let mut it = consumer(|call| if call == "lease_lost" { pending().boxed() } else { fine() });
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(it.log.when("processor dropped"), secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_holds_the_batch_and_a_confirmed_heartbeat_delivers_it() {
    let it = consumer(|_| fine());
    it.gate.shut();
    it.feed(1..=2);
    sleep(secs(30)).await;
    assert_eq!((it.log.count("fetched"), it.log.count("records 1 2")), (1, 0));
    it.gate.open_until(crate::clock::Time::from_nanos(u64::MAX));
    sleep(secs(1)).await;
    assert_eq!(it.log.count("records 1 2"), 1);
    assert!(it.log.when("records 1 2") - secs(30) <= Duration::from_millis(50));
    assert_eq!(it.acknowledged(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_after_the_gate_has_shut_or_the_lease_is_lost() {
    for lease_lost in [false, true] {
        let it = consumer(|_| fine());
        it.feed(1..=2);
        sleep(secs(1)).await;
        assert_eq!((it.log.count("records 1 2"), it.acknowledged()), (1, Some(2)));
        if lease_lost {
            it.delivery.close();
        } else {
            it.gate.shut();
        }
        it.feed(3..=4);
        sleep(secs(30)).await;
        assert_eq!((it.log.count("records 3 4"), it.acknowledged()), (0, Some(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_batch_is_left_to_the_next_owner_when_the_lease_is_lost() {
    let mut it = consumer(|_| fine());
    it.gate.shut();
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!((it.log.count("records 1 2"), it.acknowledged()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_or_failing_handler_gets_the_same_records_again() {
    for bad in [(|| async { panic!("index out of bounds") }.boxed()) as fn() -> _, fails] {
        let it = consumer(first(3, "records 1 2", bad));
        it.feed(1..=2);
        it.feed(3..=3);
        sleep(secs(10)).await;
        assert_eq!((it.log.count("records 1 2"), it.log.count("records 3")), (4, 1));
        assert_eq!(it.acknowledged(), Some(3));
    }
}

#[tokio::test(start_paused = true)]
async fn no_records_are_delivered_before_initialize_succeeded() {
    let it = consumer(first(3, "initialize", || async { panic!("no database") }.boxed()));
    it.feed(1..=1);
    sleep(secs(10)).await;
    let lines = it.log.lines();
    assert_eq!(it.log.count("initialize"), 4);
    assert_eq!(lines.last().unwrap(), "records 1");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_shard_waits_for_the_last_batch_and_for_shard_ended() {
    let failing = first(2, "records 1 2", fails);
    let refusing = first(2, "shard_ended", fails);
    let mut it = consumer(move |call| if call == "shard_ended" { refusing(call) } else { failing(call) });
    it.feed_end(1..=2);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
    assert_eq!(it.acknowledged(), Some(2));
    let calls: Vec<_> =
        it.log.lines().into_iter().filter(|line| line.contains(' ') && !line.contains("drop")).collect();
    assert_eq!(calls, vec!["records 1 2"; 3]);
    assert_eq!(
        (it.log.count("shard_ended"), it.log.count("lease_lost"), it.log.count("shutdown_requested")),
        (3, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_panics_gives_the_lease_up() {
    struct Panics;
    #[async_trait]
    impl ShardReader for Panics {
        async fn next(&mut self) -> Fed {
            panic!("a bug")
        }
    }
    impl Readers for Panics {
        fn open(&self, _: &ShardId, _: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
            Box::new(Panics)
        }
    }
    let (feed, _fed) = mpsc::unbounded_channel();
    let (log, script) = (Log::new(), Arc::new(|_: &str| fine()));
    let mine = log.clone();
    let factory = move |_: &ShardId| Scripted {
        script: script.clone(),
        log: mine.clone(),
        _dropped: Dropped(mine.clone(), "processor dropped"),
    };
    let mut it = Stage::default().start_on(log, feed, Arc::new(Panics), factory);
    let reports = it.reports().await;
    assert!(matches!(&reports[..], [Said::GaveUp { stops_with: None, .. }]), "{reports:?}");
}

/// A factory that panics this many times, and then makes a processor.
fn panics(times: usize, log: &Log) -> impl Fn(&ShardId) -> Scripted + Send + Sync + 'static {
    let (left, log) = (Mutex::new(times), log.clone());
    move |_| {
        let mut left = left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            drop(left);
            panic!("no configuration");
        }
        let (script, dropped) = (Arc::new(|_: &str| fine()) as Script, Dropped(log.clone(), "processor dropped"));
        Scripted { script, log: log.clone(), _dropped: dropped }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_factory_is_retried_like_initialize() {
    let log = Log::new();
    let mut it = Stage::default().start(log.clone(), panics(5, &log));
    it.feed(1..=3);
    sleep(secs(60)).await;
    assert_eq!(it.acknowledged(), Some(3));
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_factory_goes_to_the_error_policy() {
    for (last, stops) in [(FinalAction::StopShard, None), (FinalAction::StopWorker, Some(Code::StoppedByPolicy))] {
        let policy = OnError::retry().when_panicked(OnError::retry().max_attempts(3).then(last));
        let log = Log::new();
        let mut it = Stage::policy(policy).start(log.clone(), panics(usize::MAX, &log));
        let reports = it.reports().await;
        let [Said::GaveUp { reason, stops_with }] = &reports[..] else { panic!("{reports:?}") };
        let names = ["3 times", "shardId-000000000000", "no configuration"].map(|part| reason.contains(part));
        assert_eq!((*stops_with, names), (stops, [true; 3]), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_factory_panics_can_still_be_drained_and_lost() {
    for drains in [true, false] {
        let log = Log::new();
        let mut it = Stage::default().start(log.clone(), panics(usize::MAX, &log));
        sleep(secs(60)).await;
        if drains {
            it.delivery.drain();
        } else {
            it.delivery.close();
        }
        let reports = it.reports().await;
        assert_eq!(reports, if drains { vec![Said::Drained] } else { vec![] });
    }
}

fn refused(it: &Fixture, kind: ApiErrorKind) {
    let source = ApiError { kind, message: "not allowed".to_owned(), code: None, source: None };
    // A consumer that gave up does not read on.
    let _ = it.feed.send(Err(ReadError { shard: it.delivery.shard().clone(), source }));
}

#[tokio::test(start_paused = true)]
async fn refused_reads_stop_neither_the_shard_nor_the_worker_and_resume() {
    for kind in [ApiErrorKind::Refused, ApiErrorKind::NotFound, ApiErrorKind::Unavailable] {
        // Not even under a policy that stops for any failure of a handler.
        let it = Stage::policy(OnError::at_once(FinalAction::StopWorker)).run(|_| fine());
        for _ in 0..600 {
            refused(&it, kind);
            sleep(secs(1)).await;
        }
        let unreadable = it.delivery.stages.outage.current().unwrap();
        assert_eq!((unreadable.kind, it.delivery.now().since(unreadable.since)), (kind, secs(600)));
        it.feed(1..=1);
        sleep(secs(1)).await;
        assert_eq!((it.acknowledged(), it.delivery.stages.outage.current()), (Some(1), None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_long_pauses_does_not_delay_reading_after_an_outage() {
    let slow = OnError::retry().backoff(secs(30), secs(600));
    let it = Stage::policy(slow).run(|_| fine());
    for _ in 0..60 {
        refused(&it, ApiErrorKind::Refused);
        sleep(secs(1)).await;
    }
    it.feed(1..=1);
    sleep(secs(1)).await;
    assert_eq!(it.acknowledged(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_not_reported_to_the_policy_once_the_outage_is_over() {
    let stops = OnError::retry().when_unreadable(secs(5), FinalAction::StopWorker);
    let it = Stage::policy(stops).run(|call| if call == "records 1" { acquires(60) } else { fine() });
    it.feed(1..=1);
    sleep(secs(1)).await;
    // An outage begins and ends while the handler is busy.
    for _ in 0..20 {
        refused(&it, ApiErrorKind::Refused);
        sleep(secs(1)).await;
    }
    it.feed(2..=2);
    sleep(secs(60)).await;
    assert_eq!(it.acknowledged(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn when_unreadable_stops_after_its_time_with_a_code_of_its_own() {
    for (last, stops) in [(FinalAction::StopShard, None), (FinalAction::StopWorker, Some(Code::CannotRead))] {
        let mut it = Stage::policy(OnError::retry().when_unreadable(secs(30), last)).run(|_| fine());
        for _ in 0..29 {
            refused(&it, ApiErrorKind::Refused);
            sleep(secs(1)).await;
        }
        assert!(it.reports.try_recv().is_err(), "not before");
        for _ in 0..5 {
            refused(&it, ApiErrorKind::Refused);
            sleep(secs(1)).await;
        }
        let reports = it.reports().await;
        let [Said::GaveUp { reason, stops_with }] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!((*stops_with, reason.contains("not allowed")), (stops, true), "{reason}");
        assert_eq!(it.log.count("lease_lost"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_two_chunks_are_prefetched_for_a_busy_handler() {
    let it = consumer(|call| if call == "records 1" { acquires(60) } else { fine() });
    for n in 1..=9 {
        it.feed(n..=n);
    }
    sleep(secs(30)).await;
    assert_eq!(it.log.count("fetched"), 3);
    sleep(secs(60)).await;
    assert_eq!((it.log.count("fetched"), it.acknowledged()), (9, Some(9)));
}

#[tokio::test(start_paused = true)]
async fn records_are_delivered_in_order_and_none_is_skipped_under_any_schedule() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let handler = Mutex::new(rng.fork());
        let mut it = consumer(move |_| {
            let mut rng = handler.lock().unwrap();
            match rng.u8(0..6) {
                0 => fails(),
                1 => async { panic!("no") }.boxed(),
                2 => acquires(rng.u64(1..5)),
                _ => fine(),
            }
        });
        for n in 0..20 {
            it.feed(n * 2 + 1..=n * 2 + 2);
        }
        for _ in 0..rng.u32(1..40) {
            if rng.bool() {
                it.gate.shut()
            } else {
                it.gate.open_until(crate::clock::Time::from_nanos(u64::MAX))
            }
            sleep(Duration::from_millis(rng.u64(0..2_000))).await;
        }
        if rng.bool() {
            it.delivery.drain()
        } else {
            it.delivery.close()
        }
        it.reports().await;
        let mut next = 1;
        for line in it.log.lines().iter().filter_map(|line| line.strip_prefix("records ")) {
            let first: u64 = line.split(' ').next().unwrap().parse().unwrap();
            assert!(first == next || first + 2 == next, "seed {seed}: {line} after {next}");
            next = first + 2;
        }
        let acknowledged = it.acknowledged().unwrap_or(0);
        // At most the current batch is not acknowledged.
        assert!(acknowledged + 1 == next || acknowledged + 3 == next, "seed {seed}: {acknowledged} of {next}");
    }
}

#[cfg(feature = "aws")]
#[tokio::test(start_paused = true)]
async fn a_record_with_a_malformed_number_is_handled_and_never_stored() {
    let it = consumer(|_| fine());
    let bad = Record::new(SequenceNumber::trusted("12x45".to_owned()), "x");
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.feed.send(Ok(Chunk { records: vec![bad.clone()], ..Chunk::default() })).unwrap();
    sleep(secs(1)).await;
    assert_eq!(it.log.count("records 12x45"), 1);
    assert_eq!(
        it.delivery.checkpoint_state(&Checkpoint::TrimHorizon).acknowledged,
        None,
        "no row contains a position that cannot be parsed"
    );
    assert!(!it.delivery.was_handed_over(&bad.position()), "nor is it prepared as a checkpoint");
    it.feed(3..=4);
    sleep(secs(1)).await;
    assert_eq!(it.acknowledged(), Some(4));
}
