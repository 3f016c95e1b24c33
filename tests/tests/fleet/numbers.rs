//! Impossible numbers in rows: each makes a damaged row, reported by its key, and affects nothing
//! else.

use crate::stage::{APPLICATION, Stage};
use aws_sdk_dynamodb::types::AttributeValue;
use kcl_local::Service;
use std::time::Duration;

/// The largest number that a 64-bit counter holds, one that DynamoDB still accepts, and the
/// smallest one that counts as damage.
const TOO_LARGE: [&str; 3] = ["18446744073709551615", "99999999999999999999999999999999999999", "4611686018427387905"];

async fn edit(stage: &Stage, key: &str, attribute: &str, digits: &str) {
    let update = stage.aws.dynamodb().update_item().table_name(APPLICATION);
    let update = update.key("leaseKey", AttributeValue::S(key.to_owned()));
    let update = update.update_expression("SET #a = :v").expression_attribute_names("#a", attribute);
    update.expression_attribute_values(":v", AttributeValue::N(digits.to_owned())).send().await.unwrap();
}

/// The most calls a second to the table while the fleet recovers.
const CALLS_A_SECOND: u64 = 40;

/// After this edit two workers continue, a third one gets its share, and everything is read.
async fn heals(key: &str, attribute: &str) {
    for digits in TOO_LARGE {
        let stage = Stage::with_shards(3).await;
        let (a, b) = (stage.start("a").await, stage.start("b").await);
        stage.put(0..20).await;
        stage.seen(20, Duration::from_secs(10)).await;
        edit(&stage, key, attribute, digits).await;
        let calls = stage.aws.calls().total(Service::DynamoDb);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let calls = stage.aws.calls().total(Service::DynamoDb) - calls;
        assert!(calls < 30 * CALLS_A_SECOND, "`{attribute}` of `{key}` = {digits}: {calls} calls in 30 s");
        let c = stage.start("c").await;
        stage.shared(&[("a", 1), ("b", 1), ("c", 1)], Duration::from_secs(70)).await;
        stage.put(20..60).await;
        stage.seen(60, Duration::from_secs(20)).await;
        for worker in [a, b, c] {
            worker.stop().await.unwrap_or_else(|error| panic!("`{attribute}` of `{key}` = {digits}: {error}"));
        }
        let distinct: std::collections::BTreeSet<_> = stage.log.all().into_iter().map(|seen| seen.sequence).collect();
        assert_eq!(distinct.len(), 60, "`{attribute}` of `{key}` = {digits}");
        let (owners, rows) = (stage.owners().await.len(), stage.rows().await);
        assert_eq!(owners, rows.len(), "`{attribute}` of `{key}` = {digits}: a plain table is left: {rows:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_row_with_a_number_that_is_too_large_is_created_again() {
    for attribute in
        ["term", "heartbeat", "sessions", "wake", "assignmentVersion", "leaderSessionHeartbeat", "leaderSession"]
    {
        heals("fleet", attribute).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_row_with_a_number_that_is_too_large_is_registered_again() {
    for attribute in ["number", "heartbeat"] {
        heals("session/b", attribute).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_row_with_a_number_that_is_too_large_is_written_again() {
    for attribute in ["term", "version"] {
        heals("assignment/b", attribute).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_with_a_number_that_is_too_large_stays_as_it_is_and_the_others_are_read() {
    for attribute in ["leaseCounter", "ownerSwitchesSinceCheckpoint", "kclSession", "kclCounter"] {
        for digits in TOO_LARGE {
            let stage = Stage::with_shards(3).await;
            stage.ran_before().await;
            let damaged = "shardId-000000000001";
            edit(&stage, damaged, "leaseCounter", "7").await;
            edit(&stage, damaged, attribute, digits).await;
            // Adds an owner, so that its session is looked up.
            let update = stage.aws.dynamodb().update_item().table_name(APPLICATION);
            let update = update.key("leaseKey", AttributeValue::S(damaged.to_owned()));
            let update = update.update_expression("SET leaseOwner = :v");
            update.expression_attribute_values(":v", AttributeValue::S("gone".to_owned())).send().await.unwrap();
            let (a, b) = (stage.start("a").await, stage.start("b").await);
            stage.put(0..60).await;
            let elsewhere = 60 - stage.in_shard(damaged).await;
            stage.seen(elsewhere, Duration::from_secs(40)).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(stage.log.count(), elsewhere, "`{attribute}` = {digits}");
            for worker in [a, b] {
                worker.stop().await.unwrap_or_else(|error| panic!("`{attribute}` = {digits}: {error}"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_row_of_a_former_session_with_the_largest_number_does_not_drive_a_start_in_a_circle() {
    for digits in ["18446744073709551615", "4611686018427387904"] {
        let stage = Stage::with_shards(2).await;
        stage.ran_before().await;
        let put = stage.aws.dynamodb().put_item().table_name(APPLICATION);
        let put = put.item("leaseKey", AttributeValue::S("session/a".to_owned()));
        let put = put.item("entityType", AttributeValue::S("KCL_SESSION".to_owned()));
        let put = ["tag", "heartbeat", "load"]
            .iter()
            .fold(put, |put, name| put.item(*name, AttributeValue::N("1".to_owned())));
        let put = put.item("state", AttributeValue::S("left".to_owned()));
        put.item("number", AttributeValue::N(digits.to_owned())).send().await.unwrap();
        let calls = stage.aws.calls().total(Service::DynamoDb);
        let a = stage.start("a").await;
        stage.put(0..20).await;
        stage.seen(20, Duration::from_secs(20)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let calls = stage.aws.calls().total(Service::DynamoDb) - calls;
        assert!(calls < 30 * CALLS_A_SECOND, "{digits}: {calls} calls");
        a.stop().await.unwrap();
        stage.assert_all_seen(0);
    }
}
