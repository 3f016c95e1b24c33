//! Converts a dead letter to one line of JSON.

use super::DeadLetter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn of(letter: &DeadLetter) -> String {
    let record = &letter.record;
    let (form, payload) = match std::str::from_utf8(&record.data) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("base64", STANDARD.encode(&record.data)),
    };
    serde_json::json!({
        "key": letter.idempotency_key(),
        "stream": letter.stream.to_string(),
        "shard": letter.shard.as_str(),
        "sequence_number": record.sequence_number.as_str(),
        "sub_sequence_number": record.sub_sequence_number,
        "partition_key": record.partition_key.as_deref(),
        "arrived_at_ms": record.arrived_at_ms,
        "attempts": letter.attempts,
        "error": letter.error,
        form: payload,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, SequenceNumber, ShardId, StreamId, StreamRef};

    fn letter(data: &'static [u8]) -> DeadLetter {
        let record =
            Record::new(SequenceNumber::parse("77").unwrap(), data).with_partition_key("UA").with_arrival_ms(5);
        let id = StreamId::new("123456789012:flights:1700000000");
        let shard = ShardId::from("shardId-000000000001");
        DeadLetter::new(StreamRef::from("flights"), Some(id), shard, record, 3, "no\ngate".into())
    }

    #[test]
    fn a_letter_is_one_line_with_every_field() {
        let line = letter(b"{\"a\": 1}\n").to_json();
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "key": "123456789012:flights:1700000000/shardId-000000000001/77.0", "stream": "flights", "shard": "shardId-000000000001",
                "sequence_number": "77", "sub_sequence_number": 0, "partition_key": "UA", "arrived_at_ms": 5,
                "attempts": 3, "error": "no\ngate", "text": "{\"a\": 1}\n",
            })
        );
    }

    #[test]
    fn a_payload_that_is_not_utf_8_is_encoded_as_base64() {
        let read: serde_json::Value = serde_json::from_str(&letter(&[0xff, 0]).to_json()).unwrap();
        assert_eq!((&read["base64"], &read["text"]), (&"/wA=".into(), &serde_json::Value::Null));
    }
}
