//! The ways to handle records, on the real SDK and the embedded servers.

use crate::stage::{APPLICATION, STREAM, Stage, text};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamMode, StreamModeDetails};
use kcl_core::aws::{DynamoDbStore, Fence, KinesisDeadLetters};
use kcl_core::operator::quarantine::{self, KeySelector};
use kcl_core::prelude::*;
use kcl_core::record::Position;
use kcl_core::{CheckpointStore, ClaimedLease, Deliveries, PendingCheckpoint, WorkerBuilder};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn builder(stage: &Stage, worker: &str, settings: Settings) -> WorkerBuilder {
    Worker::builder(APPLICATION, STREAM)
        .settings(settings)
        .worker_id(worker)
        .with_seed(7)
        .sdk_config(&stage.aws.sdk_config_for(worker))
        .on_current_runtime()
}

async fn pull(deliveries: &mut Deliveries, within: Duration) -> Option<kcl_core::Delivered> {
    tokio::time::timeout(within, deliveries.next()).await.ok()?.map(Result::unwrap)
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(&record.data).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn records_can_be_pulled_and_dropped_ones_come_again() {
    let stage = Stage::with_shards(2).await;
    stage.put(0..20).await;
    let mut deliveries = builder(&stage, "a", Settings::default()).stream().await.unwrap();
    let mut seen = Vec::new();
    while let Some(delivered) = pull(&mut deliveries, Duration::from_secs(20)).await {
        let number = number(delivered.record());
        let dropped = number == 13 && !seen.contains(&13);
        seen.push(number);
        if !dropped {
            delivered.acknowledge();
        }
    }
    assert_eq!(seen.iter().filter(|number| **number == 13).count(), 2);
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..20).collect());
    deliveries.shutdown(Duration::from_secs(25)).await;
    assert!(deliveries.next().await.is_none());
    let rows = stage.rows().await;
    assert!(rows.iter().all(|row| text(row, "checkpoint").unwrap() != "TRIM_HORIZON"), "{rows:?}");
    // The next one starts after them.
    stage.put(20..21).await;
    let mut deliveries = builder(&stage, "b", Settings::default()).stream().await.unwrap();
    assert_eq!(number(pull(&mut deliveries, Duration::from_secs(20)).await.unwrap().record()), 20);
}

/// Records which lanes were used.
#[derive(Clone, Default)]
struct Lanes(Arc<Mutex<BTreeSet<usize>>>);

