//! Tests error policies: retries, splits, dead letters, stops.

use super::stage::*;
use crate::error::Code;
use crate::processor::{
    Batch, BatchOutcome, BoxError, DeadLetter, FinalAction, OnError, RecordProcessor, ShardContext, sink_fn,
};
#[cfg(feature = "macros")]
use crate::record::Record;
#[cfg(feature = "macros")]
use crate::retrieval::Chunk;
use futures_util::future::{FutureExt, pending};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// A sink that stores letters, and fails a given number of times before.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<DeadLetter>>>, Arc<Mutex<u32>>);

impl Letters {
    fn sink(&self) -> impl crate::policy::DeadLetterSink + use<> {
        let Letters(kept, failing) = self.clone();
        sink_fn(move |letter| {
            let outcome = {
                let mut failing = failing.lock().unwrap();
                if *failing > 0 {
                    *failing -= 1;
                    Err("the queue is down".into())
                } else {
                    kept.lock().unwrap().push(letter);
                    Ok(())
                }
            };
            async move { outcome }
        })
    }

    fn numbers(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|letter| letter.record.sequence_number.to_string()).collect()
    }
}

/// A handler that fails for every batch that contains one of these records.
fn poisoned(
    poison: &'static [&'static str],
) -> impl Fn(&str) -> futures_util::future::BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static {
    move |call| {
        let numbers = call.strip_prefix("records ").unwrap_or("");
        if numbers.split(' ').any(|number| poison.contains(&number)) { fails() } else { fine() }
    }
}

fn thrice() -> OnError {
    OnError::retry().max_attempts(3).then(FinalAction::DeadLetter)
}

/// The records before the poison record are done, the poison record goes to the sink once, and the
/// records after it are done next.
#[tokio::test(start_paused = true)]
async fn a_poison_record_is_dead_lettered_and_the_others_are_handled_in_order() {
    let letters = Letters::default();
    let it = Stage::policy(thrice()).sink(letters.sink()).run(poisoned(&["5"]));
    it.feed(1..=10);
    sleep(secs(60)).await;
    assert_eq!((letters.numbers(), it.acknowledged()), (vec!["5".to_owned()], Some(10)));
    let letter = letters.0.lock().unwrap()[0].clone();
    assert_eq!(
        (letter.error.as_str(), letter.idempotency_key()),
        ("database is down", "clicks/shardId-000000000000/5.0".to_owned())
    );
    assert!(letter.attempts >= 3, "{letter:?}");
    assert_eq!(it.log.count("records 5"), 3, "the single record gets as many attempts as the policy allows");
    let done = it.log.lines();
    let at = |what: &str| done.iter().rposition(|line| line == what).unwrap_or_else(|| panic!("{what} in {done:?}"));
    assert!(at("records 4") < at("records 5") && at("records 5") < at("records 6 7 8 9 10"), "{done:?}");
}

