//! Tests keys that are quarantined while the others go on.

use super::stage::*;
use crate::config::{Concurrency, CorruptAggregates};
use crate::lease::row::{QuarantineRequest, QuarantinedKey};
use crate::processor::{BoxError, FinalAction, OnError};
use crate::record::{Position, Record};
use crate::retrieval::Chunk;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// A handler that fails records of `key-1` while the answer says so.
fn poison() -> (Arc<AtomicBool>, impl Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static) {
    let poisoned = Arc::new(AtomicBool::new(true));
    let is = Arc::clone(&poisoned);
    let script = move |call: &str| {
        let numbers = call.strip_prefix("records ").unwrap_or("");
        let hit = numbers.split(' ').any(|number| number.ends_with('1'));
        if hit && is.load(Ordering::Relaxed) { fails() } else { fine() }
    };
    (poisoned, script)
}

fn stage(concurrency: Concurrency) -> Stage {
    let mut stage = Stage::policy(OnError::retry().max_attempts(2).then(FinalAction::Quarantine));
    stage.handling.concurrency = concurrency;
    stage.kept = (1..=200).map(keyed).collect();
    stage
}

fn send(it: &Fixture, numbers: std::ops::RangeInclusive<u64>) {
    let records: Vec<Record> = numbers.map(keyed).collect();
    it.feed.send(Ok(Chunk { records, ..Chunk::default() })).unwrap();
}

fn parked(it: &Fixture) -> Vec<(Option<String>, Vec<u64>)> {
    let number = |position: &Position| position.sequence_number.as_str().parse().unwrap();
    it.delivery
        .quarantined_keys()
        .into_iter()
        .map(|key| (key.key, key.positions.iter().map(number).collect()))
        .collect()
}

fn wish(it: &Fixture, wish: QuarantineRequest) {
    let row: Vec<QuarantinedKey> =
        it.delivery.quarantined_keys().into_iter().map(|key| QuarantinedKey { wish: Some(wish), ..key }).collect();
    it.delivery.take_requests(&row);
}

/// `key-1` as it is in a lease's row.
pub(super) fn parked_key(numbers: &[u64], wish: Option<QuarantineRequest>) -> QuarantinedKey {
    QuarantinedKey {
        key: Some("key-1".to_owned()),
        positions: numbers.iter().map(|n| keyed(*n).position()).collect(),
        attempts: 2,
        error: "down".to_owned(),
        arrived_at_ms: 1,
        wish,
        refused: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_key_is_quarantined_in_order_and_the_others_go_on() {
    for lanes in [Concurrency::Serial, Concurrency::PerKey(4)] {
        let (_, script) = poison();
        let it = stage(lanes).run(script);
        send(&it, 1..=25);
        send(&it, 26..=35);
        sleep(secs(60)).await;
        assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1, 11, 21, 31])], "{lanes:?}");
        assert_eq!(it.acknowledged(), Some(35), "the position passes the records that the row names");
        assert!(it.log.count("records 11") == 0, "later records of the key are not attempted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_key_is_delivered_in_order_before_its_later_records() {
    for lanes in [Concurrency::Serial, Concurrency::PerKey(4)] {
        let (poisoned, script) = poison();
        let it = stage(lanes).run(script);
        send(&it, 1..=25);
        sleep(secs(60)).await;
        poisoned.store(false, Ordering::Relaxed);
        wish(&it, QuarantineRequest::Resume);
        sleep(secs(1)).await;
        assert_eq!(parked(&it), []);
        let lines = it.log.lines();
        let at =
            |what: &str| lines.iter().rposition(|line| line == what).unwrap_or_else(|| panic!("{what}: {lines:?}"));
        assert!(at("records 1") < at("records 11") && at("records 11") < at("records 21"), "{lines:?}");
        send(&it, 26..=35);
        sleep(secs(1)).await;
        assert_eq!(it.acknowledged(), Some(35));
        assert_eq!(it.log.lines().iter().filter(|line| line.split(' ').any(|word| word == "31")).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_key_that_fails_again_stays_until_the_next_request() {
    let (_, script) = poison();
    let it = stage(Concurrency::PerKey(2)).run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    let before = it.delivery.quarantined_keys()[0].attempts;
    wish(&it, QuarantineRequest::Resume);
    sleep(secs(60)).await;
    assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1, 11])]);
    let key = it.delivery.quarantined_keys()[0].clone();
    assert!(key.attempts > before && key.wish.is_none(), "{key:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_lettered_key_goes_to_the_sink_in_order() {
    let letters = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&letters);
    let sink = crate::policy::sink_fn(move |letter| {
        kept.lock().unwrap().push((letter.record.sequence_number.to_string(), letter.error));
        async { Ok(()) }
    });
    let (_, script) = poison();
    let it = stage(Concurrency::PerKey(2)).sink(sink).run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    wish(&it, QuarantineRequest::DeadLetter);
    sleep(secs(1)).await;
    let down = "database is down".to_owned();
    assert_eq!(*letters.lock().unwrap(), [("1".to_owned(), down.clone()), ("11".to_owned(), down)]);
    assert_eq!(parked(&it), []);
}

