//! Decodes a batch of JSON records for a typed handler. The code that `#[derive(RecordProcessor)]` writes calls this.

use super::{Batch, BoxError, RecordMeta, ShardContext};
use crate::record::{Position, Record, SequenceNumber, ShardId};
use serde::Deserialize;
use serde_json::error::Category;
use std::fmt;

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
            reason: reason(error),
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

/// The values of a batch, each with its record's metadata.
#[derive(Debug)]
pub struct Decoded<T> {
    values: std::iter::Enumerate<std::vec::IntoIter<T>>,
    meta: RecordMeta,
}

impl<T> Decoded<T> {
    /// The next value, in the order of the records.
    #[allow(clippy::should_implement_trait, reason = "lends its metadata, which an iterator cannot")]
    pub fn next(&mut self) -> Option<(T, &RecordMeta)> {
        let (index, value) = self.values.next()?;
        self.meta.move_to(index);
        Some((value, &self.meta))
    }
}

/// Decodes all records of a batch before the first is handled: a record that cannot be read must not make the
/// handler see those before it again with each retry of the batch.
///
/// # Errors
/// For the first record that does not read as a `T`.
pub fn decode<'batch, T: Deserialize<'batch>>(
    batch: &'batch Batch,
    shard: &ShardContext,
) -> Result<Decoded<T>, DecodeError> {
    let decode = |record: &'batch Record| {
        serde_json::from_slice(&record.data).map_err(|error| DecodeError::new::<T>(record, shard, &error))
    };
    let values: Vec<T> = batch.iter().map(decode).collect::<Result<_, _>>()?;
    Ok(Decoded { values: values.into_iter().enumerate(), meta: RecordMeta::first(batch, shard) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;
    use crate::lease::LeaseKey;
    use crate::processor::{Delivery, Gate, Hold};
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
        let gate = Gate::new(Arc::new(TokioClock::new()));
        let (lease, shard) = (LeaseKey::new("shardId-000000000002"), ShardId::new("shardId-000000000002"));
        let delivery = Delivery::new(Hold::of(lease, shard, 9, StartingPosition::TrimHorizon), gate, reports);
        ShardContext::new(delivery, StreamRef::from("flights"), 1)
    }

    fn batch(payloads: &[&'static str]) -> Batch {
        let record = |(index, data): (usize, &&'static str)| {
            let number = SequenceNumber::parse((4711 + index).to_string()).unwrap();
            Record::new(number, data.as_bytes()).with_partition_key(format!("key-{index}")).with_arrival_ms(1_000)
        };
        Batch::new(payloads.iter().enumerate().map(record).collect(), None)
    }

    fn refusal(payload: &'static str) -> String {
        decode::<Flight<'_>>(&batch(&[r#"{"carrier":"UA"}"#, payload]), &shard()).unwrap_err().to_string()
    }

    #[test]
    fn values_come_in_order_each_with_its_own_metadata() {
        let batch = batch(&[r#"{"carrier":"UA","delay":2}"#, r#"{"carrier":"B6"}"#]);
        let mut decoded = decode::<Flight<'_>>(&batch, &shard()).unwrap();
        let (value, meta) = decoded.next().unwrap();
        assert_eq!(value, Flight { carrier: "UA", delay: Some(2) });
        assert_eq!((meta.sequence_number().as_str(), meta.partition_key()), ("4711", Some("key-0")));
        let (value, meta) = decoded.next().unwrap();
        assert_eq!(value, Flight { carrier: "B6", delay: None });
        assert_eq!((meta.sequence_number().as_str(), meta.partition_key()), ("4712", Some("key-1")));
        assert_eq!((meta.shard_id().as_str(), meta.fencing_token()), ("shardId-000000000002", 9));
        assert_eq!((meta.sub_sequence_number(), meta.arrived_at_ms()), (0, 1_000));
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
        let message = decode::<Class>(&batch(&[r#""secret""#]), &shard()).unwrap_err().to_string();
        assert!(message.contains("it does not fit the type") && !message.contains("secret"), "{message}");
    }
}
