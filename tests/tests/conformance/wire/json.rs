//! JSON 1.1: how members look as text.

use serde_json::json;

use super::http::{JSON, Wire};

/// The text after `"member":` up to the next delimiter.
fn number<'a>(text: &'a str, member: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("\"{member}\":")).unwrap();
    rest.split([',', '}']).next().unwrap()
}

#[tokio::test]
async fn k91_json_timestamps_are_decimal_seconds_with_milliseconds() {
    let wire = Wire::start().await;
    let iterator = wire.stream("clicks").await;
    wire.put("clicks", "aGk=").await;
    let summary = wire.json("DescribeStreamSummary", r#"{"StreamName":"clicks"}"#).await;
    let records = wire.json("GetRecords", &json!({"ShardIterator": iterator}).to_string()).await;
    let created = number(summary.text(), "StreamCreationTimestamp");
    let arrived = number(records.text(), "ApproximateArrivalTimestamp");
    for text in [created, arrived] {
        let (seconds, fraction) = text.split_once('.').unwrap();
        assert!(seconds.len() == 10 && (1..=3).contains(&fraction.len()), "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{text}");
    }
}

#[tokio::test]
async fn k91_a_json_timestamp_in_a_request_means_its_millisecond() {
    let wire = Wire::start().await;
    let iterator = wire.stream("clicks").await;
    for data in ["AA==", "AQ==", "Ag=="] {
        wire.put("clicks", data).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let records = wire.json("GetRecords", &json!({"ShardIterator": iterator}).to_string()).await.json();
    let at = &records["Records"][1]["ApproximateArrivalTimestamp"];
    let request = json!({"StreamName": "clicks", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at});
    let iterator = wire.json("GetShardIterator", &request.to_string()).await.json();
    let later = wire.json("GetRecords", &iterator.to_string()).await.json();
    assert_eq!(later["Records"].as_array().unwrap(), &records["Records"].as_array().unwrap()[1..]);
}

#[tokio::test]
async fn k95_unknown_members_and_nulls_are_ignored() {
    let wire = Wire::start().await;
    wire.json("CreateStream", r#"{"StreamName":"a","ShardCount":1,"StreamModeDetails":null,"Colour":{"deep":[1,{}]}}"#)
        .await;
    assert_eq!(wire.json("ListStreams", r#"{"Limit":null,"Order":7}"#).await.json()["StreamNames"], json!(["a"]));
}

#[tokio::test]
async fn k95_absent_members_of_answers_are_left_out() {
    let wire = Wire::start().await;
    let iterator = wire.stream("a").await;
    for text in [
        wire.json("GetRecords", &json!({"ShardIterator": iterator}).to_string()).await,
        wire.json("ListShards", r#"{"StreamName":"a"}"#).await,
        wire.json("ListStreams", "{}").await,
    ] {
        assert!(!text.text().contains("null"), "{}", text.text());
    }
}

#[tokio::test]
async fn wire_an_operation_without_output_answers_nothing() {
    let wire = Wire::start().await;
    let answer = wire.json("CreateStream", r#"{"StreamName":"a","ShardCount":1}"#).await;
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-type"), JSON);
}

#[tokio::test]
async fn wire_records_come_back_as_they_went_in() {
    let wire = Wire::start().await;
    let iterator = wire.stream("a").await;
    let entries = json!([
        {"Data": "", "PartitionKey": "empty"},
        {"Data": "AP8=", "PartitionKey": "quote \" and \u{e9}"},
        {"Data": "AAEC", "PartitionKey": "three bytes"},
    ]);
    wire.json("PutRecords", &json!({"StreamName": "a", "Records": entries}).to_string()).await;
    let answer = wire.json("GetRecords", &json!({"ShardIterator": iterator}).to_string()).await.json();
    let read = answer["Records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| json!({"Data": record["Data"], "PartitionKey": record["PartitionKey"]}));
    assert_eq!(read.collect::<serde_json::Value>(), entries);
}