#[tokio::test(start_paused = true)]
async fn quarantine_retry_resumes_keys_without_a_request() {
    let (poisoned, script) = poison();
    let it = stage(Concurrency::Serial).set(|settings| settings.quarantine_retry(secs(600))).run(script);
    send(&it, 1..=15);
    sleep(secs(300)).await;
    poisoned.store(false, Ordering::Relaxed);
    sleep(secs(200)).await;
    assert_eq!(parked(&it).len(), 1);
    sleep(secs(200)).await;
    assert_eq!(parked(&it), []);
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_record_whose_read_is_refused_is_retried_if_the_setting_says_so() {
    let (poisoned, script) = poison();
    let stage = Stage { refusals: 1, ..stage(Concurrency::Serial) };
    let it = stage.set(|settings| settings.quarantine_retry(secs(600))).run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    poisoned.store(false, Ordering::Relaxed);
    sleep(secs(900)).await;
    assert!(it.delivery.quarantined_keys()[0].refused.as_ref().is_some_and(|why| why.contains("cannot be read again")));
    sleep(secs(600)).await;
    assert_eq!(parked(&it), []);
    assert_eq!(it.log.count("reread 1"), 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_quarantine_is_full_the_shard_waits_and_loses_nothing() {
    for lanes in [Concurrency::Serial, Concurrency::PerKey(1)] {
        let (poisoned, script) = poison();
        let it = stage(lanes).set(|settings| settings.max_quarantined(2)).run(script);
        send(&it, 1..=45);
        sleep(secs(600)).await;
        assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1, 11])]);
        assert_eq!(it.acknowledged(), Some(20), "the third record of the key finds no room");
        poisoned.store(false, Ordering::Relaxed);
        wish(&it, QuarantineRequest::Resume);
        sleep(secs(60)).await;
        assert_eq!((parked(&it), it.acknowledged()), (vec![], Some(45)));
    }
}

