//! Rows that somebody damages under a running fleet: each is ignored, and written again by its
//! owner.

use crate::stage::{APPLICATION, STREAM, Stage, text};
use aws_sdk_dynamodb::types::AttributeValue;
use kcl_core::Code;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Damages an attribute, like a person with a text editor.
async fn edit(stage: &Stage, key: &str, attribute: &str, value: AttributeValue) {
    let update = stage.aws.dynamodb().update_item().table_name(APPLICATION).key("leaseKey", s(key));
    let update = update.update_expression("SET #a = :v").expression_attribute_names("#a", attribute);
    update.expression_attribute_values(":v", value).send().await.unwrap();
}

async fn shown(stage: &Stage, key: &str, attribute: &str) -> Option<AttributeValue> {
    let rows = stage.rows().await;
    rows.iter().find(|row| text(row, "leaseKey").as_deref() == Some(key))?.get(attribute).cloned()
}

/// Waits until an attribute is a number again.
async fn mended(stage: &Stage, key: &str, attribute: &str, within: Duration) {
    let deadline = tokio::time::Instant::now() + within;
    while !matches!(shown(stage, key, attribute).await, Some(AttributeValue::N(_))) {
        let now = tokio::time::Instant::now();
        assert!(now < deadline, "`{attribute}` of `{key}` after {within:?}: {:?}", shown(stage, key, attribute).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_row_that_cannot_be_read_is_replaced_by_the_leader_with_the_next_full_read() {
    let stage = Stage::with_shards(4).await;
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.shared(&[("a", 2), ("b", 2)], SOON).await;
    tokio::time::sleep(SOON).await;
    for (key, attribute) in [("assignment/a", "term"), ("assignment/b", "version")] {
        edit(&stage, key, attribute, s("x")).await;
    }
    for (key, attribute) in [("assignment/a", "term"), ("assignment/b", "version")] {
        mended(&stage, key, attribute, Duration::from_secs(65)).await;
    }
    // The new row is obeyed: a third worker gets its share.
    let c = stage.start("c").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.shares().await.get("c"), Some(&1), "{:?}", stage.shares().await);
    for worker in [a, b, c] {
        worker.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_row_that_is_read_damaged_is_asked_for_at_once() {
    let stage = Stage::with_shards(4).await;
    let a = stage.start("a").await;
    stage.shared(&[("a", 4)], SOON).await;
    tokio::time::sleep(SOON).await;
    // Damages entries of a row whose order is intact: the next assignment overwrites it, and is
    // damaged again at once.
    let b = stage.start("b").await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if shown(&stage, "assignment/b", "acquires").await.is_some() {
            edit(&stage, "assignment/b", "acquires", s("x")).await;
            break;
        }
    }
    stage.shared(&[("a", 2), ("b", 2)], Duration::from_secs(45)).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_row_that_cannot_be_read_is_a_lost_session_and_its_worker_registers_anew() {
    let stage = Stage::with_shards(4).await;
    let (a, b) = (stage.start("a").await, stage.start("b").await);
    stage.shared(&[("a", 2), ("b", 2)], SOON).await;
    for attribute in ["number", "heartbeat", "state"] {
        edit(&stage, "session/b", attribute, AttributeValue::Bool(true)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        mended(&stage, "session/b", "number", Duration::ZERO).await;
        stage.shared(&[("a", 2), ("b", 2)], Duration::from_secs(20)).await;
        let state = shown(&stage, "session/b", "state").await;
        assert_eq!(state, Some(s("active")), "after `{attribute}`");
    }
    stage.put(0..50).await;
    stage.seen(50, SOON).await;
    a.stop().await.unwrap();
    b.stop().await.unwrap();
    stage.assert_all_seen(0);
    assert_eq!(stage.owners().await.len(), stage.rows().await.len(), "a plain table");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_row_that_cannot_be_read_stalls_nobody() {
    for attribute in ["term", "heartbeat", "sessions", "wake", "assignmentVersion", "entityType"] {
        let stage = Stage::with_shards(4).await;
        let (a, _cut_off) = (stage.start("a").await, stage.start("b").await);
        stage.shared(&[("a", 2), ("b", 2)], SOON).await;
        edit(&stage, "fleet", attribute, AttributeValue::Bool(true)).await;
        mended(&stage, "fleet", "term", Duration::from_secs(5)).await;
        // A worker that starts, and one that dies, find a fleet with a leader.
        let c = stage.start("c").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(stage.shares().await.get("c"), Some(&1), "after `{attribute}`: {:?}", stage.shares().await);
        stage.cut_off("b");
        stage.shared(&[("a", 2), ("c", 2)], Duration::from_secs(20)).await;
        stage.put(0..20).await;
        stage.seen(20, SOON).await;
        a.stop().await.unwrap();
        c.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_replaces_damaged_rows_of_a_dead_fleet_and_the_last_worker_leaves_none() {
    let stage = Stage::with_shards(2).await;
    let _dead = stage.start("a").await;
    stage.shared(&[("a", 2)], SOON).await;
    stage.cut_off("a");
    for key in ["fleet", "assignment/a", "session/a"] {
        edit(&stage, key, "entityType", AttributeValue::Bool(true)).await;
    }
    let b = stage.start("b").await;
    stage.shared(&[("b", 2)], Duration::from_secs(25)).await;
    b.stop().await.unwrap();
    assert_eq!(stage.owners().await.len(), stage.rows().await.len(), "a plain table: {:?}", stage.rows().await);
}

#[tokio::test(start_paused = true)]
async fn another_kind_of_row_at_a_key_of_ours_is_left_alone_and_named() {
    let stage = Stage::with_shards(1).await;
    stage.ran_before().await;
    for key in ["fleet", "session/a"] {
        let put = stage.aws.dynamodb().put_item().table_name(APPLICATION).item("leaseKey", s(key));
        put.item("entityType", s("OF_THE_FUTURE")).send().await.unwrap();
        let run = stage.start("a").await.task;
        let error = tokio::time::timeout(Duration::from_secs(60), run).await.expect("it runs on").unwrap().unwrap_err();
        assert_eq!(error.code(), Code::TableUnusable, "{error}");
        assert!(error.to_string().contains(&format!("row `{key}` of table `{APPLICATION}`")), "{error}");
        assert_eq!(shown(&stage, key, "entityType").await, Some(s("OF_THE_FUTURE")));
        stage.delete_row(key).await;
    }
    let a = stage.start("a").await;
    stage.shared(&[("a", 1)], SOON).await;
    a.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_of_a_newer_format_is_refused_by_the_version_that_wrote_it() {
    let stage = Stage::with_shards(1).await;
    let a = stage.start("a").await;
    stage.shared(&[("a", 1)], SOON).await;
    for (attribute, value) in [("writer", s("kcl-core 9.1.0")), ("format", AttributeValue::N("7".to_owned()))] {
        edit(&stage, "fleet", attribute, value).await;
    }
    let running = tokio::time::timeout(Duration::from_secs(30), a.task).await.expect("it runs on").unwrap();
    let starting = stage.start("b").await.task;
    let starting = tokio::time::timeout(Duration::from_secs(30), starting).await.expect("it runs on").unwrap();
    for error in [running.unwrap_err(), starting.unwrap_err()] {
        assert_eq!(error.code(), Code::TableFormat, "{error}");
        for part in [APPLICATION, "format 7", "kcl-core 9.1.0", "formats up to 1"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    assert!(stage.owners().await.values().all(Option::is_none), "what was held is released: {STREAM}");
}