impl RecordProcessor for Lanes {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.0.lock().unwrap().insert(shard.lane());
        Ok(())
    }

    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn lanes_of(stage: &Stage, settings: Settings) -> usize {
    let lanes = Lanes::default();
    let mine = lanes.clone();
    let worker = builder(stage, "a", settings).processor(move |_| mine.clone()).build().await.unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    tokio::time::sleep(Duration::from_secs(5)).await;
    handle.shutdown(Duration::from_secs(25)).await;
    running.await.unwrap().unwrap();
    lanes.0.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_distributes_records_by_itself_is_handled_without_order_by_default() {
    let stage = Stage::with_shards(1).await;
    assert_eq!(lanes_of(&stage, Settings::default()).await, 1, "its records have keys");
    let kinesis = stage.aws.kinesis();
    kinesis.delete_stream().stream_name(STREAM).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
    let create = kinesis.create_stream().stream_name(STREAM).stream_mode_details(on_demand);
    create.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (table, settings, lanes) in [
        ("one", Settings::default(), 4),
        ("two", Settings::default().concurrency(Concurrency::Serial), 1),
        ("three", Settings::default().concurrency(Concurrency::PerKey(7)), 7),
    ] {
        assert_eq!(lanes_of(&stage, settings.table_name(table)).await, lanes);
    }
}

/// Prepares a checkpoint at its first record, and records which checkpoint was pending.
#[derive(Clone, Default)]
struct Prepares {
    pending: Arc<Mutex<Vec<Option<PendingCheckpoint>>>>,
    prepares: bool,
}

impl RecordProcessor for Prepares {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        self.pending.lock().unwrap().push(shard.pending_checkpoint());
        Ok(())
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        if self.prepares {
            drop(shard.prepare_checkpoint(&batch[0], Some(b"half way".to_vec())).await?);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_in_two_phases_outlives_a_crash_in_javas_own_attributes() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..3).await;
    let (dies, takes_over) = (Prepares { prepares: true, ..Prepares::default() }, Prepares::default());
    let worker = builder(&stage, "a", Settings::default()).processor(move |_| dies.clone()).build().await.unwrap();
    let running = tokio::spawn(worker.run());
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.cut_off("a");
    running.abort_handle().abort();
    let rows = stage.rows().await;
    let lease = rows.iter().find(|row| text(row, "entityType").as_deref() == Some("LEASE")).unwrap();
    let first = stage.put.lock().unwrap().first().cloned().unwrap();
    assert_eq!(text(lease, "pendingCheckpoint"), Some(first.clone()));
    assert_eq!(text(lease, "checkpoint").unwrap(), "TRIM_HORIZON", "it moves nothing");

    let mine = takes_over.clone();
    let worker = builder(&stage, "b", Settings::default()).processor(move |_| mine.clone()).build().await.unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    tokio::time::sleep(Duration::from_secs(30)).await;
    handle.shutdown(Duration::from_secs(25)).await;
    running.await.unwrap().unwrap();
    let pending = takes_over.pending.lock().unwrap()[0].clone().unwrap();
    assert_eq!((pending.checkpoint.as_str(), pending.state), (first.as_str(), Some(b"half way".to_vec())));
    let rows = stage.rows().await;
    assert!(rows.iter().all(|row| !row.contains_key("pendingCheckpoint")), "a later checkpoint takes it back");
}

/// Blocks on one key and completes all other records at once.
#[derive(Clone)]
struct Stands(&'static str, Arc<Mutex<Vec<u32>>>);

impl RecordProcessor for Stands {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if batch.iter().any(|record| record.partition_key.as_deref() == Some(self.0)) {
            std::future::pending::<()>().await;
        }
        self.1.lock().unwrap().extend(batch.iter().map(number));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn completed_ranges_are_not_repeated_after_a_crash() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..70).await;
    // A lane for each key, so that the blocked one delays no other.
    let settings = || Settings::default().concurrency(Concurrency::PerKey(400));
    let (before, after) = (Arc::default(), Arc::default());
    for (worker, stands, seen) in [("a", "key-0", &before), ("b", "no key", &after)] {
        let handler = Stands(stands, Arc::clone(seen));
        let worker = builder(&stage, worker, settings()).processor(move |_| handler.clone()).build().await.unwrap();
        let running = tokio::spawn(worker.run());
        tokio::time::sleep(Duration::from_secs(30)).await;
        stage.cut_off("a");
        running.abort_handle().abort();
    }
    let (before, mut after) = (before.lock().unwrap().clone(), after.lock().unwrap().clone());
    assert_eq!(before.len(), 60, "all but one key");
    after.sort_unstable();
    assert_eq!(after, (0..70).filter(|number| number % 7 == 0).collect::<Vec<_>>(), "and only that one comes again");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_reach_another_stream() {
    let stage = Stage::with_shards(1).await;
    let kinesis = stage.aws.kinesis();
    kinesis.create_stream().stream_name("letters").shard_count(1).send().await.unwrap();
    stage.put(0..5).await;
    #[derive(Clone)]
    struct FailsAt3;
    impl RecordProcessor for FailsAt3 {
        async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
            if batch.iter().any(|record| number(record) == 3) { Err("not three".into()) } else { Ok(()) }
        }
    }
    let worker = builder(&stage, "a", Settings::default())
        .error_policy(OnError::at_once(FinalAction::DeadLetter))
        .dead_letters(KinesisDeadLetters::new(kinesis.clone(), "letters"))
        .processor(|_| FailsAt3)
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    tokio::time::sleep(Duration::from_secs(10)).await;
    handle.shutdown(Duration::from_secs(25)).await;
    running.await.unwrap().unwrap();
    let iterator = kinesis.get_shard_iterator().stream_name("letters").shard_id("shardId-000000000000");
    let iterator = iterator.shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon);
    let iterator = iterator.send().await.unwrap().shard_iterator;
    let letters = kinesis.get_records().set_shard_iterator(iterator).send().await.unwrap().records;
    assert_eq!(letters.len(), 1);
    let letter: serde_json::Value = serde_json::from_slice(letters[0].data.as_ref()).unwrap();
    assert_eq!((&letter["text"], &letter["error"]), (&"3".into(), &"not three".into()));
    assert_eq!(letters[0].partition_key.as_deref(), Some("key-3"));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_has_no_sink_and_a_store_beside_lanes_are_refused_at_once() {
    let stage = Stage::with_shards(1).await;
    let policy = OnError::retry().max_attempts(3).then(FinalAction::DeadLetter);
    let build = builder(&stage, "a", Settings::default()).error_policy(policy).processor(|_| Lanes::default()).build();
    let error = build.await.unwrap_err().to_string();
    assert!(error.contains("KCL-0001") && error.contains("call `dead_letters`"), "{error}");
    let policy = OnError::retry().max_attempts(3);
    let build = builder(&stage, "a", Settings::default()).error_policy(policy).processor(|_| Lanes::default()).build();
    let error = build.await.unwrap_err().to_string();
    assert!(error.contains("without `then`"), "{error}");
    let stored = || builder(&stage, "a", Settings::default()).checkpoint_store(Nowhere);
    let build =
        stored().error_policy(OnError::at_once(FinalAction::Quarantine)).processor(|_| Lanes::default()).build();
    let error = build.await.unwrap_err().to_string();
    assert!(error.contains("KCL-0001") && error.contains("quarantines keys"), "{error}");
    let lanes = Settings::default().concurrency(Concurrency::PerKey(2));
    let build = builder(&stage, "a", lanes).checkpoint_store(Nowhere).processor(|_| Lanes::default()).build();
    let error = build.await.unwrap_err().to_string();
    assert!(error.contains("KCL-0001") && error.contains("set it to `serial`"), "{error}");
}

#[derive(Debug)]
struct Nowhere;

#[async_trait::async_trait]
impl CheckpointStore for Nowhere {
    async fn begin(&self, _: &ClaimedLease) -> Result<Option<Position>, BoxError> {
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_under_an_older_token_is_refused_by_the_users_own_table() {
    let stage = Stage::with_shards(1).await;
    let dynamodb = stage.aws.dynamodb();
    let (definition, schema) = (AttributeDefinition::builder(), KeySchemaElement::builder());
    let definition = definition.attribute_name("shard").attribute_type(ScalarAttributeType::S).build().unwrap();
    let schema = schema.attribute_name("shard").key_type(KeyType::Hash).build().unwrap();
    let create = dynamodb.create_table().table_name("totals").billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(definition).key_schema(schema).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let key = |name: &str| AttributeValue::S(name.to_owned());
    let add = |token: u64| {
        let update = dynamodb.update_item().table_name("totals").key("shard", key("shardId-1"));
        let update =
            update.update_expression("ADD flights :n").expression_attribute_values(":n", AttributeValue::N("1".into()));
        Fence::with_token(token).guard(update).send()
    };
    assert!(add(4).await.is_ok() && add(4).await.is_ok() && add(9).await.is_ok());
    let refused = add(8).await.unwrap_err().into_service_error();
    assert!(refused.is_conditional_check_failed_exception(), "{refused}");
    let item =
        dynamodb.get_item().table_name("totals").key("shard", key("shardId-1")).send().await.unwrap().item.unwrap();
    assert_eq!(item["flights"], AttributeValue::N("3".into()));

    let put = |token: u64, what: &str| {
        let fence =
            Fence::with_token(token).check("totals", [("shard".to_owned(), key("fence/shardId-1"))].into()).unwrap();
        let put =
            aws_sdk_dynamodb::types::Put::builder().table_name("totals").item("shard", key(what)).build().unwrap();
        let put = aws_sdk_dynamodb::types::TransactWriteItem::builder().put(put).build();
        dynamodb.transact_write_items().transact_items(fence).transact_items(put).send()
    };
    put(4, "flight-1").await.unwrap();
    put(5, "flight-2").await.unwrap();
    assert!(put(4, "flight-3").await.is_err());
    let late = dynamodb.get_item().table_name("totals").key("shard", key("flight-3")).send().await.unwrap().item;
    assert_eq!(late, None);
}

/// Fails on record 7.
struct Chokes;

impl RecordProcessor for Chokes {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        if batch.iter().any(|record| number(record) == 7) { Err("seven".into()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_dead_letters_without_a_sink_is_refused_in_the_row_and_nobody_stops() {
    let stage = Stage::with_shards(1).await;
    stage.put(0..10).await;
    let worker = builder(&stage, "a", Settings::default().leave_quarantined(true))
        .error_policy(OnError::retry().max_attempts(2).then(FinalAction::Quarantine))
        .processor(|_: &ShardId| Chokes)
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let store = DynamoDbStore::new(stage.aws.dynamodb(), APPLICATION);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(quarantine::dead_letter(&store, &KeySelector::All).await.unwrap(), ["shardId-000000000000"]);
    tokio::time::sleep(Duration::from_secs(90)).await;
    let parked = quarantine::list(&store).await.unwrap();
    let [lease] = &parked[..] else { panic!("{parked:?}") };
    assert_eq!((lease.owner.as_deref(), lease.keys.len(), lease.keys[0].request), (Some("a"), 1, None));
    assert!(lease.keys[0].refused.as_ref().unwrap().contains("no dead-letter sink"), "{parked:?}");
    handle.shutdown(Duration::from_secs(5)).await;
    running.await.unwrap().unwrap();
}
