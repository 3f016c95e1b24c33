//! Positions that another store keeps.

use super::stage::*;
use crate::processor::{BoxError, CheckpointStore, ClaimedLease, Decision, ErrorPolicy, Failure};
use crate::record::Position;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// Where the database stands; down, while there is no answer.
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
async fn a_batch_that_failed_after_its_commit_is_done_when_the_lease_is_given_up() {
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
    assert_eq!(it.acknowledged(), None);
    it.delivery.drain();
    assert_eq!(it.reports().await, [Said::Drained]);
    assert_eq!(it.acknowledged(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_failed_before_its_commit_is_not_nor_where_the_store_cannot_say() {
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
async fn while_the_store_is_down_nothing_is_read_and_then_from_where_it_says() {
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

#[derive(Debug)]
struct ParksWithoutSayingSo;

impl ErrorPolicy for ParksWithoutSayingSo {
    fn decide(&self, _: &Failure<'_>) -> Decision {
        Decision::Quarantine
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_store_nothing_is_parked() {
    let mut stage = stage(&Database::at(None));
    stage.handling.policy = Arc::new(ParksWithoutSayingSo);
    let it = stage.run(first(3, "records 1", fails));
    it.feed(1..=1);
    it.feed(2..=2);
    sleep(secs(100)).await;
    assert!(!it.delivery.has_parked());
    assert_eq!((it.log.count("records 1"), it.acknowledged()), (4, Some(2)));
}
