//! Tests the faults of subscriptions: the end of one causes no gap.

use super::service::{Call, Life, Service, read};
use crate::clock::{Time, TokioClock};
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::{ByteBudget, Readers};
use crate::shard::ApiErrorKind::{self, NotFound, NotReady, Refused, Throttled, Unavailable};
use crate::shard::ConsumerRef;
use crate::stopwatch::Stopwatch;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn good(life: Life) -> Call {
    Call::Opens(10, life)
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_replaced_before_five_minutes_without_a_gap() {
    let service = Service::new([]);
    let mut reader = service.reader(false);
    let read = read(&mut reader, 1_000).await;
    read.assert_complete_from(1);
    assert!(
        read.numbers.len() >= 9_990 && read.longest_pause <= Duration::from_millis(250),
        "{:?}",
        read.longest_pause
    );
    let subscribed = service.see(|state| state.subscribed.clone());
    assert_eq!(subscribed.len(), 4);
    for pair in subscribed.windows(2) {
        let interval = pair[1].0 - pair[0].0;
        assert!((240..290).contains(&interval.as_secs()), "{interval:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_end_the_next_subscription_continues_after_the_last_record() {
    for life in [Life::Ends(7), Life::Breaks(7, Unavailable), Life::Contradicts(7), Life::Breaks(7, Throttled)] {
        let service = Service::new([good(life), good(life), good(life)]);
        let mut reader = service.reader(false);
        let read = read(&mut reader, 30).await;
        read.assert_complete_from(1);
        assert!(read.numbers.len() >= 290, "{life:?}");
        assert!(read.longest_pause < Duration::from_millis(1_600), "{life:?} {:?}", read.longest_pause);
        let subscribed = service.see(|state| state.subscribed.clone());
        assert_eq!(subscribed.len(), 4, "{life:?}");
        assert!(matches!(&subscribed[1].1, StartingPosition::After(_)));
    }
}

/// Returns the intervals between the calls.
fn call_intervals(service: &Service) -> Vec<Duration> {
    let at = service.see(|state| state.subscribed.iter().map(|(at, _)| *at).collect::<Vec<_>>());
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn no_subscribe_call_is_made_while_another_subscription_cannot_be_replaced() {
    // The shard's previous owner subscribed a moment ago, or takes over a subscription of ours.
    for call in [Call::Fails(NotReady), good(Life::Breaks(0, NotReady))] {
        let service = Service::new([call]);
        let mut reader = service.reader(false);
        read(&mut reader, 30).await.assert_complete_from(1);
        let intervals = call_intervals(&service);
        assert!(intervals.len() == 1 && (5_000..=6_100).contains(&intervals[0].as_millis()), "{call:?} {intervals:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_readers_do_not_replace_each_others_subscriptions_forever() {
    let service = Service::new([]).set(|state| state.otherwise = good(Life::Breaks(50, NotReady)));
    let mut reader = service.reader(true);
    let all = read(&mut reader, 3_600).await;
    all.assert_complete_from(1);
    assert!(all.numbers.len() >= 35_990 && all.longest_pause <= Duration::from_millis(600), "{:?}", all.longest_pause);
    let calls = service.see(|state| state.subscribed.len());
    assert!((40..90).contains(&calls), "{calls} calls in an hour: four every three to four minutes");
    // Without polling, the caller gets the error.
    let service = Service::new([]).set(|state| state.otherwise = good(Life::Breaks(50, NotReady)));
    let refused = read(&mut service.reader(false), 60).await;
    assert_eq!(refused.error.map(|error| error.source.kind), Some(NotReady));
}

#[tokio::test(start_paused = true)]
async fn rare_takeovers_are_not_a_conflict() {
    let service = Service::new([]).set(|state| state.otherwise = good(Life::Breaks(700, NotReady)));
    let all = read(&mut service.reader(false), 1_000).await;
    all.assert_complete_from(1);
    assert!(all.error.is_none() && all.numbers.len() > 9_000, "{:?}", all.error);
}

/// An open subscription is no progress. The watchdog notices one that sends nothing, or nothing
/// acceptable.
#[tokio::test(start_paused = true)]
async fn subscriptions_that_open_and_send_nothing_are_visible_to_the_watchdog() {
    for life in [Life::Contradicts(0), Life::FallsSilent(0), Life::Ends(0)] {
        makes_no_progress(life).await;
    }
}

async fn makes_no_progress(life: Life) {
    let service = Service::new([]).set(|state| state.otherwise = good(life));
    let began = tokio::time::Instant::now();
    let fetching = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
    let readers = service.readers(ConsumerRef::Name("app".to_owned()), false, ByteBudget::new(1 << 28, 1 << 20));
    let shard = ShardId::from("shardId-000000000000");
    let mut reader = readers.open(&shard, StartingPosition::TrimHorizon, Arc::clone(&fetching));
    assert!(read(&mut reader, 60).await.numbers.is_empty());
    assert!(fetching.since().is_some_and(|since| since < Time::from_origin(Duration::from_secs(2))), "{life:?}");
    service.clone().set(|state| state.otherwise = good(Life::Good));
    let read = read(&mut reader, 60).await;
    read.assert_complete_from(1);
    assert!(!read.numbers.is_empty());
    let later = Time::from_origin(began.elapsed().saturating_sub(Duration::from_secs(10)));
    assert!(fetching.since().is_none_or(|since| since > later), "{life:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_subscriptions_send_nothing_is_polled() {
    let service = Service::new([]).set(|state| state.otherwise = good(Life::FallsSilent(0)));
    let all = read(&mut service.reader(true), 3_600).await;
    all.assert_complete_from(1);
    assert!(all.numbers.len() >= 35_000, "{}", all.numbers.len());
    assert!(all.longest_pause <= Duration::from_secs(43), "{:?}", all.longest_pause);
}

#[tokio::test(start_paused = true)]
async fn a_silent_subscription_is_noticed_and_replaced() {
    let service = Service::new([good(Life::FallsSilent(3)), good(Life::FallsSilent(0))]);
    let mut reader = service.reader(false);
    let read = read(&mut reader, 120).await;
    read.assert_complete_from(1);
    assert!(read.numbers.len() >= 1_190);
    assert_eq!(service.see(|state| state.subscribed.len()), 3);
    assert!(read.longest_pause < Duration::from_secs(42), "{:?}", read.longest_pause);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_times_out_after_ten_seconds() {
    let service = Service::new([Call::Hangs]);
    let mut reader = service.reader(false);
    let read = read(&mut reader, 60).await;
    read.assert_complete_from(1);
    assert!((590..=600).contains(&read.numbers.len()));
}

#[tokio::test(start_paused = true)]
async fn calls_for_a_shard_are_a_second_apart_after_any_response() {
    let calls = [NotReady, Throttled, Unavailable, NotReady, Throttled, NotFound, Unavailable].map(Call::Fails);
    for may_poll in [false, true] {
        let service = Service::new(calls);
        let mut reader = service.reader(may_poll);
        read(&mut reader, 300).await.assert_complete_from(1);
        let at = service.see(|state| state.subscribed.iter().map(|(at, _)| *at).collect::<Vec<_>>());
        assert!(at.len() >= 8);
        for pair in at.windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{at:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_reader_respects_the_rate_limit_of_its_predecessor() {
    let service = Service::new([]);
    let readers = service.readers(ConsumerRef::Name("app".to_owned()), false, ByteBudget::new(1 << 28, 1 << 20));
    for _ in 0..5 {
        let fetching = Arc::new(Stopwatch::new(Arc::new(TokioClock::new())));
        let shard = ShardId::from("shardId-000000000000");
        let mut reader = readers.open(&shard, StartingPosition::TrimHorizon, fetching);
        reader.next().await.unwrap();
    }
    let intervals = call_intervals(&service);
    assert!(
        intervals.len() == 4 && intervals.iter().all(|interval| *interval >= Duration::from_secs(1)),
        "{intervals:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_with_children_and_without_a_continuation_is_the_end_and_is_returned_again() {
    let service = Service::new([]).set(|state| state.ends_after = Some(25));
    let mut reader = service.reader(false);
    let all = read(&mut reader, 60).await;
    all.assert_complete_from(1);
    assert!(all.ended && all.numbers.len() == 25);
    let again = read(&mut reader, 60).await;
    assert!(again.ended && again.numbers.is_empty());
    assert_eq!(service.see(|state| state.subscribed.len()), 1, "an ended shard is not subscribed to");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_not_found_has_ended_only_if_it_is_not_listed_either() {
    let service = Service::new([Call::Fails(NotFound)]);
    let mut reader = service.reader(false);
    let listed = read(&mut reader, 30).await;
    listed.assert_complete_from(1);
    assert!(!listed.ended && listed.numbers.len() > 250);
    let service = Service::new([Call::Fails(NotFound)]).set(|state| state.gone = true);
    let mut reader = service.reader(false);
    assert!(!read(&mut reader, 60).await.ended, "it was found again, although it is not listed");
    let service = Service::new([]).set(|state| (state.gone, state.otherwise) = (true, Call::Fails(NotFound)));
    let mut reader = service.reader(false);
    assert!(read(&mut reader, 90).await.ended);
}

fn kinds() -> impl Strategy<Value = ApiErrorKind> {
    prop_oneof![Just(NotReady), Just(Throttled), Just(Unavailable), Just(NotFound), Just(Refused)]
}

fn lives() -> impl Strategy<Value = Life> {
    prop_oneof![
        Just(Life::Good),
        (0..30_u32).prop_map(Life::Ends),
        (0..30_u32, kinds()).prop_map(|(events, kind)| Life::Breaks(events, kind)),
        (0..30_u32).prop_map(Life::FallsSilent),
        (0..30_u32).prop_map(Life::Contradicts),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    prop_oneof![
        kinds().prop_map(Call::Fails),
        Just(Call::Hangs),
        (0..3_000_u64, lives()).prop_map(|(after, life)| Call::Opens(after, life)),
        (0..30_u64, lives()).prop_map(|(after, life)| Call::Opens(after, life)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// For any sequence of faults, and however often the caller drops the future.
    #[test]
    fn every_record_comes_once_and_in_order(
        calls in proptest::collection::vec(calls(), 0..12),
        may_poll: bool,
        timeout_ms in 20_u64..5_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let service = Service::new(calls).set(|state| state.ends_after = Some(3_000));
            let mut reader = service.reader(may_poll);
            let mut numbers = Vec::new();
            let until = tokio::time::Instant::now() + Duration::from_secs(3_600);
            while tokio::time::Instant::now() < until {
                let chunk = tokio::time::timeout(Duration::from_millis(timeout_ms), reader.next()).await;
                let Ok(Ok(chunk)) = chunk else { continue };
                numbers.extend(chunk.records.iter().map(|it| it.sequence_number.as_str().parse::<u64>().unwrap()));
                if chunk.end.is_some() {
                    break;
                }
            }
            assert_eq!(numbers, (1..=3_000).collect::<Vec<_>>());
        });
    }
}
