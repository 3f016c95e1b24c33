//! Decodes a batch of JSON records for a typed handler. The code that `#[derive(RecordProcessor)]` writes calls this.

use super::{Batch, BoxError, RecordMeta, ShardContext};
use crate::record::{Position, Record, SequenceNumber, ShardId};
use serde::Deserialize;
use serde_json::error::Category;
use std::fmt;

mod borrowed;

use borrowed::Texts;
pub use borrowed::Unescaped;

/// A record that is no JSON, or JSON that does not fit the handler's type.
///
/// Names the record and the place in it, and never shows what is there: payloads do not belong in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    shard: ShardId,
    sequence_number: SequenceNumber,
    sub_sequence_number: u64,
    wanted: &'static str,
    reason: String,
    line: usize,
    column: usize,
}

impl DecodeError {
    fn new<T>(record: &Record, shard: &ShardContext, error: &serde_json::Error) -> Self {
        DecodeError {
            shard: shard.shard_id().clone(),
            sequence_number: record.sequence_number.clone(),
            sub_sequence_number: record.sub_sequence_number,
            wanted: std::any::type_name::<T>(),
            reason: compressed(&record.data).map_or_else(|| reason(error), str::to_owned),
            line: error.line(),
            column: error.column(),
        }
    }

    /// Where the record stands.
    pub(crate) fn position(&self) -> Position {
        Position { sequence_number: self.sequence_number.clone(), sub_sequence_number: self.sub_sequence_number }
    }

    /// The shard of the record.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard
    }

    /// The record's number.
    #[must_use]
    pub fn sequence_number(&self) -> &SequenceNumber {
        &self.sequence_number
    }

    /// The index within an aggregated record; 0 for a record that stands alone.
    #[must_use]
    pub fn sub_sequence_number(&self) -> u64 {
        self.sub_sequence_number
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError { shard, sequence_number, sub_sequence_number, wanted, reason, line, column } = self;
        write!(f, "record {sequence_number}")?;
        if *sub_sequence_number > 0 {
            write!(f, " (part {sub_sequence_number})")?;
        }
        write!(f, " of shard {shard} does not read as JSON of type `{wanted}`: {reason} at line {line} column {column}")
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with a payload that begins as something else than JSON does: known by its first bytes.
fn compressed(payload: &[u8]) -> Option<&'static str> {
    match payload {
        [0x1f, 0x8b, ..] => Some(
            "it is compressed with gzip (as CloudWatch Logs sends its records), which the derive does not unpack: implement \
             `RecordProcessor` by hand and decompress the payload there; the first byte is",
        ),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(
            "it is compressed with zstd, which the derive does not unpack: implement `RecordProcessor` by hand and decompress \
             the payload there; the first byte is",
        ),
        [0xf3, 0x89, 0x9a, 0xc2, ..] => Some(
            "it is an aggregate of the Kinesis Producer Library that was not taken apart: see the settings `deaggregate` and \
             `corrupt_aggregates`; the first byte is",
        ),
        [0xef, 0xbb, 0xbf, ..] => {
            Some("it begins with a byte order mark, which JSON does not allow; the first byte is")
        }
        _ => None,
    }
}

/// The parser's reason without what it quotes from the payload.
fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "it ends too early".to_owned(),
        Category::Syntax => "a syntax error".to_owned(),
        Category::Io => "it could not be read".to_owned(),
        Category::Data => {
            let message = error.to_string();
            // Serde's own sentences. These two quote names of our type's fields; in the next three, what comes last is
            // the type's expectation. Everything else may quote the payload.
            if let Some(named) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
                format!("field `{named}` is missing")
            } else if let Some(named) =
                message.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next())
            {
                format!("field `{named}` comes twice")
            } else if ["invalid type: ", "invalid value: ", "invalid length "]
                .iter()
                .any(|own| message.starts_with(own))
                && let Some((_, expected)) = message.rsplit_once(", expected ")
            {
                let expected = expected.split(" at line ").next().unwrap_or(expected);
                format!("expected {expected}")
            } else {
                "it does not fit the type".to_owned()
            }
        }
    }
}

