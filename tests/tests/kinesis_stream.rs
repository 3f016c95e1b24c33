//! The calls of a polling consumer, over the real SDK, on the embedded Kinesis.

#![allow(clippy::unwrap_used, reason = "what helpers of tests unwrap is what the tests assert")]

use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::primitives::Blob;
use kcl_core::aws::{Clients, KinesisStream};
use kcl_core::record::{Position, ShardId, StartingPosition, StreamRef};
use kcl_core::shard::{ApiErrorKind, Fetched, ListWhich, StreamApi};
use kcl_local::{Fault, LocalAws, Service};
use std::time::Duration;

const SHARD: &str = "shardId-000000000000";

async fn stream(aws: &LocalAws, shards: i32) -> KinesisStream {
    let clients = Clients::from_config(&aws.sdk_config()).unwrap();
    clients.kinesis.create_stream().stream_name("orders").shard_count(shards).send().await.unwrap();
    let stream = KinesisStream::new(&clients.kinesis, StreamRef::from("orders"));
    for _ in 0..100 {
        match stream.describe().await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind, ApiErrorKind::NotReady, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stream
}

async fn put(aws: &LocalAws, data: &str) {
    let put = aws.kinesis().put_record().stream_name("orders").partition_key(data).data(Blob::new(data));
    put.send().await.unwrap();
}

async fn read(stream: &KinesisStream, from: &StartingPosition) -> Fetched {
    let iterator = stream.shard_iterator(&ShardId::new(SHARD), from).await.unwrap();
    stream.get_records(&iterator, 10).await.unwrap()
}

fn payloads(fetched: &Fetched) -> Vec<&[u8]> {
    fetched.records.iter().map(|record| &record.data[..]).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_described_by_name_and_by_arn() {
    let aws = LocalAws::in_process();
    let by_name = stream(&aws, 3).await;
    let described = by_name.describe().await.unwrap();
    assert_eq!(described.identity.arn, "arn:aws:kinesis:us-east-1:000000000000:stream/orders");
    assert_eq!((described.open_shards, described.retention_hours), (3, 24));

    let by_arn = KinesisStream::new(&aws.kinesis(), StreamRef::from(described.identity.arn.as_str()));
    assert_eq!(by_arn.describe().await.unwrap(), described);
    assert_eq!(by_arn.list_shards(ListWhich::All).await.unwrap(), by_name.list_shards(ListWhich::All).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn every_page_of_shards_is_read_and_dated_by_the_service() {
    let aws = LocalAws::in_process();
    // A page holds at most 1,000 shards.
    let stream = stream(&aws, 1_200).await;
    aws.reset_calls();
    let listing = stream.list_shards(ListWhich::All).await.unwrap();
    assert_eq!(listing.shards.len(), 1_200);
    assert!(listing.shards.is_sorted_by(|a, b| a.id < b.id));
    assert!(listing.shards.iter().all(|shard| !shard.closed && shard.parents.is_empty()));
    assert_eq!(listing.shards[0].hash_range.unwrap().start, 0);
    assert_eq!(listing.shards[1_199].hash_range.unwrap().end, u128::MAX);
    assert_eq!(aws.calls().of(Service::Kinesis, "ListShards"), 2);

    let now = aws.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(u128::try_from(listing.answered_at_ms.unwrap()).unwrap()) <= 1_000);
    assert_eq!(stream.list_shards(ListWhich::AtLatest).await.unwrap().shards.len(), 1_200);
}

#[tokio::test(start_paused = true)]
async fn reading_starts_at_the_given_position() {
    let aws = LocalAws::in_process();
    let stream = stream(&aws, 1).await;
    for data in ["a", "b", "c"] {
        put(&aws, data).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let all = read(&stream, &StartingPosition::TrimHorizon).await;
    assert_eq!(payloads(&all), [b"a", b"b", b"c"]);
    assert_eq!(all.records[1].partition_key.as_deref(), Some("b"));
    assert_eq!((all.millis_behind_latest, all.next_iterator.is_some()), (Some(0), true));

    let at = |sub_sequence_number| {
        let sequence_number = all.records[1].sequence_number.clone();
        StartingPosition::After(Position { sequence_number, sub_sequence_number })
    };
    assert_eq!(payloads(&read(&stream, &at(0)).await), [b"c"]);
    assert_eq!(payloads(&read(&stream, &at(2)).await), [b"b", b"c"]);
    let arrived = all.records[1].arrived_at().duration_since(std::time::UNIX_EPOCH).unwrap();
    let second = StartingPosition::AtTimestamp(i64::try_from(arrived.as_millis()).unwrap());
    assert_eq!(payloads(&read(&stream, &second).await), [b"b", b"c"]);
}

#[tokio::test(start_paused = true)]
async fn a_split_shard_ends_in_its_children() {
    let aws = LocalAws::in_process();
    let stream = stream(&aws, 1).await;
    put(&aws, "last").await;
    let half = (u128::MAX / 2).to_string();
    aws.kinesis()
        .split_shard()
        .stream_name("orders")
        .shard_to_split(SHARD)
        .new_starting_hash_key(half)
        .send()
        .await
        .unwrap();

    let mut iterator = stream.shard_iterator(&ShardId::new(SHARD), &StartingPosition::TrimHorizon).await.unwrap();
    let mut records = Vec::new();
    let children = loop {
        let fetched = stream.get_records(&iterator, 10).await.unwrap();
        records.extend(fetched.records);
        match fetched.next_iterator {
            Some(next) => iterator = next,
            None => break fetched.children,
        }
    };
    assert_eq!(records.len(), 1);
    assert_eq!(
        children.iter().map(|child| child.id.as_str()).collect::<Vec<_>>(),
        ["shardId-000000000001", "shardId-000000000002"]
    );
    assert!(children.iter().all(|child| child.parents == [ShardId::new(SHARD)]));

    let listed = stream.list_shards(ListWhich::All).await.unwrap().shards;
    assert_eq!(listed.iter().map(|shard| shard.closed).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(listed[1].hash_range, children[0].hash_range);
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_the_reader_can_do() {
    let aws = LocalAws::in_process();
    let stream = stream(&aws, 1).await;
    let iterator = stream.shard_iterator(&ShardId::new(SHARD), &StartingPosition::TrimHorizon).await.unwrap();
    let error = |name: &str| Fault::Error(name.to_owned());
    let failures = [
        (Fault::Throttle, ApiErrorKind::Throttled),
        (error("KMSThrottlingException"), ApiErrorKind::Throttled),
        (error("ExpiredIteratorException"), ApiErrorKind::IteratorExpired),
        (error("ResourceNotFoundException"), ApiErrorKind::NotFound),
        (error("ResourceInUseException"), ApiErrorKind::NotReady),
        (error("AccessDeniedException"), ApiErrorKind::Denied),
        (error("KMSAccessDeniedException"), ApiErrorKind::Denied),
        (error("KMSDisabledException"), ApiErrorKind::Denied),
        (error("ExpiredTokenException"), ApiErrorKind::Denied),
        (error("ValidationException"), ApiErrorKind::Refused),
        (error("InternalFailure"), ApiErrorKind::Unavailable),
        (Fault::LostRequest, ApiErrorKind::Unavailable),
        (Fault::CutResponse, ApiErrorKind::Unavailable),
    ];
    for (fault, kind) in failures {
        aws.reset_calls();
        aws.faults().once("GetRecords", fault.clone());
        let error = stream.get_records(&iterator, 10).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(error.message.contains("`kinesis:GetRecords` on stream `orders`"), "{error}");
        assert_eq!(aws.calls().of(Service::Kinesis, "GetRecords"), 1, "one attempt a call");
    }
    // Whatever other timeouts the caller's client has, every call has a deadline.
    let connect = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
    let config = aws.sdk_config().to_builder().timeout_config(connect).build();
    let connects = KinesisStream::new(&Clients::from_config(&config).unwrap().kinesis, StreamRef::from("orders"));
    aws.faults().once("GetRecords", Fault::LostRequest);
    let lost = tokio::time::timeout(Duration::from_secs(60), connects.get_records(&iterator, 10)).await;
    assert_eq!(lost.unwrap().unwrap_err().kind, ApiErrorKind::Unavailable);

    let garbled = stream.get_records("no iterator", 10).await.unwrap_err();
    assert_eq!(garbled.kind, ApiErrorKind::IteratorExpired, "{garbled}");

    let missing = KinesisStream::new(&aws.kinesis(), StreamRef::from("nothing"));
    assert_eq!(missing.describe().await.unwrap_err().kind, ApiErrorKind::NotFound);
    let shard = stream.shard_iterator(&ShardId::new("shardId-000000000009"), &StartingPosition::TrimHorizon).await;
    let error = shard.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotFound);
    assert!(error.message.contains("shard `shardId-000000000009` of stream `orders`"), "{error}");
}

/// The SDK repeats no call on its own, because only the reader knows the shard's limits; whatever
/// the caller's client is configured to do.
#[tokio::test(start_paused = true)]
async fn the_sdk_repeats_no_read_by_itself() {
    let aws = LocalAws::in_process();
    let stream = stream(&aws, 1).await;
    for fault in [Fault::Throttle, Fault::Error("InternalFailure".to_owned()), Fault::CutRequest] {
        let iterator = stream.shard_iterator(&ShardId::new(SHARD), &StartingPosition::TrimHorizon).await.unwrap();
        aws.reset_calls();
        aws.faults().once("GetRecords", fault.clone());
        stream.get_records(&iterator, 10).await.unwrap_err();
        assert_eq!(aws.calls().of(Service::Kinesis, "GetRecords"), 1, "{fault:?}");
    }
}
