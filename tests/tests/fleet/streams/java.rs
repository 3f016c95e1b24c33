//! A table of several streams that Java KCL wrote: taken over and handed back.

use super::{APPLICATION, Ledger};
use crate::stage::text;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use std::collections::HashMap;
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

const SOON: Duration = Duration::from_secs(60);

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The creation time in the id is the stream's own.
async fn id(ledger: &Ledger, name: &str) -> String {
    let summary = ledger.aws.kinesis().describe_stream_summary().stream_name(name).send().await.unwrap();
    let summary = summary.stream_description_summary.unwrap();
    format!("000000000000:{name}:{}", summary.stream_creation_timestamp.secs())
}

/// A lease as KCL 3.5 leaves it when its worker stops: with owner, checkpoint, and throughput
/// statistics.
async fn javas(ledger: &Ledger, stream: &str, checkpoint: &str) -> Item {
    let id = id(ledger, stream).await;
    let n = |n: u32| AttributeValue::N(n.to_string());
    [
        ("leaseKey", s(&format!("{id}:shardId-000000000000"))),
        ("streamName", s(&id)),
        ("shardId", s("shardId-000000000000")),
        ("leaseOwner", s("worker-a")),
        ("leaseCounter", n(4711)),
        ("ownerSwitchesSinceCheckpoint", n(0)),
        ("checkpoint", s(checkpoint)),
        ("checkpointSubSequenceNumber", n(0)),
        ("throughputKBps", AttributeValue::N("12.345678".to_owned())),
        ("startingHashKey", s("0")),
        ("endingHashKey", s(&u128::MAX.to_string())),
        ("entityType", s("LEASE")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[tokio::test(start_paused = true)]
async fn a_table_of_several_streams_is_continued_and_handed_back_with_nothing_changed_but_what_is_ours() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1), ("refunds", 1)]).await;
    // Ours first, so that there is a table.
    let worker = ledger.start("before", &["refunds"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    worker.stop().await.unwrap();
    let mut checkpoints = HashMap::new();
    for name in ["orders", "payments"] {
        ledger.put(name, 0..1).await;
        let put = ledger.aws.kinesis().put_record().stream_name(name).partition_key("k").data(Blob::new("1"));
        checkpoints.insert(name, put.send().await.unwrap().sequence_number);
        ledger.put(name, 2..10).await;
    }
    let put = |item: Item| ledger.aws.dynamodb().put_item().table_name(APPLICATION).set_item(Some(item)).send();
    let orders = javas(&ledger, "orders", &checkpoints["orders"]).await;
    let untouched = javas(&ledger, "payments", &checkpoints["payments"]).await;
    put(orders.clone()).await.unwrap();
    put(untouched.clone()).await.unwrap();
    let metrics: Item =
        [("leaseKey".to_owned(), s("worker-a")), ("entityType".to_owned(), s("WORKER_METRIC_STATS"))].into();
    put(metrics.clone()).await.unwrap();

    let worker = ledger.start("a", &["orders"]).await;
    ledger.seen("orders", 8, SOON).await;
    worker.stop().await.unwrap();
    ledger.assert_seen_once("orders", 2..10);

    let rows = ledger.rows().await;
    let row = |item: &Item| {
        let key = text(item, "leaseKey");
        rows.iter().find(|row| text(row, "leaseKey") == key).unwrap()
    };
    assert_eq!(row(&untouched), &untouched, "nobody served that stream");
    assert_eq!(row(&metrics), &metrics);
    let (mut now, mut then) = (row(&orders).clone(), orders.clone());
    for ours in ["kclCounter", "kclStream"] {
        assert!(now.remove(ours).is_some(), "{ours}");
    }
    // Attributes that any KCL changes as it works.
    for moved in ["leaseOwner", "leaseCounter", "checkpoint"] {
        assert_ne!(now.remove(moved), then.remove(moved), "{moved}");
    }
    assert_eq!(now, then);
    let kinds: Vec<_> = rows.iter().filter_map(|row| text(row, "entityType")).collect();
    assert!(kinds.iter().all(|kind| !kind.starts_with("KCL_")), "{kinds:?}");
}
