//! Tests acknowledging record by record.

use super::stage::*;
use crate::processor::{Batch, BoxError, FinalAction, OnError, RecordHandle, RecordProcessor, ShardContext};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// The handles by their records' numbers; the newest one if a record was delivered again.
type Taken = Arc<Mutex<BTreeMap<u64, RecordHandle>>>;

/// A handler that takes the handles and returns.
struct Takes(Taken, Log);

impl RecordProcessor for Takes {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        for handle in batch.take_handles() {
            let number = handle.record().sequence_number.as_str().parse().unwrap();
            self.1.say(format!("took {number}"));
            self.0.lock().unwrap().insert(number, handle);
        }
        assert!(batch.take_handles().is_empty(), "a second call returns no handles");
        Ok(())
    }

    async fn shutdown_requested(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.1.say("shutdown_requested");
        Ok(())
    }
}

fn start(stage: Stage) -> (Fixture, Taken) {
    let (log, taken) = (Log::new(), Taken::default());
    let (mine, kept) = (log.clone(), taken.clone());
    (stage.start(log, move |_| Takes(kept.clone(), mine.clone())), taken)
}

fn acknowledge(taken: &Taken, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let handle = taken.lock().unwrap().remove(&number).unwrap();
        handle.acknowledge();
    }
}

#[tokio::test(start_paused = true)]
async fn handles_are_acknowledged_in_any_order_while_later_batches_come() {
    let (it, taken) = start(Stage::default());
    it.feed(1..=3);
    it.feed(4..=5);
    sleep(secs(1)).await;
    assert_eq!((taken.lock().unwrap().len(), it.acknowledged()), (5, None));
    acknowledge(&taken, [2, 5, 3]);
    assert_eq!(it.acknowledged(), None);
    acknowledge(&taken, [1]);
    assert_eq!(it.acknowledged(), Some(3));
    acknowledge(&taken, [4]);
    assert_eq!(it.acknowledged(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_dropped_or_failed_handle_is_delivered_again() {
    let (it, taken) = start(Stage::default());
    it.feed(1..=3);
    sleep(secs(1)).await;
    drop(taken.lock().unwrap().remove(&1));
    let failed = taken.lock().unwrap().remove(&2).unwrap();
    failed.fail("no");
    acknowledge(&taken, [3]);
    sleep(secs(2)).await;
    assert_eq!((it.log.count("took 1"), it.log.count("took 2"), it.log.count("took 3")), (2, 2, 1));
    acknowledge(&taken, [1, 2]);
    assert_eq!(it.acknowledged(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_policy_counts_failures_of_handles() {
    let letters = Arc::new(Mutex::new(Vec::new()));
    let kept = letters.clone();
    let sink = crate::policy::sink_fn(move |letter| {
        kept.lock().unwrap().push((letter.record.sequence_number.to_string(), letter.attempts));
        async { Ok(()) }
    });
    let (it, taken) = start(Stage::policy(OnError::at_once(FinalAction::DeadLetter)).sink(sink));
    it.feed(1..=2);
    sleep(secs(1)).await;
    drop(taken.lock().unwrap().remove(&1));
    acknowledge(&taken, [2]);
    sleep(secs(1)).await;
    assert_eq!(*letters.lock().unwrap(), [("1".to_owned(), 1)]);
    assert_eq!(it.acknowledged(), Some(2));
}

/// The end of the shard is read while the handles of a hundred records are open.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_shard_waits_for_the_last_handle() {
    let (mut it, taken) = start(Stage::default());
    it.feed_end(1..=100);
    sleep(secs(60)).await;
    acknowledge(&taken, 1..=99);
    sleep(secs(60)).await;
    assert!(it.reports.try_recv().is_err(), "one is open");
    acknowledge(&taken, [100]);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
    assert_eq!(it.acknowledged(), Some(100));
}

/// The same, when the lease is lost.
#[tokio::test(start_paused = true)]
async fn an_acknowledgement_after_the_lease_is_lost_has_no_effect() {
    let (mut it, taken) = start(Stage::default());
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    acknowledge(&taken, [1, 2]);
    assert_eq!(it.acknowledged(), None);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_open_handles_until_the_owner_closes_the_delivery() {
    let (mut it, taken) = start(Stage::default());
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.drain();
    sleep(secs(5)).await;
    assert_eq!(it.log.count("shutdown_requested"), 0);
    acknowledge(&taken, [1]);
    // The next owner handles a record that fails now.
    drop(taken.lock().unwrap().remove(&2));
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!((it.acknowledged(), it.log.count("shutdown_requested"), it.log.count("took 2")), (Some(1), 1, 1));
}

#[tokio::test(start_paused = true)]
async fn no_more_records_are_read_beyond_max_unacknowledged() {
    let (it, taken) = start(Stage::default().set(|settings| settings.max_unacknowledged(4)));
    for n in 1..=9 {
        it.feed(n..=n);
    }
    sleep(secs(60)).await;
    assert_eq!(taken.lock().unwrap().len(), 4);
    acknowledge(&taken, [2, 3]);
    sleep(secs(60)).await;
    assert_eq!(taken.lock().unwrap().len(), 2, "the first record is not acknowledged");
    acknowledge(&taken, [1]);
    sleep(secs(60)).await;
    assert_eq!(taken.lock().unwrap().keys().copied().collect::<Vec<_>>(), [4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_after_taking_handles_gets_the_unacknowledged_records_again() {
    struct Half(Taken, Log);
    impl RecordProcessor for Half {
        async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
            self.1.say(format!("{} records", batch.len()));
            for handle in batch.take_handles() {
                match handle.record().sequence_number.as_str() {
                    "1" => handle.acknowledge(),
                    _ => drop(self.0.lock().unwrap().insert(2, handle)),
                }
            }
            if batch.len() > 1 { Err("half way".into()) } else { Ok(()) }
        }
    }
    let (log, taken) = (Log::new(), Taken::default());
    let (mine, kept) = (log.clone(), taken.clone());
    let it = Stage::default().start(log, move |_| Half(kept.clone(), mine.clone()));
    it.feed(1..=2);
    sleep(secs(2)).await;
    assert_eq!((it.log.count("2 records"), it.log.count("1 records"), it.acknowledged()), (1, 1, Some(1)));
    acknowledge(&taken, [2]);
    assert_eq!(it.acknowledged(), Some(2));
}
