//! CBOR, as the Java SDKs send it.

use ciborium::Value;
use http::StatusCode;

use super::http::{Answer, CBOR, Wire};

fn map(members: &[(&str, Value)]) -> Value {
    Value::Map(members.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect())
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_map().unwrap();
    members.iter().find_map(|(key, value)| (key.as_text() == Some(name)).then_some(value)).unwrap()
}

async fn call(wire: &Wire, operation: &str, members: &[(&str, Value)]) -> Answer {
    let answer = wire.call(CBOR, operation, bytes(&map(members))).await;
    assert_eq!(answer.header("content-type"), CBOR);
    answer
}

async fn read(wire: &Wire, iterator: &str) -> Vec<Value> {
    let answer = call(wire, "GetRecords", &[("ShardIterator", iterator.into())]).await.cbor();
    member(&answer, "Records").as_array().unwrap().clone()
}

#[tokio::test]
async fn k91_cbor_timestamps_are_tag_one_and_integer_milliseconds_both_ways() {
    let wire = Wire::start().await;
    let iterator = wire.stream("clicks").await;
    for data in ["AA==", "AQ=="] {
        wire.put("clicks", data).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let records = read(&wire, &iterator).await;
    let Value::Tag(1, millis) = member(&records[1], "ApproximateArrivalTimestamp") else { panic!("no tag 1") };
    let millis = i64::try_from(millis.as_integer().unwrap()).unwrap();
    assert!(millis > 1_700_000_000_000, "{millis}");
    for timestamp in [Value::Tag(1, Box::new(millis.into())), Value::from(millis)] {
        let at = [
            ("StreamName", "clicks".into()),
            ("ShardId", "shardId-000000000000".into()),
            ("ShardIteratorType", "AT_TIMESTAMP".into()),
            ("Timestamp", timestamp),
        ];
        let iterator = call(&wire, "GetShardIterator", &at).await.cbor();
        let later = read(&wire, member(&iterator, "ShardIterator").as_text().unwrap()).await;
        assert_eq!(later, records[1..]);
    }
}

#[tokio::test]
async fn k92_cbor_requests_get_cbor_errors() {
    let wire = Wire::start().await;
    let missing = call(&wire, "DescribeStream", &[("StreamName", "none".into())]).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(member(&missing.cbor(), "__type").as_text(), Some("ResourceNotFoundException"));
    assert!(member(&missing.cbor(), "message").is_text());
    let wrong = call(&wire, "DescribeStream", &[("StreamName", 5.into())]).await;
    assert_eq!(member(&wrong.cbor(), "__type").as_text(), Some("SerializationException"));
    assert!(member(&wrong.cbor(), "Message").is_text());
    let cut_off = wire.call(CBOR, "DescribeStream", vec![0xbf, 0x61]).await;
    assert_eq!(member(&cut_off.cbor(), "__type").as_text(), Some("SerializationException"));
}

#[tokio::test]
async fn k92_cbor_blobs_are_byte_strings() {
    let wire = Wire::start().await;
    let iterator = wire.stream("clicks").await;
    let data = Value::Bytes((0..=255).cycle().take(100_000).collect());
    let put = [("StreamName", "clicks".into()), ("Data", data.clone()), ("PartitionKey", "k".into())];
    assert_eq!(call(&wire, "PutRecord", &put).await.status, StatusCode::OK);
    wire.put("clicks", "AP8=").await;
    let records = read(&wire, &iterator).await;
    let payloads: Vec<_> = records.iter().map(|record| member(record, "Data").clone()).collect();
    assert_eq!(payloads, [data, Value::Bytes(vec![0, 255])]);
}

#[tokio::test]
async fn k92_maps_lists_and_strings_of_indefinite_length_are_read() {
    let wire = Wire::start().await;
    let iterator = wire.stream("clicks").await;
    // {_ "StreamName": (_ "cli", "cks"), "Records": [_ {_ "Data": (_ h'01', h'02'), "PartitionKey": "k"}]}
    let mut body = vec![0xbf, 0x6a];
    body.extend(b"StreamName");
    body.extend([0x7f, 0x63]);
    body.extend(b"cli");
    body.push(0x63);
    body.extend(b"cks");
    body.extend([0xff, 0x67]);
    body.extend(b"Records");
    body.extend([0x9f, 0xbf, 0x64]);
    body.extend(b"Data");
    body.extend([0x5f, 0x41, 1, 0x41, 2, 0xff, 0x6c]);
    body.extend(b"PartitionKey");
    body.extend([0x61, b'k', 0xff, 0xff, 0xff]);
    let answer = wire.call(CBOR, "PutRecords", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.cbor());
    assert_eq!(member(&read(&wire, &iterator).await[0], "Data"), &Value::Bytes(vec![1, 2]));
}

#[tokio::test]
async fn k95_unknown_members_and_nulls_are_ignored_in_cbor_too() {
    let wire = Wire::start().await;
    let deep = map(&[("deep", Value::Array(vec![Value::Null]))]);
    let create =
        [("StreamName", "a".into()), ("ShardCount", 1.into()), ("StreamModeDetails", Value::Null), ("Colour", deep)];
    let answer = call(&wire, "CreateStream", &create).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
}