/// A handler's error, and the record that it failed at: it was done with those before.
#[derive(Debug)]
pub(super) struct FailedAt {
    pub(super) position: Position,
    error: BoxError,
}

impl fmt::Display for FailedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for FailedAt {
    /// The handler's own error: policies look for its type.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

/// What a derived processor returns when its handler fails at a record.
pub fn failed(meta: &RecordMeta, error: impl Into<BoxError>) -> BoxError {
    FailedAt { position: meta.record().position(), error: error.into() }.into()
}

/// The values of a batch, each with its record's metadata. Each is decoded when it is due, so that records before one that
/// cannot be decoded are handled: the error names that record, and those before it are done.
#[derive(Debug)]
pub struct Decoded<'batch, T> {
    records: std::iter::Enumerate<std::slice::Iter<'batch, Record>>,
    texts: Texts<'batch>,
    meta: RecordMeta,
    /// The bound on `T` is on [`decode`] alone, so that the compiler complains of a type once.
    read: fn(&'batch [u8], &Texts<'batch>) -> Result<T, serde_json::Error>,
}

impl<'batch, T> Decoded<'batch, T> {
    /// The next value, in the order of the records.
    ///
    /// # Errors
    /// Where the record does not read as a `T`.
    #[allow(clippy::should_implement_trait, reason = "lends its metadata, which an iterator cannot")]
    pub fn next(&mut self) -> Option<Result<(T, &RecordMeta), DecodeError>> {
        let (index, record) = self.records.next()?;
        self.meta.move_to(index);
        let value = (self.read)(&record.data, &self.texts);
        Some(match value {
            Ok(value) => Ok((value, &self.meta)),
            Err(error) => Err(DecodeError::new::<T>(record, self.meta.shard(), &error)),
        })
    }
}

