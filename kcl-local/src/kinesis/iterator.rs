//! Shard iterators: a position in a shard, valid for a limited time.

use super::model::{ApiError, ErrorCode};
use super::token::{Reader, Writer};
use super::{EngineConfig, EngineTime, SequenceNumber, ShardId};

const KIND: u8 = b'i';
const AT: u8 = 0;
const AFTER: u8 = 1;

/// A position between two records of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Before the record with this number, or before the next record if no record has it.
    At(SequenceNumber),
    /// After the record with this number.
    After(SequenceNumber),
}

impl Position {
    /// The number such that all records from this position on are after it.
    pub(crate) fn floor(self) -> SequenceNumber {
        match self {
            Self::At(sequence) => sequence.predecessor(),
            Self::After(sequence) => sequence,
        }
    }
}

/// The content of an iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    /// Identifies the stream among streams of the same name that were deleted and created again.
    pub(crate) incarnation: u64,
    pub(crate) stream: String,
    pub(crate) shard: ShardId,
    pub(crate) position: Position,
    /// Number of empty answers since the last answer with records.
    pub(crate) empty_answers: u8,
    pub(crate) issued: EngineTime,
    /// Makes two iterators of the same position and time different, as with AWS.
    pub(crate) serial: u64,
}

impl ShardIterator {
    pub(crate) fn encode(&self) -> String {
        let (kind, sequence) = match self.position {
            Position::At(sequence) => (AT, sequence),
            Position::After(sequence) => (AFTER, sequence),
        };
        Writer::new(KIND)
            .number(self.serial)
            .number(self.incarnation)
            .shard(self.shard)
            .byte(kind)
            .sequence(sequence)
            .byte(self.empty_answers)
            .time(self.issued)
            .finish(&self.stream)
    }

    fn decode(token: &str) -> Option<Self> {
        let mut reader = Reader::new(KIND, token)?;
        let (serial, incarnation, shard) = (reader.number()?, reader.number()?, reader.shard()?);
        let (kind, sequence) = (reader.byte()?, reader.sequence()?);
        let position = match kind {
            AT => Position::At(sequence),
            AFTER => Position::After(sequence),
            _ => return None,
        };
        let (empty_answers, issued) = (reader.byte()?, reader.time()?);
        Some(Self { incarnation, stream: reader.rest()?, shard, position, empty_answers, issued, serial })
    }

    /// Decodes an iterator that a client sent at `now`.
    ///
    /// # Errors
    /// Invalid argument if it is not an iterator; expired if it is older than its lifetime.
    pub(crate) fn open(token: &str, now: EngineTime, config: &EngineConfig) -> Result<Self, ApiError> {
        let iterator = Self::decode(token).ok_or_else(|| ApiError::invalid_argument("Invalid ShardIterator."))?;
        if now > iterator.issued.plus(config.iterator_life) {
            return Err(ApiError::new(
                ErrorCode::ExpiredIterator,
                format!(
                    "Iterator expired. The iterator was created at time {} while right now it is {now} which is further in the future than \
                     the tolerated delay of {} milliseconds.",
                    iterator.issued,
                    config.iterator_life.as_millis()
                ),
            ));
        }
        Ok(iterator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iterator(position: Position) -> ShardIterator {
        ShardIterator {
            incarnation: u64::MAX,
            stream: "s".repeat(128),
            shard: ShardId::new(i32::MAX.cast_unsigned()),
            position,
            empty_answers: 3,
            issued: EngineTime::from_millis(1_421_889_722_000),
            serial: 9,
        }
    }

    fn sequence() -> SequenceNumber {
        SequenceNumber::new(1_421_889_000, ShardId::new(7), 5, 1_421_889_001)
    }

    #[test]
    fn an_iterator_is_decoded_again_and_fits_512_characters() {
        for position in [Position::At(sequence()), Position::After(sequence())] {
            let token = iterator(position).encode();
            assert!(token.len() <= 512);
            assert_eq!(ShardIterator::decode(&token), Some(iterator(position)));
        }
    }

    #[test]
    fn an_iterator_expires_after_its_lifetime() {
        let (token, config) = (iterator(Position::At(sequence())).encode(), EngineConfig::in_process());
        let at = |seconds: i64| EngineTime::from_millis(1_421_889_722_000 + seconds * 1000);
        assert!(ShardIterator::open(&token, at(300), &config).is_ok());
        let error = ShardIterator::open(&token, at(301), &config).unwrap_err();
        assert_eq!(error.code, ErrorCode::ExpiredIterator);
        assert!(error.message.contains(
            "created at time Thu Jan 22 01:22:02 UTC 2015 while right now it is Thu Jan 22 01:27:03 UTC 2015"
        ));
    }

    #[test]
    fn other_text_is_an_invalid_argument() {
        let good = iterator(Position::At(sequence())).encode();
        let mut cut = good.clone();
        cut.truncate(good.len() - 4);
        let flipped = good.replacen('A', "B", 1);
        for token in ["", "garbage", "AAAA", "AAAAAAAA", cut.as_str(), flipped.as_str()] {
            let error =
                ShardIterator::open(token, EngineTime::from_millis(0), &EngineConfig::in_process()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{token}");
        }
    }
}
