//! Tests handlers with manual checkpoints.

use super::stage::*;
use crate::config::Concurrency;
use crate::lease::row::Pending;
use crate::processor::{Batch, BoxError, CheckpointError, RecordProcessor, ReportKind, ShardContext};
use crate::record::{Checkpoint, Record};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// A handler that keeps its context and the records that it got.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Call>>>);

/// One call of the handler.
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

/// Answers the next write request, as the owner does.
async fn write(it: &mut Fixture, checkpoint: u64) {
    loop {
        if let ReportKind::Write(asked) = it.reports.recv().await.unwrap().kind {
            return asked.written.send(Checkpoint::At(record(checkpoint).position())).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn success_acknowledges_nothing_and_a_checkpoint_acknowledges_everything_before_it() {
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
async fn a_record_that_was_not_delivered_cannot_be_checkpointed() {
    let (it, kept) = start(manual());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let error = kept.context().checkpoint_at(&record(4)).await.unwrap_err();
    assert!(matches!(error, CheckpointError::OutOfRange { .. }), "{error}");
    assert!(error.to_string().contains("record 4 of shard `shardId-000000000000`"), "{error}");
    assert_eq!(it.acknowledged(), None);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_after_the_lease_is_lost_is_an_error_without_effect() {
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
async fn shard_ended_acknowledges_records_that_were_not_checkpointed() {
    let (mut it, _) = start(manual());
    it.feed_end(1..=3);
    assert_eq!(it.reports().await, [Said::Ended(children())]);
    assert_eq!(it.acknowledged(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_two_phase_checkpoint_is_stored_as_pending_and_takes_effect_at_its_commit() {
    let (mut it, kept) = start(manual());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let (context, record_2) = (kept.context(), record(2));
    let (prepared, ()) = tokio::join!(context.prepare_checkpoint(&record_2, Some(b"half".to_vec())), write(&mut it, 0));
    let checkpoint = Checkpoint::At(record_2.position());
    let pending = Some(Pending { checkpoint: checkpoint.clone(), state: Some(b"half".to_vec()) });
    assert_eq!(it.delivery.checkpoint_state(&Checkpoint::TrimHorizon).extras.pending, pending);
    assert_eq!(it.acknowledged(), None);
    let (committed, ()) = tokio::join!(prepared.unwrap().commit(), write(&mut it, 2));
    assert_eq!((committed, it.acknowledged()), (Ok(()), Some(2)));
    assert_eq!(it.delivery.checkpoint_state(&checkpoint).extras.pending, None);
}

#[tokio::test(start_paused = true)]
async fn a_handler_without_manual_checkpoints_may_checkpoint_within_a_batch() {
    let (mut it, kept) = start(Stage::default());
    it.feed(1..=3);
    sleep(secs(1)).await;
    let context = kept.context();
    let (written, ()) = tokio::join!(context.checkpoint(), write(&mut it, 3));
    assert_eq!((written, it.acknowledged()), (Ok(()), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn manual_checkpoints_are_refused_with_several_lanes() {
    let (it, kept) = start(Stage::lanes(Concurrency::PerKey(2)));
    it.feed(1..=3);
    sleep(secs(1)).await;
    let error = kept.context().checkpoint_at(&record(1)).await.unwrap_err();
    assert!(matches!(error, CheckpointError::Concurrent { lanes: 2, .. }), "{error}");
}
