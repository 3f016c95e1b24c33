//! A worker calls exactly the operations that the policy in `docs/guide/aws.md` allows.

use crate::stage::{APPLICATION, STREAM, Stage};
use kcl_core::aws::{DynamoDbStore, KinesisDeadLetters};
use kcl_core::operator::quarantine::{self, KeySelector};
use kcl_core::operator::{HandbackOptions, handback};
use kcl_core::prelude::*;
use kcl_core::{FinalAction, OnError};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MIDDLE_OF_THE_LOWER_HALF: &str = "85070591730234615865843651857942052864";

/// The policy in the guide, as `service:Operation`.
fn policy() -> BTreeSet<String> {
    let blocks = include_str!("../../../docs/guide/aws.md").split("```json\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let policies: Vec<&str> = blocks.filter(|block| block.contains("\"Statement\"")).collect();
    let [policy] = policies.as_slice() else { panic!("one policy, not {}", policies.len()) };
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The actions in the guide's row for a feature.
fn of_feature(feature: &str) -> BTreeSet<String> {
    let table = include_str!("../../../docs/guide/aws.md").split_once("<!-- permissions:start -->").unwrap().1;
    let table = table.split_once("<!-- permissions:end -->").unwrap().0;
    let mut rows = table.lines().filter_map(|line| line.strip_prefix(&format!("| `{feature}`")));
    let row = rows.next().unwrap_or_else(|| panic!("no row for {feature}"));
    let actions = row.split('`').filter(|part| part.starts_with("kinesis:") || part.starts_with("dynamodb:"));
    actions.map(str::to_owned).collect()
}

/// Records every operation that workers call from now on.
fn record(stage: &Stage) -> Arc<Mutex<BTreeSet<String>>> {
    record_of(stage, |_| true)
}

/// Records every operation that these callers call from now on.
fn record_of(stage: &Stage, callers: fn(&str) -> bool) -> Arc<Mutex<BTreeSet<String>>> {
    let called: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&called);
    stage.aws.faults().rule(move |call| {
        if call.caller.is_some_and(callers) {
            seen.lock().unwrap().insert(format!("{}:{}", call.service, call.operation));
        }
        None
    });
    called
}

