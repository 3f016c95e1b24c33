//! Tests the registration of the application's consumer.

use super::service::{Call, Service, read};
use crate::clock::TokioClock;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::{ByteBudget, Readers, ShardReader};
use crate::shard::ApiErrorKind::{NotFound, NotReady, Refused, Throttled, Unavailable};
use crate::shard::ConsumerRef;
use crate::stopwatch::Stopwatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_missing_is_registered_and_waited_for() {
    let service = Service::new([]).set(|state| state.consumer = None);
    let mut reader = service.reader(true);
    let all = read(&mut reader, 60).await;
    all.assert_complete_from(1);
    assert!(all.longest_pause <= Duration::from_millis(600));
    assert_eq!(service.see(|state| (state.registered, state.subscribed.len())), (1, 1));
    assert!(service.see(|state| state.subscribed[0].0) >= Duration::from_secs(5), "not before it is active");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_shards_are_one_consumer_and_few_calls() {
    let service = Service::new([]).set(|state| state.consumer = None);
    let readers = service.readers(ConsumerRef::Name("app".to_owned()), true, ByteBudget::new(1 << 28, 1 << 20));
    let reading = (0..1_000).map(|n| {
        let stopwatch = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
        let shard = ShardId::new(format!("shardId-{n:012}"));
        let mut reader: Box<dyn ShardReader> = readers.open(&shard, StartingPosition::TrimHorizon, stopwatch);
        tokio::spawn(async move { read(&mut reader, 30).await.assert_complete_from(1) })
    });
    for one in reading.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let (registered, finds, subscribed) = service.see(|state| (state.registered, state.finds, state.subscribed.len()));
    assert_eq!((registered, subscribed), (1, 1_000));
    assert!(finds <= 8, "{finds}");
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_quota_is_a_refusal_and_a_short_throttle_is_not() {
    let full = Service::new([]).set(|state| (state.consumer, state.register_fails) = (None, Some(Throttled)));
    let mut reader = full.reader(false);
    let refused = read(&mut reader, 60).await.error.unwrap();
    assert_eq!(refused.source.kind, Refused);
    assert!(refused.to_string().contains("20 consumers"), "{refused}");
    let busy = Service::new([]).set(|state| (state.consumer, state.register_fails) = (None, Some(Throttled)));
    let mut reader = busy.reader(false);
    let later = busy.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        later.set(|state| state.register_fails = None);
    });
    assert!(read(&mut reader, 60).await.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_another_worker_registers_first_is_used() {
    let service = Service::new([]).set(|state| (state.consumer, state.register_fails) = (None, Some(NotReady)));
    let other = service.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        other.set(|state| state.consumer = Some(tokio::time::Instant::now()));
    });
    let mut reader = service.reader(false);
    let all = read(&mut reader, 60).await;
    all.assert_complete_from(1);
    assert!(all.numbers.len() > 500);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_consumer_is_registered_again() {
    let service = Service::new([]);
    let mut reader = service.reader(true);
    let before = read(&mut reader, 10).await;
    before.assert_complete_from(1);
    // Its subscriptions end, and it is not found.
    let removed = service.clone().set(|state| {
        state.consumer = None;
        state.calls.extend([Call::Fails(NotFound)]);
    });
    let after = read(&mut reader, 600).await;
    after.assert_complete_from(before.numbers.len() as u64 + 1);
    assert!(after.longest_pause <= Duration::from_millis(600), "{:?}", after.longest_pause);
    assert_eq!(removed.see(|state| state.registered), 1);
}

#[tokio::test(start_paused = true)]
async fn an_arn_is_never_registered() {
    let service = Service::new([]).set(|state| state.consumer = None);
    let arn = ConsumerRef::Arn("arn:aws:kinesis:eu-central-1:1:stream/s/consumer/c:1".to_owned());
    let stopwatch = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
    let readers = service.readers(arn, false, ByteBudget::new(1 << 28, 1 << 20));
    let mut reader = readers.open(&ShardId::from("shardId-000000000000"), StartingPosition::TrimHorizon, stopwatch);
    let refused = read(&mut reader, 60).await.error.unwrap();
    assert!(refused.to_string().contains("consumer/c:1` is not registered"), "{refused}");
    assert_eq!(service.see(|state| state.registered), 0);
}

#[tokio::test(start_paused = true)]
async fn outages_and_throttles_are_retried_and_are_no_refusal() {
    for passing in [Unavailable, Throttled] {
        let service = Service::new([]).set(|state| state.find_fails = Some(passing));
        let mut reader = service.reader(false);
        let silent = read(&mut reader, 20).await;
        assert!(silent.numbers.is_empty() && silent.error.is_none());
        service.clone().set(|state| state.find_fails = None);
        let all = read(&mut reader, 60).await;
        all.assert_complete_from(1);
        assert!(all.numbers.len() > 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_shards_share_one_failed_call() {
    let service = Service::new([]).set(|state| state.find_fails = Some(Unavailable));
    let readers = service.readers(ConsumerRef::Name("app".to_owned()), false, ByteBudget::new(1 << 28, 1 << 20));
    let reading = (0..1_000).map(|n| {
        let stopwatch = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
        let shard = ShardId::new(format!("shardId-{n:012}"));
        let mut reader = readers.open(&shard, StartingPosition::TrimHorizon, stopwatch);
        tokio::spawn(async move { read(&mut reader, 10).await.numbers.len() })
    });
    for one in reading.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 0);
    }
    assert!(service.see(|state| state.finds) <= 6, "every two seconds");
}