/// Decodes the records of a batch, one after the other.
pub fn decode<'batch, T: Deserialize<'batch>>(
    batch: &'batch Batch,
    shard: &ShardContext,
    unescaped: &'batch Unescaped,
) -> Decoded<'batch, T> {
    let (records, meta) = (batch.iter().enumerate(), RecordMeta::first(batch, shard));
    Decoded { records, texts: unescaped.texts(), meta, read: borrowed::from_slice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;
    use crate::lease::LeaseKey;
    use crate::processor::{ClaimSnapshot, DeliveryGate, ShardDelivery};
    use crate::record::{StartingPosition, StreamRef};
    use std::sync::Arc;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Flight<'a> {
        carrier: &'a str,
        #[allow(dead_code, reason = "only its type matters")]
        delay: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    enum Class {
        #[allow(dead_code, reason = "there must be one")]
        Economy,
    }

    fn shard() -> ShardContext {
        let (reports, _) = tokio::sync::mpsc::unbounded_channel();
        let gate = DeliveryGate::new(Arc::new(TokioClock::new()));
        let (lease, shard) = (LeaseKey::new("shardId-000000000002"), ShardId::new("shardId-000000000002"));
        let delivery =
            ShardDelivery::new(ClaimSnapshot::of(lease, shard, 9, StartingPosition::TrimHorizon), gate, reports);
        ShardContext::new(delivery, StreamRef::from("flights"), 1)
    }

    fn batch(payloads: &[&'static str]) -> Batch {
        let record = |(index, data): (usize, &&'static str)| {
            let number = SequenceNumber::parse((4711 + index).to_string()).unwrap();
            Record::new(number, data.as_bytes()).with_partition_key(format!("key-{index}")).with_arrival_ms(1_000)
        };
        Batch::new(payloads.iter().enumerate().map(record).collect())
    }

    /// The error of a batch's first record that does not read as a `T`.
    fn error_of<T: for<'de> Deserialize<'de>>(batch: &Batch) -> DecodeError {
        let (unescaped, shard) = (Unescaped::default(), shard());
        let mut decoded = decode::<T>(batch, &shard, &unescaped);
        loop {
            if let Err(error) = decoded.next().unwrap() {
                return error;
            }
        }
    }

    fn refusal(payload: &'static str) -> String {
        let (batch, unescaped, shard) = (batch(&[r#"{"carrier":"UA"}"#, payload]), Unescaped::default(), shard());
        let mut decoded = decode::<Flight<'_>>(&batch, &shard, &unescaped);
        decoded.next().unwrap().unwrap();
        decoded.next().unwrap().unwrap_err().to_string()
    }

    #[test]
    fn a_payload_that_is_compressed_is_called_so() {
        let gzip = Record::new(SequenceNumber::parse("7").unwrap(), &[0x1f, 0x8b, 8, 0, 0][..]);
        let message = error_of::<u64>(&Batch::new(vec![gzip])).to_string();
        assert!(message.contains("compressed with gzip") && message.contains("by hand"), "{message}");
    }

    #[test]
    fn a_borrowed_field_may_have_escapes() {
        let (batch, unescaped) = (batch(&[r#"{"carrier":"U\"A","delay":7}"#]), Unescaped::default());
        let shard = shard();
        let mut decoded = decode::<Flight<'_>>(&batch, &shard, &unescaped);
        assert_eq!(decoded.next().unwrap().unwrap().0, Flight { carrier: "U\"A", delay: Some(7) });
    }

    #[test]
    fn values_come_in_order_each_with_its_own_metadata() {
        let batch = batch(&[r#"{"carrier":"UA","delay":2}"#, r#"{"carrier":"B6"}"#]);
        let (unescaped, shard) = (Unescaped::default(), shard());
        let mut decoded = decode::<Flight<'_>>(&batch, &shard, &unescaped);
        let (value, meta) = decoded.next().unwrap().unwrap();
        assert_eq!(value, Flight { carrier: "UA", delay: Some(2) });
        assert_eq!((meta.sequence_number().as_str(), meta.partition_key()), ("4711", Some("key-0")));
        let (value, meta) = decoded.next().unwrap().unwrap();
        assert_eq!(value, Flight { carrier: "B6", delay: None });
        assert_eq!((meta.sequence_number().as_str(), meta.partition_key()), ("4712", Some("key-1")));
        assert_eq!((meta.shard_id().as_str(), meta.fencing_token()), ("shardId-000000000002", 9));
        assert_eq!((meta.sub_sequence_number(), meta.record().arrived_at_ms), (0, 1_000));
        assert!(decoded.next().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_named_by_shard_number_and_place() {
        let message = refusal(r#"{"carrier":"UA""#);
        assert!(
            message.starts_with("record 4712 of shard shardId-000000000002 does not read as JSON of type"),
            "{message}"
        );
        assert!(message.ends_with("it ends too early at line 1 column 15"), "{message}");
    }

    #[test]
    fn the_reason_is_told_as_far_as_it_is_the_types_own() {
        assert!(refusal(r#"{"delay":2}"#).contains("field `carrier` is missing at line 1 column 11"));
        assert!(refusal(r#"{"carrier":"UA","delay":"x"}"#).contains("expected u32 at line 1 column 27"));
        assert!(refusal(r#"{"carrier":"UA","carrier":"B6"}"#).contains("field `carrier` comes twice"));
        assert!(refusal("flight").contains("a syntax error"));
    }

    #[test]
    fn no_message_quotes_the_payload() {
        for payload in [
            r#""secret, expected secret""#,
            r#"{"carrier":"UA","delay":"secret, expected secret"}"#,
            r#"{"carrier":"UA","delay":-5.5e99,"secret":1}"#,
            "secret",
            r#"{"secret"#,
            r#"["secret"]"#,
        ] {
            let message = refusal(payload);
            assert!(!message.contains("secret"), "{message}");
        }
        // A variant's unknown name comes from the payload.
        let message = error_of::<Class>(&batch(&[r#""secret""#])).to_string();
        assert!(message.contains("it does not fit the type") && !message.contains("secret"), "{message}");
    }
}
