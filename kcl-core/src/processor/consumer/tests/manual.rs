//! Handlers that checkpoint by themselves.

use super::stage::*;
use crate::lease::row::Pending;
use crate::processor::{Batch, BoxError, CheckpointError, Concurrency, RecordProcessor, ReportKind, ShardContext};
use crate::record::{Checkpoint, Record};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// Keeps its context and what it saw.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Call>>>);

/// One call.
type Call = (ShardContext, Vec<Record>);

impl RecordProcessor for Kept {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        self.0.lock().unwrap().push((shard.clone(), batch.to_vec()));
        Ok(())
    }
}

impl Kept {
    fn context(&self) -> ShardContext {
        self.0.lock().unwrap()[0].0.clone()
    }
}

fn start(stage: Stage) -> (Fixture, Kept) {
    let kept = Kept::default();
    let mine = kept.clone();
    (stage.start(Log::new(), move |_| mine.clone()), kept)
}

fn manual() -> Stage {
    Stage::default().set(|settings| settings.manual_checkpoints(true))
}

/// Answers the next wish to write, as the owner would.
async fn write(it: &mut Fixture, checkpoint: u64) {
    loop {
        if let ReportKind::Write(asked) = it.reports.recv().await.unwrap().kind {
            return asked.written.send(Checkpoint::At(record(checkpoint).position())).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn success_acknowledges_nothing_and_a_checkpoint_everything_before_it() {
    let (mut it, kept) = start(manual());
    it.feed(1..=3);
    it.feed(4..=6);
    sleep(secs(1)).await;
    assert_eq!(it.acknowledged(), None);
    let context = kept.context();
    let record_5 = record(5);
    let (written, ()) = tokio::join!(context.checkpoint_at(&record_5), write(&mut it, 5));
    assert_eq!((written, it.acknowledged()), (Ok(()), Some(5)));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_handed_over_cannot_be_checkpointed() {
    let (it, kept) = start(manual());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let error = kept.context().checkpoint_at(&record(4)).await.unwrap_err();
    assert!(matches!(error, CheckpointError::OutOfRange { .. }), "{error}");
    assert!(error.to_string().contains("record 4 of shard `shardId-000000000000`"), "{error}");
    assert_eq!(it.acknowledged(), None);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_after_the_lease_is_lost_is_an_error_and_changes_nothing() {
    let (mut it, kept) = start(manual());
    it.feed(1..=3);
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    let error = kept.context().checkpoint_at(&record(3)).await.unwrap_err();
    assert!(matches!(error, CheckpointError::LeaseLost { .. }), "{error}");
    assert_eq!(it.acknowledged(), None);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_shard_what_was_handled_is_acknowledged_whether_it_was_checkpointed_or_not() {
    let (mut it, _) = start(manual());
    it.feed_end(1..=3);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
    assert_eq!(it.acknowledged(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_in_two_phases_is_first_written_down_and_then_counts() {
    let (mut it, kept) = start(manual());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let (context, record_2) = (kept.context(), record(2));
    let (prepared, ()) = tokio::join!(context.prepare_checkpoint(&record_2, Some(b"half".to_vec())), write(&mut it, 0));
    let checkpoint = Checkpoint::At(record_2.position());
    let pending = Some(Pending { checkpoint: checkpoint.clone(), state: Some(b"half".to_vec()) });
    assert_eq!(it.delivery.standing(&Checkpoint::TrimHorizon).extras.pending, pending);
    assert_eq!(it.acknowledged(), None);
    let (committed, ()) = tokio::join!(prepared.unwrap().commit(), write(&mut it, 2));
    assert_eq!((committed, it.acknowledged()), (Ok(()), Some(2)));
    assert_eq!(it.delivery.standing(&checkpoint).extras.pending, None);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_can_be_forced_within_a_batch_that_is_acknowledged_by_its_success() {
    let (mut it, kept) = start(Stage::default());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let context = kept.context();
    let (written, ()) = tokio::join!(context.checkpoint(), write(&mut it, 3));
    assert_eq!((written, it.acknowledged()), (Ok(()), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn where_several_handlers_work_nobody_can_speak_for_what_is_before_a_record() {
    let (it, kept) = start(Stage::lanes(Concurrency::PerKey(2)));
    it.feed(1..=3);
    sleep(secs(1)).await;
    let error = kept.context().checkpoint_at(&record(1)).await.unwrap_err();
    assert!(matches!(error, CheckpointError::Concurrent { lanes: 2, .. }), "{error}");
}
