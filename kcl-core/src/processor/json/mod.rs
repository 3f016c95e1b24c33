//! Decodes a batch of JSON records for a typed handler. Code that `#[derive(RecordProcessor)]`
//! generates calls this.

use super::{Batch, BoxError, RecordMeta, ShardContext};
use crate::record::{Position, Record, SequenceNumber, ShardId};
use serde::Deserialize;
use serde_json::error::Category;
use std::fmt;

mod borrowed;

use borrowed::Texts;
pub use borrowed::Unescaped;

/// The error of a derived processor for a record that is not JSON, or is JSON that does not fit the
/// handler's type.
///
/// Names the record, and the line and column in its payload. Never quotes the payload, which does
/// not belong in logs. Use it with [`OnError::when`](crate::OnError::when): retrying does not help.
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

    /// The record's position.
    pub(crate) fn position(&self) -> Position {
        Position { sequence_number: self.sequence_number.clone(), sub_sequence_number: self.sub_sequence_number }
    }

    /// The record's shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.shard
    }

    /// The record's sequence number.
    #[must_use]
    pub fn sequence_number(&self) -> &SequenceNumber {
        &self.sequence_number
    }

    /// The index within an aggregated record; 0 for a record that is not aggregated.
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
        write!(f, " of shard {shard} does not decode from JSON as `{wanted}`: {reason} at line {line} column {column}")
    }
}

impl std::error::Error for DecodeError {}

/// The reason why a payload is not JSON, if its first bytes show a known other format.
fn compressed(payload: &[u8]) -> Option<&'static str> {
    match payload {
        [0x1f, 0x8b, ..] => Some(
            "it is compressed with gzip (as CloudWatch Logs sends its records), which the derive does not decompress: implement \
             `RecordProcessor` by hand and decompress the payload there; the first byte is",
        ),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(
            "it is compressed with zstd, which the derive does not decompress: implement `RecordProcessor` by hand and decompress \
             the payload there; the first byte is",
        ),
        [0xf3, 0x89, 0x9a, 0xc2, ..] => Some(
            "it is an aggregate of the Kinesis Producer Library that was not de-aggregated: see the settings `deaggregate` and \
             `corrupt_aggregates`; the first byte is",
        ),
        [0xef, 0xbb, 0xbf, ..] => {
            Some("it begins with a byte order mark, which JSON does not allow; the first byte is")
        }
        _ => None,
    }
}

/// The parser's reason, without anything that it quotes from the payload.
fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "it ends too early".to_owned(),
        Category::Syntax => "a syntax error".to_owned(),
        Category::Io => "it could not be read".to_owned(),
        Category::Data => {
            let message = error.to_string();
            // These are serde's own sentences. The first two quote names of the type's fields; the
            // next three end with what the type expects. Every other message may quote the payload,
            // so it is not used.
            if let Some(named) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
                format!("field `{named}` is missing")
            } else if let Some(named) =
                message.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next())
            {
                format!("field `{named}` occurs twice")
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

/// A derived processor's error: the handler's own error, with the position of the record at which
/// it failed. The records before it are done.
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
    /// The handler's own error, so that a policy finds its type (`OnError::when`).
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error.as_ref())
    }
}

/// The error that a derived processor returns if its handler fails at a record.
pub fn failed(meta: &RecordMeta, error: impl Into<BoxError>) -> BoxError {
    FailedAt { position: meta.record().position(), error: error.into() }.into()
}

/// The decoded values of a batch, each with its record's metadata. Each is decoded only when it is
/// requested, so that the records before one that does not decode are handled.
#[derive(Debug)]
pub struct Decoded<'batch, T> {
    records: std::iter::Enumerate<std::slice::Iter<'batch, Record>>,
    texts: Texts<'batch>,
    meta: RecordMeta,
    /// A function pointer, so that only [`decode`] needs the bound on `T`, and the compiler reports
    /// a wrong type once.
    read: fn(&'batch [u8], &Texts<'batch>) -> Result<T, serde_json::Error>,
}

impl<'batch, T> Decoded<'batch, T> {
    /// The next value, in the order of the records.
    ///
    /// # Errors
    /// The record does not decode as a `T`.
    #[allow(clippy::should_implement_trait, reason = "the metadata is borrowed from self, which an iterator cannot do")]
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

/// Decodes the records of a batch one by one.
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

    /// The error of a batch's first record that does not decode as a `T`.
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
    fn the_error_names_a_compressed_payload() {
        let gzip = Record::new(SequenceNumber::parse("7").unwrap(), &[0x1f, 0x8b, 8, 0, 0][..]);
        let message = error_of::<u64>(&Batch::new(vec![gzip])).to_string();
        assert!(message.contains("compressed with gzip") && message.contains("by hand"), "{message}");
    }

    #[test]
    fn a_borrowed_field_may_contain_escapes() {
        let (batch, unescaped) = (batch(&[r#"{"carrier":"U\"A","delay":7}"#]), Unescaped::default());
        let shard = shard();
        let mut decoded = decode::<Flight<'_>>(&batch, &shard, &unescaped);
        assert_eq!(decoded.next().unwrap().unwrap().0, Flight { carrier: "U\"A", delay: Some(7) });
    }

    #[test]
    fn values_are_returned_in_order_each_with_its_own_metadata() {
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
    fn the_error_names_shard_sequence_number_and_place() {
        let message = refusal(r#"{"carrier":"UA""#);
        assert!(
            message.starts_with("record 4712 of shard shardId-000000000002 does not decode from JSON as"),
            "{message}"
        );
        assert!(message.ends_with("it ends too early at line 1 column 15"), "{message}");
    }

    #[test]
    fn the_reason_names_the_types_own_fields_and_expectations() {
        assert!(refusal(r#"{"delay":2}"#).contains("field `carrier` is missing at line 1 column 11"));
        assert!(refusal(r#"{"carrier":"UA","delay":"x"}"#).contains("expected u32 at line 1 column 27"));
        assert!(refusal(r#"{"carrier":"UA","carrier":"B6"}"#).contains("field `carrier` occurs twice"));
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
        // The name of an unknown variant comes from the payload.
        let message = error_of::<Class>(&batch(&[r#""secret""#])).to_string();
        assert!(message.contains("it does not fit the type") && !message.contains("secret"), "{message}");
    }
}