#[tokio::test(start_paused = true)]
async fn quarantine_retry_resumes_keys_of_an_earlier_owners_full_quarantine() {
    let (poisoned, script) = poison();
    let settings = |settings: crate::Settings| settings.max_quarantined(2).quarantine_retry(secs(100));
    let position = |n: u64| keyed(n).position();
    let key = QuarantinedKey {
        key: Some("key-1".to_owned()),
        positions: vec![position(1), position(11)],
        attempts: 2,
        error: "down".to_owned(),
        arrived_at_ms: 1,
        wish: None,
        refused: None,
    };
    let it = Stage { parked: vec![key], ..stage(Concurrency::Serial) }.set(settings).run(script);
    poisoned.store(false, Ordering::Relaxed);
    send(&it, 12..=25);
    sleep(secs(90)).await;
    assert_eq!(it.acknowledged(), Some(20));
    sleep(secs(20)).await;
    assert_eq!((parked(&it), it.acknowledged()), (vec![], Some(25)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_record_without_room_waits_behind_resumed_records() {
    let (poisoned, script) = poison();
    let it = stage(Concurrency::Serial).set(|settings| settings.max_quarantined(1)).run(script);
    let records = [keyed(1), record(11).with_partition_key("another"), keyed(12)];
    it.feed.send(Ok(Chunk { records: records.to_vec(), ..Chunk::default() })).unwrap();
    sleep(secs(60)).await;
    assert_eq!((parked(&it).len(), it.acknowledged()), (1, Some(1)));
    poisoned.store(false, Ordering::Relaxed);
    wish(&it, QuarantineRequest::Resume);
    sleep(secs(5)).await;
    // The policy has given it up already, so it is quarantined as soon as there is room.
    assert_eq!(parked(&it), [(Some("another".to_owned()), vec![11])]);
    assert_eq!(it.acknowledged(), Some(12));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_shard_waits_for_quarantined_records() {
    let (poisoned, script) = poison();
    let mut it = stage(Concurrency::PerKey(3)).run(script);
    let records = (1..=15).map(keyed).collect();
    it.feed.send(Ok(Chunk { records, end: Some(children()), ..Chunk::default() })).unwrap();
    sleep(secs(3_600)).await;
    assert!(it.reports.try_recv().is_err());
    assert_eq!((it.acknowledged(), it.log.count("shard_ended")), (Some(15), 0));
    poisoned.store(false, Ordering::Relaxed);
    wish(&it, QuarantineRequest::Resume);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_an_earlier_owner_quarantined_stay_in_quarantine() {
    let (poisoned, script) = poison();
    let position = |n: u64| keyed(n).position();
    let key = QuarantinedKey {
        key: Some("key-1".to_owned()),
        positions: vec![position(1), position(11)],
        attempts: 2,
        error: "down".to_owned(),
        arrived_at_ms: 1,
        wish: None,
        refused: None,
    };
    let it = Stage { parked: vec![key], ..stage(Concurrency::PerKey(2)) }.run(script);
    send(&it, 12..=25);
    sleep(secs(60)).await;
    assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1, 11, 21])]);
    poisoned.store(false, Ordering::Relaxed);
    wish(&it, QuarantineRequest::Resume);
    sleep(secs(1)).await;
    assert_eq!((parked(&it), it.acknowledged()), (vec![], Some(25)));
    assert_eq!(["records 1", "records 11", "records 21"].map(|call| it.log.count(call)), [1; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_quarantined_record_is_reported_and_does_not_block_the_rest() {
    let (poisoned, script) = poison();
    let mut stage = stage(Concurrency::Serial);
    stage.kept.retain(|record| record.sequence_number.as_str() != "1");
    let it = stage.run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    poisoned.store(false, Ordering::Relaxed);
    wish(&it, QuarantineRequest::Resume);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((parked(&it), it.log.count("records 11")), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn a_resumed_corrupt_aggregate_is_not_shown_to_the_handler() {
    // It begins like an aggregate, and the rest is missing.
    let mut corrupt = keyed(1);
    corrupt.data = [&[0xf3, 0x89, 0x9a, 0xc2][..], &[7; 30]].concat().into();
    let mut stage = Stage::policy(OnError::at_once(FinalAction::Quarantine))
        .set(|settings| settings.corrupt_aggregates(CorruptAggregates::Fail));
    stage.kept = vec![corrupt.clone(), keyed(2)];
    let it = stage.run(|_| fine());
    it.feed.send(Ok(Chunk { records: vec![corrupt, keyed(2)], ..Chunk::default() })).unwrap();
    sleep(secs(1)).await;
    for _ in 0..2 {
        assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1])]);
        wish(&it, QuarantineRequest::Resume);
        sleep(secs(1)).await;
    }
    assert_eq!((it.log.count("records 1"), it.log.count("records 2")), (0, 1));
    assert_eq!(it.log.count("reread 1"), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_sink_a_request_for_dead_letters_is_refused_and_the_shard_goes_on() {
    let (_, script) = poison();
    let mut it = stage(Concurrency::PerKey(2)).run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    wish(&it, QuarantineRequest::DeadLetter);
    sleep(secs(1)).await;
    send(&it, 16..=25);
    sleep(secs(600)).await;
    let key = it.delivery.quarantined_keys()[0].clone();
    assert_eq!((key.wish, key.positions.len()), (None, 3));
    assert!(key.refused.unwrap().contains("no dead-letter sink"));
    assert!(it.reports.try_recv().is_err(), "no record was given up");
    assert_eq!(it.acknowledged(), Some(25));
    wish(&it, QuarantineRequest::Resume);
    assert_eq!(it.delivery.quarantined_keys()[0].refused, None, "another request removes the refusal");
}

#[tokio::test(start_paused = true)]
async fn a_resumed_record_that_fails_goes_back_whatever_the_policy_decides() {
    // The present policy never quarantines; the keys were quarantined under another one.
    let policies =
        [OnError::retry(), OnError::at_once(FinalAction::StopWorker), OnError::at_once(FinalAction::StopShard)];
    for policy in policies {
        let (_, script) = poison();
        let mut stage = Stage::policy(policy);
        stage.kept = (1..=200).map(keyed).collect();
        stage.parked = vec![parked_key(&[1, 11], Some(QuarantineRequest::Resume))];
        let mut it = stage.run(script);
        send(&it, 12..=20);
        sleep(secs(120)).await;
        let key = it.delivery.quarantined_keys()[0].clone();
        assert_eq!((key.wish, key.positions.len(), key.error.as_str()), (None, 2, "database is down"));
        assert!(key.attempts > 2);
        assert!(it.reports.try_recv().is_err(), "a request stops nothing");
        assert_eq!(it.acknowledged(), Some(20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_a_quarantined_record_leaves_it_there_and_blocks_nothing() {
    let sink = crate::policy::sink_fn(|_| async { Err("disk full".into()) });
    let (_, script) = poison();
    let it = stage(Concurrency::Serial).sink(sink).run(script);
    send(&it, 1..=15);
    sleep(secs(60)).await;
    wish(&it, QuarantineRequest::DeadLetter);
    send(&it, 16..=20);
    sleep(secs(60)).await;
    let key = it.delivery.quarantined_keys()[0].clone();
    assert_eq!((key.wish, key.positions.len()), (None, 2));
    assert!(key.refused.unwrap().contains("disk full"));
    assert_eq!(it.acknowledged(), Some(20));
}

#[tokio::test(start_paused = true)]
async fn with_manual_checkpoints_a_resumed_record_leaves_quarantine_with_its_checkpoint() {
    let mut stage = Stage::policy(OnError::retry()).set(|settings| settings.manual_checkpoints(true));
    stage.kept = (1..=200).map(keyed).collect();
    stage.parked = vec![parked_key(&[1, 11], Some(QuarantineRequest::Resume))];
    let it = stage.run(|_| fine());
    send(&it, 12..=20);
    sleep(secs(60)).await;
    assert_eq!(["records 1", "records 11"].map(|call| it.log.count(call)), [1; 2], "{:?}", it.log.lines());
    assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![1, 11])], "they are not known to be done");
    it.delivery.acknowledge_up_to(&keyed(5).position()).unwrap_err();
    assert_eq!(parked(&it), [(Some("key-1".to_owned()), vec![11])]);
    it.delivery.acknowledge_up_to(&keyed(12).position()).unwrap();
    assert_eq!((parked(&it), it.acknowledged()), (vec![], Some(12)));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_records_in_the_row_is_ignored() {
    let mut stage = stage(Concurrency::Serial);
    stage.parked = vec![parked_key(&[], Some(QuarantineRequest::Resume))];
    let mut it = stage.run(|_| fine());
    it.feed_end(1..=2);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
}

#[tokio::test(start_paused = true)]
async fn quarantine_takes_at_most_half_of_the_size_limit_of_a_row() {
    let mut it = stage(Concurrency::Serial)
        .set(|settings| settings.max_quarantined(1_000))
        .run(|call| if call.starts_with("records") { fails() } else { fine() });
    // The longest keys that Kinesis accepts, with four bytes per character.
    let long = |n: u64| record(n).with_partition_key(format!("{n:04}{}", "\u{1f680}".repeat(252)));
    it.feed.send(Ok(Chunk { records: (1..=1_000).map(long).collect(), ..Chunk::default() })).unwrap();
    sleep(secs(3_600)).await;
    let parked = it.delivery.quarantined_keys();
    let bytes: usize = parked.iter().map(|key| key.key.as_ref().unwrap().len() + key.error.len()).sum();
    assert!((50_000..200_000).contains(&bytes), "{bytes} bytes of {} keys", parked.len());
    assert_eq!(it.acknowledged(), Some(parked.len() as u64), "the shard waits");
    assert!(it.reports.try_recv().is_err());
}
