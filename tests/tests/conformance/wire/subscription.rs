//! Subscriptions as bytes: framing, checksums and payloads in both encodings, over every kind of connection. K82 to K84.

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use bytes::Bytes;
use ciborium::Value;
use http::{StatusCode, Version};
use http_body_util::BodyExt as _;
use kcl_local::kinesis::EngineConfig;
use kcl_local::{Fault, LocalAws, Service, StreamFault};

use super::http::{CBOR, JSON, Wire};

const SHARD: &str = "shardId-000000000000";

/// A message of an event stream.
#[derive(Debug)]
struct Message {
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or("")
    }
}

/// Takes the next message from `bytes`, strictly by the format; `None` while it is incomplete.
fn take(bytes: &mut Vec<u8>) -> Option<Message> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let total = number(bytes.get(..4)?) as usize;
    if bytes.len() < total {
        return None;
    }
    let message: Vec<_> = bytes.drain(..total).collect();
    assert_eq!(number(&message[8..12]), crc32fast::hash(&message[..8]), "the checksum of the prelude");
    assert_eq!(number(&message[total - 4..]), crc32fast::hash(&message[..total - 4]), "the checksum of the message");
    let (mut rest, payload) = message[12..total - 4].split_at(number(&message[4..8]) as usize);
    let mut headers = Vec::new();
    while let [name, after @ ..] = rest {
        let (name, after) = after.split_at(usize::from(*name));
        let [7, high, low, after @ ..] = after else { panic!("a header that is no text") };
        let (value, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        headers.push((String::from_utf8(name.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap()));
        rest = after;
    }
    Some(Message { headers, payload: payload.to_vec() })
}

/// A stream with one record and a consumer; its ARN.
async fn consumer(wire: &Wire) -> String {
    wire.stream("clicks").await;
    wire.put("clicks", "aGVsbG8=").await;
    let body = r#"{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/clicks","ConsumerName":"app"}"#;
    wire.json("RegisterStreamConsumer", body).await.json()["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned()
}

/// The first `count` messages of a subscription.
async fn messages(wire: &Wire, content_type: &str, body: impl Into<Bytes>, count: usize) -> (Version, Vec<Message>) {
    let answer = wire.open(content_type, "SubscribeToShard", body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
    assert_eq!(answer.headers()["x-amzn-requestid"].len(), 36);
    let (version, mut body) = (answer.version(), answer.into_body());
    let (mut bytes, mut messages) = (Vec::new(), Vec::new());
    while messages.len() < count {
        bytes.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        messages.extend(std::iter::from_fn(|| take(&mut bytes)));
    }
    (version, messages)
}

fn json(arn: &str) -> String {
    let position = r#"{"Type":"TRIM_HORIZON"}"#;
    format!(r#"{{"ConsumerARN":"{arn}","ShardId":"{SHARD}","StartingPosition":{position}}}"#)
}

#[tokio::test]
async fn k82_k83_the_first_message_is_the_answer_and_events_follow_with_right_checksums() {
    let wire = Wire::start().await;
    let arn = consumer(&wire).await;
    let (_, messages) = messages(&wire, JSON, json(&arn), 2).await;
    let [first, event] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((first.header(":message-type"), first.header(":event-type")), ("event", "initial-response"));
    assert_eq!(first.payload, b"{}");
    assert_eq!((event.header(":message-type"), event.header(":event-type")), ("event", "SubscribeToShardEvent"));
    assert_eq!(event.header(":content-type"), "application/json");
    let payload: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(payload["Records"][0]["Data"], "aGVsbG8=");
    assert!(payload["Records"][0]["ApproximateArrivalTimestamp"].is_f64());
    assert_eq!(payload["MillisBehindLatest"], 0);
    assert!(payload["ContinuationSequenceNumber"].is_string());
    assert!(payload.get("ChildShards").is_none());
}

#[tokio::test]
async fn k82_a_cbor_request_gets_payloads_in_cbor() {
    let wire = Wire::start().await;
    let arn = consumer(&wire).await;
    let map = |members: &[(&str, Value)]| {
        Value::Map(members.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect())
    };
    let request = map(&[
        ("ConsumerARN", arn.into()),
        ("ShardId", SHARD.into()),
        ("StartingPosition", map(&[("Type", "TRIM_HORIZON".into())])),
    ]);
    let mut body = Vec::new();
    ciborium::into_writer(&request, &mut body).unwrap();
    let (_, messages) = messages(&wire, CBOR, body, 2).await;
    assert_eq!(messages[1].header(":content-type"), "application/cbor");
    let member = |value: &Value, name: &str| {
        let members = value.as_map().unwrap().iter();
        members.clone().find_map(|(key, value)| (key.as_text() == Some(name)).then(|| value.clone())).unwrap()
    };
    let payload: Value = ciborium::from_reader(&messages[1].payload[..]).unwrap();
    let record = member(&payload, "Records").as_array().unwrap()[0].clone();
    assert_eq!(member(&record, "Data"), Value::Bytes(b"hello".to_vec()));
    assert!(matches!(member(&record, "ApproximateArrivalTimestamp"), Value::Tag(1, _)));
}

#[tokio::test]
async fn k81_what_is_refused_is_an_answer_of_its_own() {
    let wire = Wire::start().await;
    let arn = consumer(&wire).await;
    let refused = wire.call(JSON, "SubscribeToShard", json(&arn).replace(SHARD, "shardId-000000000007")).await;
    assert_eq!((refused.status, refused.header("content-type")), (StatusCode::BAD_REQUEST, JSON));
    assert_eq!(refused.json()["__type"], "ResourceNotFoundException");
}

#[tokio::test]
async fn k83_an_error_event_names_itself_in_a_header() {
    let wire = Wire::start().await;
    let arn = consumer(&wire).await;
    let fault = StreamFault::Error("KMSDisabledException".to_owned());
    wire.aws.faults().once("SubscribeToShard", Fault::stream(1, fault));
    let (_, messages) = messages(&wire, JSON, json(&arn), 3).await;
    let error = &messages[2];
    let headers = (error.header(":message-type"), error.header(":exception-type"));
    assert_eq!(headers, ("exception", "KMSDisabledException"));
    assert!(serde_json::from_slice::<serde_json::Value>(&error.payload).unwrap()["message"].is_string());
}

#[tokio::test]
async fn k84_a_subscription_goes_over_http1_and_over_http2_in_clear_text() {
    for (wire, version) in [(Wire::start().await, Version::HTTP_11), (Wire::start_http2().await, Version::HTTP_2)] {
        let arn = consumer(&wire).await;
        let (spoken, messages) = messages(&wire, JSON, json(&arn), 2).await;
        assert_eq!((spoken, messages.len()), (version, 2));
    }
}

/// The server with a stream of `shards` shards, and its consumer's ARN.
async fn served(aws: LocalAws, shards: i32) -> (LocalAws, String) {
    let client = client(&aws);
    client.create_stream().stream_name("clicks").shard_count(shards).send().await.unwrap();
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks";
    let register = client.register_stream_consumer().stream_arn(stream).consumer_name("app");
    let arn = register.send().await.unwrap().consumer.unwrap().consumer_arn;
    (aws, arn)
}

fn client(aws: &LocalAws) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::config::Builder::from(&aws.sdk_config()).retry_config(RetryConfig::disabled());
    aws_sdk_kinesis::Client::from_conf(config.build())
}

async fn subscribe(
    client: &aws_sdk_kinesis::Client,
    arn: &str,
    shard: &str,
) -> aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput {
    let position = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build().unwrap();
    let request = client.subscribe_to_shard().consumer_arn(arn).shard_id(shard).starting_position(position);
    request.send().await.unwrap()
}

/// Over HTTP/1.1 in clear text, and over HTTP/2 with TLS.
async fn both_ways() -> [LocalAws; 2] {
    let builder = || LocalAws::builder().engine(EngineConfig::in_process());
    [builder().start().await.unwrap(), builder().tls(true).start().await.unwrap()]
}

#[tokio::test]
async fn k84_the_sdk_subscribes_over_http1_and_over_http2_with_tls() {
    for aws in both_ways().await {
        let (aws, arn) = served(aws, 1).await;
        let client = client(&aws);
        let mut subscription = subscribe(&client, &arn, SHARD).await;
        let large = vec![b'x'; 1024 * 1024 - 1];
        for data in [&b"hello"[..], &large[..]] {
            let put = client.put_record().stream_name("clicks").partition_key("k").data(data.into());
            put.send().await.unwrap();
        }
        let mut lengths = Vec::new();
        while lengths.len() < 2 {
            let event = subscription.event_stream.recv().await.unwrap().unwrap();
            let event = event.as_subscribe_to_shard_event().unwrap();
            lengths.extend(event.records().iter().map(|record| record.data().as_ref().len()));
        }
        assert_eq!(lengths, [5, large.len()]);
        let split = client.split_shard().stream_name("clicks").shard_to_split(SHARD).new_starting_hash_key("7");
        split.send().await.unwrap();
        let end = subscription.event_stream.recv().await.unwrap().unwrap();
        assert_eq!(end.as_subscribe_to_shard_event().unwrap().child_shards().len(), 2);
        assert!(subscription.event_stream.recv().await.unwrap().is_none());
        aws.shutdown().await;
    }
}

#[tokio::test]
async fn k83_a_message_that_is_cut_or_damaged_is_an_error_to_the_sdk() {
    let faults = [StreamFault::Cut, StreamFault::CutConnection, StreamFault::Truncated, StreamFault::BadChecksum];
    for aws in both_ways().await {
        let (aws, arn) = served(aws, 1).await;
        for fault in &faults {
            aws.faults().once("SubscribeToShard", Fault::stream(0, fault.clone()));
            let mut subscription = subscribe(&client(&aws), &arn, SHARD).await;
            assert!(subscription.event_stream.recv().await.is_err(), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn k84_a_subscription_beyond_the_streams_of_a_connection_waits_for_one_of_them() {
    let builder = LocalAws::builder().engine(EngineConfig::in_process()).tls(true).max_concurrent_streams(2);
    let (aws, arn) = served(builder.start().await.unwrap(), 3).await;
    // One client, one connection: two of its three subscriptions use up the limit.
    let client = client(&aws);
    let first = subscribe(&client, &arn, SHARD).await;
    let _second = subscribe(&client, &arn, "shardId-000000000001").await;
    let mut third = Box::pin(subscribe(&client, &arn, "shardId-000000000002"));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err());
    drop(first);
    third.await.event_stream.recv().await.unwrap().unwrap();
    assert_eq!(aws.calls().of(Service::Kinesis, "SubscribeToShard"), 3);
}
