//! Tests what a derived processor does with a batch. (The crate `kcl-macros` tests what the derive
//! accepts and refuses.)

use super::traits::RecordProcessor;
use super::{Batch, BoxError, ClaimSnapshot, DeliveryGate, RecordMeta, ShardContext, ShardDelivery};
use crate::DecodeError;
use crate::clock::TokioClock;
use crate::lease::LeaseKey;
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition, StreamRef};
use std::sync::Arc;

#[derive(kcl_macros::RecordProcessor, Default)]
#[processor(json, handler = "add", crate = "crate")]
#[processor(initialize = "begin", lease_lost = "lost", shard_ended = "ended", shutdown_requested = "stopping")]
struct Sum {
    total: u64,
    seen: Vec<String>,
}

impl Sum {
    async fn add(&mut self, value: u64, meta: &RecordMeta) -> Result<(), BoxError> {
        self.seen.push(meta.sequence_number().to_string());
        self.total += value;
        if value == 13 { Err("unlucky".into()) } else { Ok(()) }
    }

    async fn begin(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.seen.push(format!("begin {}", shard.shard_id()));
        Ok(())
    }

    async fn lost(&mut self, _: &ShardContext) {
        self.seen.push("lost".to_owned());
    }

    async fn ended(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.seen.push("ended".to_owned());
        Ok(())
    }

    async fn stopping(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.total = 0;
        Err("not yet".into())
    }
}

fn shard() -> ShardContext {
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let gate = DeliveryGate::new(Arc::new(TokioClock::new()));
    let claim = ClaimSnapshot::of(LeaseKey::new("s"), ShardId::new("s"), 1, StartingPosition::TrimHorizon);
    ShardContext::new(ShardDelivery::new(claim, gate, reports), StreamRef::from("numbers"), 1)
}

fn batch(payloads: &[&'static str]) -> Batch {
    let record = |(at, data): (usize, &&'static str)| {
        Record::new(SequenceNumber::parse((at + 1).to_string()).unwrap(), data.as_bytes())
    };
    Batch::new(payloads.iter().enumerate().map(record).collect())
}

#[tokio::test]
async fn each_record_is_decoded_and_handled_in_order() {
    let mut sum = Sum::default();
    sum.process_records(&batch(&["1", " 20 ", "300"]), &shard()).await.unwrap();
    assert_eq!((sum.total, sum.seen.join(" ")), (321, "1 2 3".to_owned()));
}

#[tokio::test]
async fn a_handlers_error_ends_the_batch() {
    let mut sum = Sum::default();
    let error = sum.process_records(&batch(&["1", "13", "300"]), &shard()).await.unwrap_err();
    assert_eq!((error.to_string(), sum.seen.join(" ")), ("unlucky".to_owned(), "1 2".to_owned()));
}

#[tokio::test]
async fn records_before_one_that_does_not_decode_are_handled() {
    let mut sum = Sum::default();
    let error = sum.process_records(&batch(&["1", "2", "three", "4"]), &shard()).await.unwrap_err();
    assert_eq!(error.downcast_ref::<DecodeError>().unwrap().sequence_number().as_str(), "3");
    assert_eq!((sum.total, sum.seen.join(" ")), (3, "1 2".to_owned()));
}

#[tokio::test]
async fn the_other_callbacks_call_the_named_methods() {
    let (mut sum, shard) = (Sum::default(), shard());
    sum.initialize(&shard).await.unwrap();
    sum.lease_lost(&shard).await;
    sum.shard_ended(&shard).await.unwrap();
    assert_eq!(sum.shutdown_requested(&shard).await.unwrap_err().to_string(), "not yet");
    assert_eq!(sum.seen.join(", "), "begin s, lost, ended");
}
