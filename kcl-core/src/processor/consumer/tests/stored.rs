//! Tests positions that are kept in the user's own checkpoint store.

use super::stage::*;
use crate::lease::row::QuarantineRequest;
use crate::processor::{
    Batch, BatchOutcome, BoxError, CheckpointStore, ClaimedLease, Decision, ErrorPolicy, Failure, RecordProcessor,
    ShardContext,
};
use crate::record::Position;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// The position in the database; the database is down while there is no answer.
#[derive(Clone, Debug)]
struct Database(Arc<Mutex<Result<Option<u64>, &'static str>>>);

impl Database {
    fn at(position: Option<u64>) -> Self {
        Database(Arc::new(Mutex::new(Ok(position))))
    }

    fn set(&self, answer: Result<Option<u64>, &'static str>) {
        *self.0.lock().unwrap() = answer;
    }
}

#[async_trait]
impl CheckpointStore for Database {
    async fn begin(&self, lease: &ClaimedLease) -> Result<Option<Position>, BoxError> {
        assert_eq!(lease.fencing_token, 7);
        let answer = *self.0.lock().unwrap();
        Ok(answer?.map(|at| record(at).position()))
    }
}

fn stage(database: &Database) -> Stage {
    let mut stage = Stage::default();
    stage.handling.store = Some(Arc::new(database.clone()));
    stage
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_failed_after_its_commit_is_done_by_the_stores_position() {
    let database = Database::at(None);
    let committed = database.clone();
    let mut it = stage(&database).run(move |call| match call {
        "records 1 2 3" => {
            committed.set(Ok(Some(3)));
            fails()
        }
        _ => fine(),
    });
    it.feed(1..=3);
    sleep(secs(1)).await;
    assert_eq!((it.acknowledged(), it.log.count("records 1 2 3")), (Some(3), 1));
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!(it.acknowledged(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_failed_before_its_commit_is_delivered_again() {
    for answer in [Ok(None), Err("database is down")] {
        let database = Database::at(None);
        let mut it = stage(&database).run(|call| if call.starts_with("records") { fails() } else { fine() });
        it.feed(1..=3);
        sleep(secs(1)).await;
        database.set(answer);
        it.delivery.drain();
        assert_eq!((it.reports().await, it.acknowledged()), (vec![Said::Drained], None));
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_nothing_is_read_then_reading_starts_at_its_position() {
    let database = Database(Arc::new(Mutex::new(Err("database is down"))));
    let it = stage(&database).run(|_| fine());
    it.feed(8..=9);
    sleep(secs(600)).await;
    assert_eq!(it.log.lines(), Vec::<String>::new());
    database.set(Ok(Some(7)));
    sleep(secs(31)).await;
    assert_eq!(it.log.count("records 8 9"), 1);
    assert_eq!(it.acknowledged(), Some(9));
}

/// A handler that names record 2 as failed, and has committed up to some record before that.
struct Names(Database, u64);

impl RecordProcessor for Names {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        self.0.set(Ok(Some(self.1)));
        let mut outcome = BatchOutcome::default();
        for failed in batch.iter().filter(|record| record.sequence_number.as_str() == "2") {
            outcome.failed(failed, "does not parse");
        }
        outcome.into_result()
    }
}

#[tokio::test(start_paused = true)]
async fn naming_a_failed_record_that_the_store_has_passed_stops_the_worker() {
    for (committed, stops) in [(3, true), (2, true), (1, false)] {
        let database = Database::at(None);
        let mine = database.clone();
        let mut it = stage(&database).start(Log::new(), move |_| Names(mine.clone(), committed));
        it.feed(1..=3);
        sleep(secs(10)).await;
        if stops {
            let reports = it.reports().await;
            let [Said::GaveUp { reason, stops_with: Some(_) }] = &reports[..] else { panic!("{reports:?}") };
            assert!(reason.contains("named record 2 as failed"), "{reason}");
        } else {
            assert!(it.reports.try_recv().is_err());
            assert_eq!(it.acknowledged(), Some(1), "the records after it are not done, whatever the outcome names");
        }
    }
}

struct Takes;

impl RecordProcessor for Takes {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        for handle in batch.take_handles() {
            handle.acknowledge();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_store_no_handles_are_returned() {
    let mut it = stage(&Database::at(None)).start(Log::new(), |_| Takes);
    it.feed(1..=3);
    let reports = it.reports().await;
    let [Said::GaveUp { reason, stops_with: Some(_) }] = &reports[..] else { panic!("{reports:?}") };
    assert!(reason.contains("took handles"), "{reason}");
    assert_eq!(it.acknowledged(), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_quarantined_without_a_store_is_not_resumed_with_one() {
    // The store's position is past the quarantined record: `advance` would leave it out, and it
    // would be lost.
    let mut stage = stage(&Database::at(Some(5))).set(|settings| settings.quarantine_retry(secs(60)));
    stage.parked = vec![super::quarantine::parked_key(&[1, 3], None)];
    stage.kept = (1..=20).map(keyed).collect();
    let it = stage.run(|_| fine());
    it.delivery.take_requests(&[super::quarantine::parked_key(&[1, 3], Some(QuarantineRequest::Resume))]);
    it.feed(6..=8);
    sleep(secs(600)).await;
    let parked = it.delivery.quarantined_keys();
    assert_eq!((parked[0].positions.len(), parked[0].wish), (2, None));
    assert!(parked[0].refused.as_ref().unwrap().contains("checkpoint store"), "{parked:?}");
    assert_eq!((it.log.count("records 1"), it.log.count("records 6 7 8")), (0, 1));
}

#[derive(Debug)]
struct ParksWithoutSayingSo;

impl ErrorPolicy for ParksWithoutSayingSo {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::Quarantine
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_store_nothing_is_quarantined() {
    let mut stage = stage(&Database::at(None));
    stage.handling.policy = Arc::new(ParksWithoutSayingSo);
    let it = stage.run(first(3, "records 1", fails));
    it.feed(1..=1);
    it.feed(2..=2);
    sleep(secs(100)).await;
    assert!(!it.delivery.has_quarantined());
    assert_eq!((it.log.count("records 1"), it.acknowledged()), (4, Some(2)));
}
