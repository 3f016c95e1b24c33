//! Encodes GetRecords responses and subscription events as JSON into one buffer.
//!
//! They have up to 10 MiB of payload in base64, and are most of the bytes that a server sends, so
//! serde_json's extra copies matter.

use crate::kinesis::model::{ChildShard, GetRecordsOutput, Record, Records, SubscribeToShardEvent};

/// Bytes of a record's JSON without data and partition key.
const FIXED: usize = 220;

/// Returns the same text as serde_json.
pub(crate) fn to_json(output: &GetRecordsOutput) -> serde_json::Result<Vec<u8>> {
    let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, child_shards } = output;
    let mut json = write_records(records)?;
    if let Some(iterator) = next_shard_iterator {
        json.extend_from_slice(br#","NextShardIterator":"#);
        serde_json::to_writer(&mut json, iterator)?;
    }
    write_rest(json, *millis_behind_latest, child_shards.as_ref())
}

/// Returns the same text as serde_json.
pub(crate) fn event_to_json(event: &SubscribeToShardEvent) -> serde_json::Result<Vec<u8>> {
    let SubscribeToShardEvent { records, continuation_sequence_number, millis_behind_latest, child_shards } = event;
    let mut json = write_records(records)?;
    if let Some(number) = continuation_sequence_number {
        json.extend_from_slice(br#","ContinuationSequenceNumber":"#);
        serde_json::to_writer(&mut json, number)?;
    }
    write_rest(json, *millis_behind_latest, child_shards.as_ref())
}

fn write_records(Records(records): &Records) -> serde_json::Result<Vec<u8>> {
    let size: usize = records.iter().map(|record| FIXED + key_len(record) + record.data.len() * 4 / 3 + 4).sum();
    let mut json = Vec::with_capacity(size + 1024);
    json.extend_from_slice(br#"{"Records":["#);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_record(&mut json, record)?;
    }
    json.push(b']');
    Ok(json)
}

fn write_rest(mut json: Vec<u8>, behind: i64, children: Option<&Vec<ChildShard>>) -> serde_json::Result<Vec<u8>> {
    json.extend_from_slice(br#","MillisBehindLatest":"#);
    serde_json::to_writer(&mut json, &behind)?;
    if let Some(children) = children {
        json.extend_from_slice(br#","ChildShards":"#);
        serde_json::to_writer(&mut json, children)?;
    }
    json.push(b'}');
    Ok(json)
}

fn write_record(json: &mut Vec<u8>, record: &Record) -> serde_json::Result<()> {
    let Record { sequence_number, approximate_arrival_timestamp, data, partition_key, encryption_type } = record;
    json.extend_from_slice(br#"{"SequenceNumber":"#);
    serde_json::to_writer(&mut *json, sequence_number)?;
    json.extend_from_slice(br#","ApproximateArrivalTimestamp":"#);
    serde_json::to_writer(&mut *json, approximate_arrival_timestamp)?;
    json.extend_from_slice(br#","Data":""#);
    // Twice as fast as the base64 crate used elsewhere, and the SDK depends on it already.
    base64_simd::STANDARD.encode_append(&data.0, json);
    json.push(b'"');
    if let Some(key) = partition_key {
        json.extend_from_slice(br#","PartitionKey":"#);
        serde_json::to_writer(&mut *json, key)?;
    }
    if let Some(encryption) = encryption_type {
        json.extend_from_slice(br#","EncryptionType":"#);
        serde_json::to_writer(&mut *json, encryption)?;
    }
    json.push(b'}');
    Ok(())
}

fn key_len(record: &Record) -> usize {
    record.partition_key.as_deref().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kinesis::model::{Blob, EncryptionType, Timestamp};
    use crate::kinesis::{SequenceNumber, ShardId};

    fn number() -> SequenceNumber {
        SequenceNumber::starting(1_767_225_600, ShardId::new(3))
    }

    fn record(data: &'static [u8], key: Option<&str>, encryption: Option<EncryptionType>) -> Arc<Record> {
        Arc::new(Record {
            sequence_number: number(),
            approximate_arrival_timestamp: Timestamp(1_767_225_600_123),
            data: Blob::from(data),
            partition_key: key.map(Box::from),
            encryption_type: encryption,
        })
    }

    #[test]
    fn the_text_is_the_same_as_serde_json_writes() {
        let records = vec![
            record(b"", Some("k"), None),
            record(b"a", Some("quote \" backslash \\ newline \n \u{e9}"), Some(EncryptionType::Kms)),
            record(b"ab", None, Some(EncryptionType::None)),
            record(b"abc", None, None),
            record(&[0xff; 1000], None, None),
        ];
        let answers = [
            GetRecordsOutput::default(),
            GetRecordsOutput { records: Records(records), millis_behind_latest: 5, ..GetRecordsOutput::default() },
            GetRecordsOutput { next_shard_iterator: Some("it".to_owned()), ..GetRecordsOutput::default() },
            GetRecordsOutput { child_shards: Some(Vec::new()), ..GetRecordsOutput::default() },
        ];
        for answer in answers {
            let fast = String::from_utf8(to_json(&answer).unwrap()).unwrap();
            assert_eq!(fast, serde_json::to_string(&answer).unwrap());
            let event = SubscribeToShardEvent {
                records: answer.records,
                continuation_sequence_number: answer.next_shard_iterator.map(|_| number()),
                millis_behind_latest: answer.millis_behind_latest,
                child_shards: answer.child_shards,
            };
            let fast = String::from_utf8(event_to_json(&event).unwrap()).unwrap();
            assert_eq!(fast, serde_json::to_string(&event).unwrap());
        }
    }

    #[test]
    fn the_buffer_is_allocated_once() {
        let records = Records(vec![record(&[7; 1000], Some("key of a record"), Some(EncryptionType::Kms)); 500]);
        let json = to_json(&GetRecordsOutput { records, ..GetRecordsOutput::default() }).unwrap();
        assert!(json.len() / 500 < FIXED + 1336, "{} bytes a record", json.len() / 500);
    }
}