#[tokio::test(start_paused = true)]
async fn a_fleet_needs_exactly_the_documented_permissions() {
    let stage = Stage::with_shards(2).await;
    let called = record(&stage);
    let (soon, late) = (Duration::from_secs(10), Duration::from_secs(60));

    // Without a table: two workers, a split, a handoff, a worker that is cut off and returns, and
    // the last worker's cleanup.
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.shared(&[("a", 1), ("b", 1)], soon).await;
    stage.put(0..50).await;
    let split = stage.aws.kinesis().split_shard().stream_name(STREAM).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(MIDDLE_OF_THE_LOWER_HALF).send().await.unwrap();
    stage.put(50..100).await;
    stage.seen(100, soon).await;
    b.stop().await.unwrap();
    let c = stage.start("c").await;
    tokio::time::sleep(soon).await;
    stage.cut_off("c");
    stage.shared(&[("a", 3)], late).await;
    stage.reconnect("c");
    c.stop().await.unwrap();
    a.stop().await.unwrap();
    let fresh = std::mem::take(&mut *called.lock().unwrap());

    // On the table that remains.
    let d = stage.start("d").await;
    stage.shared(&[("d", 3)], late).await;
    d.stop().await.unwrap();
    let existing = called.lock().unwrap().clone();

    // The tags of a table are part of the call that creates it, and need a permission of their own.
    let policy = policy();
    let mut used = fresh;
    used.extend(["dynamodb:TagResource".to_owned()]);
    assert_eq!(used, policy, "what is called on a fresh table (left), and what the policy allows");
    let creation = ["dynamodb:CreateTable", "dynamodb:TagResource"].map(str::to_owned).into();
    let rest: BTreeSet<String> = policy.difference(&creation).cloned().collect();
    assert!(existing.is_subset(&rest), "on an existing table: {existing:?}");
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The operations of a fleet that reads in this way while its stream is resharded.
async fn called_by(settings: Settings) -> BTreeSet<String> {
    let stage = Stage::with_shards(2).await;
    let called = record(&stage);
    let worker = stage.start_with("a", settings, Duration::ZERO).await;
    stage.put(0..20).await;
    let split = stage.aws.kinesis().split_shard().stream_name(STREAM).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(MIDDLE_OF_THE_LOWER_HALF).send().await.unwrap();
    stage.put(20..40).await;
    stage.seen(40, secs(60)).await;
    worker.stop().await.unwrap();
    let called = called.lock().unwrap();
    called.iter().filter(|action| action.starts_with("kinesis:")).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn fan_out_needs_the_documented_permissions_and_none_of_polling() {
    let policy = policy().into_iter().filter(|action| action.starts_with("kinesis:")).collect::<BTreeSet<_>>();
    let auto = of_feature("retrieval = auto");
    let polling = of_feature("retrieval = fan-out");
    let fan_out = policy.difference(&polling).chain(&auto).cloned().collect::<BTreeSet<_>>();
    assert_eq!(called_by(Settings::default().retrieval(Retrieval::FanOut)).await, fan_out);

    let called = called_by(Settings::default().retrieval(Retrieval::Auto)).await;
    assert_eq!(called, policy.union(&auto).cloned().collect());

    let settings = Settings::default().retrieval(Retrieval::FanOut).deregister_consumer(true);
    let called = called_by(settings).await;
    assert_eq!(called, fan_out.union(&of_feature("deregister_consumer")).cloned().collect());
}

/// Handles nothing.
struct Refuses;

impl RecordProcessor for Refuses {
    async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        Err("no".into())
    }
}

async fn refusing(stage: &Stage, worker: &str, last: FinalAction) -> crate::stage::Running {
    let letters = aws_sdk_kinesis::Client::new(&stage.aws.sdk_config_for("letters"));
    let worker = Worker::builder(APPLICATION, STREAM)
        .worker_id(worker)
        .with_seed(1)
        .sdk_config(&stage.aws.sdk_config_for(worker))
        .on_current_runtime()
        .processor(|_: &ShardId| Refuses)
        .error_policy(OnError::retry().max_attempts(1).then(last))
        .dead_letters(KinesisDeadLetters::new(letters, "letters"))
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    crate::stage::Running { handle, task: tokio::spawn(worker.run()) }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_need_the_documented_permissions() {
    let stage = Stage::with_shards(1).await;
    stage.aws.kinesis().create_stream().stream_name("letters").shard_count(1).send().await.unwrap();
    let called = record_of(&stage, |caller| caller == "letters");
    stage.put(0..3).await;
    let worker = refusing(&stage, "a", FinalAction::DeadLetter).await;
    tokio::time::sleep(secs(60)).await;
    worker.stop().await.unwrap();
    assert_eq!(*called.lock().unwrap(), of_feature("KinesisDeadLetters"));
}

#[tokio::test(start_paused = true)]
async fn the_operators_commands_need_the_documented_permissions() {
    let stage = Stage::with_shards(2).await;
    let called = record_of(&stage, |caller| caller == "operator");
    let take = || std::mem::take(&mut *called.lock().unwrap());
    let dynamodb = aws_sdk_dynamodb::Client::new(&stage.aws.sdk_config_for("operator"));
    let store = DynamoDbStore::new(dynamodb, APPLICATION);
    stage.put(0..7).await;
    let worker = refusing(&stage, "a", FinalAction::Quarantine).await;
    tokio::time::sleep(secs(60)).await;

    assert!(!quarantine::list(&store).await.unwrap().is_empty());
    let list = of_feature("kcl quarantine list TABLE");
    assert_eq!(take(), list);
    quarantine::resume(&store, &KeySelector::All).await.unwrap();
    assert_eq!(take(), list.union(&of_feature("kcl quarantine resume TABLE")).cloned().collect());

    let options = HandbackOptions::default().leave_quarantined(true);
    // A single row is read by another call than several rows.
    let mut called = BTreeSet::new();
    let mut alive = vec![("a", worker)];
    for next in [["b", "c"].as_slice(), &[]] {
        // All others consider them dead.
        alive.iter().for_each(|(worker, _)| stage.cut_off(worker));
        alive.clear();
        tokio::time::sleep(secs(1)).await;
        let done = handback(&store, &options, |_| {}).await.unwrap();
        assert!(!done.released.is_empty() && !done.removed.is_empty(), "{done:?}");
        called.append(&mut take());
        for worker in next {
            alive.push((worker, refusing(&stage, worker, FinalAction::Quarantine).await));
        }
        tokio::time::sleep(secs(60)).await;
    }
    assert_eq!(called, of_feature("kcl handback TABLE"));
}
