//! Both parsers return the same records: by polling and by fan-out, over the real SDK, on the
//! embedded Kinesis.

#![allow(clippy::unwrap_used, reason = "what helpers of tests unwrap is what the tests assert")]

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::Blob;
use kcl_core::aws::KinesisStream;
use kcl_core::record::{Record, ShardId, StartingPosition, StreamRef};
use kcl_core::settings::Parser;
use kcl_core::shard::{ApiErrorKind, ListWhich, StreamApi, SubscribeRequest};
use kcl_local::LocalAws;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::time::Duration;

const RECORDS: usize = 300;

fn stream(client: &Client, parser: Parser) -> KinesisStream {
    KinesisStream::new(client, StreamRef::from("orders")).parser(parser)
}

/// A stream of one shard with records of all kinds.
async fn filled(records: &[(String, Vec<u8>)]) -> LocalAws {
    let aws = LocalAws::in_process();
    let kinesis = aws.kinesis();
    kinesis.create_stream().stream_name("orders").shard_count(1).send().await.unwrap();
    while stream(&kinesis, Parser::Sdk).list_shards(ListWhich::All).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (key, data) in records {
        let put = kinesis.put_record().stream_name("orders").partition_key(key).data(Blob::new(data.clone()));
        put.send().await.unwrap();
    }
    aws
}

async fn polled(stream: &KinesisStream, shard: &ShardId, wanted: usize) -> Vec<Record> {
    let mut iterator = stream.shard_iterator(shard, &StartingPosition::TrimHorizon).await.unwrap();
    let mut records = Vec::new();
    while records.len() < wanted {
        let fetched = stream.get_records(&iterator, 100).await.unwrap();
        records.extend(fetched.records);
        iterator = fetched.next_iterator.unwrap();
    }
    records
}

async fn pushed(stream: &KinesisStream, shard: &ShardId, name: &str, wanted: usize) -> Vec<Record> {
    let fan_out = stream.fan_out().unwrap();
    let mut consumer = fan_out.register_consumer(name).await.unwrap();
    while !consumer.active {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let found = fan_out.find_consumer(&kcl_core::shard::ConsumerRef::Name(name.to_owned())).await.unwrap();
        consumer = found.unwrap();
    }
    let from = &StartingPosition::TrimHorizon;
    let request = SubscribeRequest { consumer_arn: &consumer.arn, shard, from };
    let mut subscription = fan_out.subscribe(request).await.unwrap();
    let mut records = Vec::new();
    while records.len() < wanted {
        records.extend(subscription.next().await.unwrap().unwrap().records);
    }
    records
}

/// Records with any key and payload, drawn from a fixed seed.
fn any_records() -> Vec<(String, Vec<u8>)> {
    let record = (prop::collection::vec(any::<char>(), 1..64), prop::collection::vec(any::<u8>(), 0..3_000));
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let tree = prop::collection::vec(record, RECORDS).new_tree(&mut runner).unwrap();
    tree.current().into_iter().map(|(key, data)| (key.into_iter().collect(), data)).collect()
}

/// Everything that was put arrives by both parsers and both retrievals.
async fn come_alike(aws: &LocalAws, sent: &[(String, Vec<u8>)]) {
    let [fast, sdk] = [Parser::Fast, Parser::Sdk].map(|parser| stream(&aws.kinesis(), parser));
    let shard = sdk.list_shards(ListWhich::All).await.unwrap().shards.remove(0).id;
    let records = polled(&sdk, &shard, sent.len()).await;
    for (record, (key, data)) in records.iter().zip(sent) {
        assert_eq!(record.partition_key.as_deref(), Some(key.as_str()));
        assert!(record.data == data[..], "a payload of {} bytes came as {}", data.len(), record.data.len());
    }
    for other in [
        polled(&fast, &shard, sent.len()).await,
        pushed(&fast, &shard, "fast", sent.len()).await,
        pushed(&sdk, &shard, "sdk", sent.len()).await,
    ] {
        assert!(other == records, "{} records of {} came, or others", other.len(), records.len());
    }
}

#[tokio::test(start_paused = true)]
async fn both_parsers_come_to_the_same_records() {
    let sent = any_records();
    come_alike(&filled(&sent).await, &sent).await;
}

#[tokio::test(start_paused = true)]
async fn the_largest_record_comes_whole() {
    let aws = filled(&[]).await;
    let kinesis = aws.kinesis();
    let described = kinesis.describe_stream_summary().stream_name("orders").send().await.unwrap();
    let arn = described.stream_description_summary.unwrap().stream_arn;
    kinesis.update_max_record_size().stream_arn(arn).max_record_size_in_kib(10_240).send().await.unwrap();
    let data: Vec<u8> = (0..10 * 1024 * 1024 - 3_usize).map(|at| (at % 251) as u8).collect();
    let sent = [("key".to_owned(), data)];
    loop {
        let put = kinesis.put_record().stream_name("orders").partition_key("key").data(Blob::new(sent[0].1.clone()));
        if put.send().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    come_alike(&aws, &sent).await;
}

/// An answer that the SDK's parser accepts and ours does not: an unescaped control character beside
/// an escape.
#[derive(Debug)]
struct Odd;

impl Intercept for Odd {
    fn name(&self) -> &'static str {
        "Odd"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let text = "{\"Records\":[{\"SequenceNumber\":\"49590338271490256608559692538361571095921575989136588898\",\
                    \"Data\":\"aGk=\",\"PartitionKey\":\"\\u0061\u{1}\"}],\"NextShardIterator\":\"next\"}";
        *context.response_mut().body_mut() = text.into();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ours_does_not_understand_suspends_it_for_a_minute_and_then_for_longer() {
    let aws = filled(&[]).await;
    let shard = ShardId::new("shardId-000000000000");
    let plain = stream(&aws.kinesis(), Parser::Sdk);
    let client = Client::from_conf(aws.kinesis().config().to_builder().interceptor(Odd).build());
    let stream = stream(&client, Parser::Fast);
    for pause in [60, 120, 240] {
        let iterator = plain.shard_iterator(&shard, &StartingPosition::TrimHorizon).await.unwrap();
        let error = stream.get_records(&iterator, 10).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("a string with valid escapes at byte"), "{error}");
        for wait in [0, pause / 2, pause / 2 - 1] {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let iterator = plain.shard_iterator(&shard, &StartingPosition::TrimHorizon).await.unwrap();
            let fetched = stream.get_records(&iterator, 10).await.unwrap();
            assert_eq!(fetched.records[0].partition_key.as_deref(), Some("a\u{1}"));
            assert_eq!(&fetched.records[0].data[..], b"hi");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
