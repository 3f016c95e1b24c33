//! Tests polling while no subscription is open.

use super::service::{Call, Life, Service, read};
use crate::record::StartingPosition;
use crate::shard::ApiErrorKind::{NotReady, Refused, Throttled, Unavailable};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_shard_is_polled_until_it_is_subscribed_and_no_record_comes_twice() {
    let service = Service::new([Call::Opens(8_000, Life::Good)]);
    let mut reader = service.reader(true);
    let first = read(&mut reader, 20).await;
    first.assert_complete_from(1);
    assert!(first.numbers.len() >= 198);
    assert!(first.longest_pause <= Duration::from_millis(600), "{:?}", first.longest_pause);
    let polls = service.see(|state| state.polls);
    assert!(polls >= 15);
    let later = read(&mut reader, 20).await;
    later.assert_complete_from(first.numbers.len() as u64 + 1);
    assert_eq!(service.see(|state| state.polls), polls, "a subscribed shard is not polled");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_opens_at_once_needs_no_polling() {
    let service = Service::new([]);
    let mut reader = service.reader(true);
    read(&mut reader, 600).await.assert_complete_from(1);
    assert_eq!(service.see(|state| state.polls), 0);
}

#[tokio::test(start_paused = true)]
async fn after_any_refusal_the_shard_is_polled_and_returns_to_fan_out() {
    for refusal in [Refused, NotReady, Unavailable, Throttled] {
        let service = Service::new(vec![Call::Fails(refusal); 12]);
        let mut reader = service.reader(true);
        // A refusal is retried every three minutes.
        let all = read(&mut reader, 3_600).await;
        all.assert_complete_from(1);
        assert!(all.numbers.len() >= 35_990);
        assert!(all.longest_pause <= Duration::from_millis(600), "{refusal:?} {:?}", all.longest_pause);
        let (polls, subscribed) = service.see(|state| (state.polls, state.subscribed.last().cloned().unwrap()));
        // Polled records are not pushed again.
        let StartingPosition::After(position) = subscribed.1 else { panic!("{:?}", subscribed.1) };
        let behind = subscribed.0.as_millis() as u64 / 100 - position.sequence_number.as_str().parse::<u64>().unwrap();
        assert!(behind < 2_000, "{behind} records");
        read(&mut reader, 60).await.assert_complete_from(all.numbers.len() as u64 + 1);
        assert_eq!(service.see(|state| state.polls), polls, "{refusal:?}: it is subscribed again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_or_rotated_subscription_causes_no_gap() {
    for life in [Life::Breaks(50, Unavailable), Life::Ends(50)] {
        let service = Service::new(vec![Call::Opens(2_000, life); 20]);
        let mut reader = service.reader(true);
        let all = read(&mut reader, 600).await;
        all.assert_complete_from(1);
        assert!(
            all.numbers.len() >= 5_990 && all.longest_pause <= Duration::from_millis(600),
            "{:?}",
            all.longest_pause
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_may_be_read_by_polling() {
    let service = Service::new([Call::Hangs, Call::Hangs]).set(|state| state.ends_after = Some(50));
    let mut reader = service.reader(true);
    let all = read(&mut reader, 60).await;
    all.assert_complete_from(1);
    assert!(all.ended && all.numbers.len() == 50);
    let subscribed = service.see(|state| state.subscribed.len());
    assert!(read(&mut reader, 60).await.ended);
    assert_eq!(service.see(|state| state.subscribed.len()), subscribed);
}

#[tokio::test(start_paused = true)]
async fn without_polling_a_refusal_is_an_error_and_is_retried() {
    let service = Service::new([Call::Fails(Refused)]);
    let mut reader = service.reader(false);
    let refused = read(&mut reader, 60).await;
    assert_eq!(refused.error.map(|error| error.source.kind), Some(Refused));
    let later = read(&mut reader, 600).await;
    later.assert_complete_from(1);
    assert!(later.numbers.len() > 3_000);
}