/// While the sink fails, the position does not move.
#[tokio::test(start_paused = true)]
async fn while_the_sink_fails_no_later_record_is_delivered() {
    let letters = Letters::default();
    *letters.1.lock().unwrap() = u32::MAX;
    let it = Stage::policy(OnError::at_once(FinalAction::DeadLetter)).sink(letters.sink()).run(poisoned(&["5"]));
    it.feed(1..=10);
    sleep(secs(600)).await;
    assert_eq!((letters.numbers(), it.acknowledged()), (vec![], Some(4)));
    assert_eq!(it.log.count("records 6 7 8") + it.log.count("records 6"), 0);
    *letters.1.lock().unwrap() = 0;
    sleep(secs(60)).await;
    assert_eq!((letters.numbers(), it.acknowledged()), (vec!["5".to_owned()], Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_dropped_when_the_lease_is_lost() {
    let sink = sink_fn(|_| async { pending().await });
    let mut it = Stage::policy(OnError::at_once(FinalAction::DeadLetter)).sink(sink).run(poisoned(&["1"]));
    it.feed(1..=1);
    sleep(secs(5)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(it.acknowledged(), None);
}

/// The shard or the worker stops, nothing after the failing record is delivered, and the position
/// does not move.
#[tokio::test(start_paused = true)]
async fn a_policy_that_stops_releases_the_lease_at_its_position() {
    for (last, stops) in [(FinalAction::StopShard, None), (FinalAction::StopWorker, Some(Code::StoppedByPolicy))] {
        let policy = OnError::retry().when_panicked(OnError::at_once(last));
        let mut it = Stage::policy(policy).run(first(1, "records 2", || async { panic!("no gate") }.boxed()));
        it.feed(1..=1);
        it.feed(2..=2);
        it.feed(3..=3);
        let reports = it.reports().await;
        let [Said::GaveUp { reason, stops_with }] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!((*stops_with, reason.contains("no gate")), (stops, true), "{reason}");
        assert_eq!((it.acknowledged(), it.log.count("records 3"), it.log.count("lease_lost")), (Some(1), 0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_can_be_split_down_to_the_failing_record_with_unlimited_retries() {
    let it = Stage::policy(OnError::retry().split_after(2)).run(poisoned(&["3"]));
    it.feed(1..=4);
    sleep(secs(120)).await;
    assert_eq!(it.acknowledged(), Some(2), "the records before it are done");
    assert!(it.log.count("records 3") > 3, "it is retried again and again");
    assert_eq!(it.log.count("records 4"), 0, "in order");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_exceeds_its_timeout_has_failed() {
    let slow = first(2, "records 1", || pending().boxed());
    let mut it = Stage::default().set(|settings| settings.handler_timeout(secs(7))).run(slow);
    it.feed(1..=1);
    sleep(secs(30)).await;
    assert_eq!((it.log.count("records 1"), it.acknowledged()), (3, Some(1)));
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
}

/// A handler that names the given records as failed, each with its own error.
struct Names(&'static [u64], Log);

impl RecordProcessor for Names {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        let mut outcome = BatchOutcome::default();
        let mut numbers = Vec::new();
        for record in batch {
            let number: u64 = record.sequence_number.as_str().parse().unwrap();
            numbers.push(number.to_string());
            if self.0.contains(&number) {
                outcome.failed(record, format!("no airport {number}"));
            }
        }
        self.1.say(format!("records {}", numbers.join(" ")));
        outcome.into_result()
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_named_records_are_delivered_again() {
    let log = Log::new();
    let mine = log.clone();
    let it = Stage::default().start(log, move |_| Names(&[2, 4], mine.clone()));
    it.feed(1..=5);
    sleep(secs(3)).await;
    assert_eq!(it.log.count("records 1 2 3 4 5"), 1);
    assert!(it.log.count("records 2 4") >= 3);
    assert_eq!(it.acknowledged(), Some(1), "3 and 5 are done beyond the gap");
}

#[tokio::test(start_paused = true)]
async fn named_records_are_dead_lettered_each_with_its_own_error_without_splits() {
    let (letters, log) = (Letters::default(), Log::new());
    let mine = log.clone();
    let stage = Stage::policy(OnError::at_once(FinalAction::DeadLetter)).sink(letters.sink());
    let it = stage.start(log, move |_| Names(&[2, 4], mine.clone()));
    it.feed(1..=5);
    sleep(secs(3)).await;
    assert_eq!((letters.numbers(), it.acknowledged()), (vec!["2".to_owned(), "4".to_owned()], Some(5)));
    let errors: Vec<String> = letters.0.lock().unwrap().iter().map(|letter| letter.error.clone()).collect();
    assert_eq!(errors, ["no airport 2", "no airport 4"]);
    assert_eq!(it.log.lines().iter().filter(|line| line.starts_with("records")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_names_no_record_of_the_batch_is_a_success() {
    struct Strange;
    impl RecordProcessor for Strange {
        async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
            let mut outcome = BatchOutcome::default();
            outcome.failed(&record(99), "not of this batch");
            outcome.into_result()
        }
    }
    let it = Stage::default().start(Log::new(), |_| Strange);
    it.feed(1..=3);
    sleep(secs(1)).await;
    assert_eq!(it.acknowledged(), Some(3));
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn records_that_a_derived_processor_handled_before_a_failure_are_not_repeated() {
    #[derive(kcl_macros::RecordProcessor)]
    #[processor(json, handler = "add", crate = "crate")]
    struct Adds(Log, u64);
    #[derive(Debug, thiserror::Error)]
    #[error("unlucky")]
    struct Unlucky;
    impl Adds {
        async fn add(&mut self, value: u64, _: &crate::RecordMeta) -> Result<(), Unlucky> {
            self.1 += 1;
            self.0.say(format!("added {value}"));
            if value == 3 { Err(Unlucky) } else { Ok(()) }
        }
    }
    let (letters, log) = (Letters::default(), Log::new());
    let mine = log.clone();
    let policy = OnError::retry().when::<Unlucky>(OnError::retry().max_attempts(2).then(FinalAction::DeadLetter));
    let it = Stage::policy(policy).sink(letters.sink()).start(log, move |_| Adds(mine.clone(), 0));
    let records = (1..=5).map(|n| crate::record::Record::new(number(n), n.to_string()));
    it.feed
        .send(Ok(crate::retrieval::Chunk { records: records.collect(), ..crate::retrieval::Chunk::default() }))
        .unwrap();
    sleep(secs(5)).await;
    let added: Vec<String> = it.log.lines().into_iter().filter(|line| line.starts_with("added")).collect();
    assert_eq!(added, ["added 1", "added 2", "added 3", "added 3", "added 4", "added 5"]);
    assert_eq!((letters.numbers(), it.acknowledged()), (vec!["3".to_owned()], Some(5)));
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_decode_is_dead_lettered_at_once_and_alone() {
    #[derive(kcl_macros::RecordProcessor)]
    #[processor(json, handler = "add", crate = "crate")]
    struct Adds(Log, u64);
    impl Adds {
        async fn add(&mut self, value: u64, _: &crate::RecordMeta) -> Result<(), BoxError> {
            self.1 += value;
            self.0.say(format!("added {value}"));
            Ok(())
        }
    }
    let (letters, log) = (Letters::default(), Log::new());
    let mine = log.clone();
    let policy = OnError::retry().when::<crate::DecodeError>(OnError::at_once(FinalAction::DeadLetter));
    let it = Stage::policy(policy).sink(letters.sink()).start(log, move |_| Adds(mine.clone(), 0));
    let records = (1..=4).map(|n| {
        let data = if n == 3 { "three".to_owned() } else { n.to_string() };
        crate::record::Record::new(number(n), data)
    });
    it.feed
        .send(Ok(crate::retrieval::Chunk { records: records.collect(), ..crate::retrieval::Chunk::default() }))
        .unwrap();
    sleep(std::time::Duration::from_millis(1)).await;
    let added: Vec<String> = it.log.lines().into_iter().filter(|line| line.starts_with("added")).collect();
    assert_eq!(added, ["added 1", "added 2", "added 4"], "each once");
    assert_eq!((letters.numbers(), it.acknowledged()), (vec!["3".to_owned()], Some(4)));
}

#[cfg(feature = "macros")]
#[derive(kcl_macros::RecordProcessor)]
#[processor(json, handler = "take", crate = "crate")]
struct Decodes;

#[cfg(feature = "macros")]
impl Decodes {
    #[allow(clippy::needless_pass_by_ref_mut, reason = "the derive calls this signature")]
    async fn take(&mut self, _: u64, _: &crate::RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn records_before_one_that_does_not_decode_are_acknowledged_by_default() {
    let it = Stage::default().start(Log::new(), |_| Decodes);
    let payload = |n: u64| Record::new(number(n), if n == 8 { "{bad".to_owned() } else { n.to_string() });
    it.feed.send(Ok(Chunk { records: (1..=10).map(payload).collect(), ..Chunk::default() })).unwrap();
    sleep(secs(600)).await;
    assert_eq!(it.acknowledged(), Some(7));
}

/// A handler that fails each record at its first delivery, and is done with the records before it.
#[cfg(feature = "macros")]
#[derive(kcl_macros::RecordProcessor, Default)]
#[processor(json, handler = "take", crate = "crate")]
struct FailsOnce(std::collections::BTreeSet<u64>);

#[cfg(feature = "macros")]
impl FailsOnce {
    async fn take(&mut self, value: u64, _: &crate::RecordMeta) -> Result<(), BoxError> {
        if self.0.insert(value) { Err("the first time".into()) } else { Ok(()) }
    }
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn attempts_count_from_one_for_each_record_at_which_a_derived_handler_fails() {
    let letters = crate::policy::sink_fn(|_| async { panic!("each record succeeds at its second attempt") });
    let policy = OnError::retry().max_attempts(2).then(FinalAction::DeadLetter);
    let it = Stage::policy(policy).sink(letters).start(Log::new(), |_| FailsOnce::default());
    let payload = |n: u64| Record::new(number(n), n.to_string());
    it.feed.send(Ok(Chunk { records: (1..=5).map(payload).collect(), ..Chunk::default() })).unwrap();
    sleep(secs(60)).await;
    assert_eq!(it.acknowledged(), Some(5));
}

#[cfg(feature = "macros")]
#[tokio::test(start_paused = true)]
async fn a_failure_acknowledges_nothing_with_manual_checkpoints() {
    // The records that it got before may still be only in its memory.
    let stage = Stage::default().set(|settings| settings.manual_checkpoints(true));
    let it = stage.start(Log::new(), |_| Decodes);
    let payload = |n: u64| Record::new(number(n), if n == 3 { "{bad".to_owned() } else { n.to_string() });
    it.feed.send(Ok(Chunk { records: (1..=5).map(payload).collect(), ..Chunk::default() })).unwrap();
    sleep(secs(60)).await;
    assert_eq!(it.acknowledged(), None);
}
