//! What a worker calls in its life is what the README's policy allows, no more and no less.

use crate::stage::{STREAM, Stage};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MIDDLE_OF_THE_LOWER_HALF: &str = "85070591730234615865843651857942052864";

/// The policy in the README, as `service:Operation`.
fn policy() -> BTreeSet<String> {
    let blocks = include_str!("../../../README.md").split("```json\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let policies: Vec<&str> = blocks.filter(|block| block.contains("\"Statement\"")).collect();
    let [policy] = policies.as_slice() else { panic!("one policy, not {}", policies.len()) };
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// Every operation that workers call from now on.
fn record(stage: &Stage) -> Arc<Mutex<BTreeSet<String>>> {
    let called: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&called);
    stage.aws.faults().rule(move |call| {
        if call.caller.is_some() {
            seen.lock().unwrap().insert(format!("{}:{}", call.service, call.operation));
        }
        None
    });
    called
}

#[tokio::test(start_paused = true)]
async fn a_fleet_calls_what_the_readmes_policy_allows_and_all_of_it() {
    let stage = Stage::with_shards(2).await;
    let called = record(&stage);
    let (soon, late) = (Duration::from_secs(10), Duration::from_secs(60));

    // On no table: two workers, a split, a handover, a worker cut off and back, and the last one out.
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

    // On the table that is left.
    let d = stage.start("d").await;
    stage.shared(&[("d", 3)], late).await;
    d.stop().await.unwrap();
    let existing = called.lock().unwrap().clone();

    // A table's tags are part of the call that creates it, and a permission of their own.
    let policy = policy();
    let mut used = fresh;
    used.extend(["dynamodb:TagResource".to_owned()]);
    assert_eq!(used, policy, "what is called on a fresh table (left), and what the policy allows");
    let creation = ["dynamodb:CreateTable", "dynamodb:TagResource"].map(str::to_owned).into();
    let rest: BTreeSet<String> = policy.difference(&creation).cloned().collect();
    assert!(existing.is_subset(&rest), "on an existing table: {existing:?}");
}
