//! Sequence numbers: decimal strings of up to 129 digits that compare as the numbers they write.

use std::cmp::Ordering;
use std::fmt;

/// A record's number. Kinesis gives 56 digits today and promises no more than order within a shard:
/// never compute with it, and never compare it across shards for time.
///
/// Kept as the text that Kinesis sent; two compare by length, then by digits, which is numeric order as neither has
/// leading zeros.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Box<str>);

/// The text was no sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no sequence number: expected up to 129 decimal digits without a leading zero")]
pub struct InvalidSequenceNumber(String);

impl SequenceNumber {
    /// Reads a sequence number.
    ///
    /// # Errors
    /// When `digits` is empty, longer than 129 characters, has a leading zero, or anything but decimal digits.
    pub fn parse(digits: impl Into<String>) -> Result<Self, InvalidSequenceNumber> {
        let digits = digits.into();
        let bytes = digits.as_bytes();
        let well_formed = matches!(bytes.len(), 1..=129)
            && bytes.iter().all(u8::is_ascii_digit)
            && (bytes[0] != b'0' || bytes.len() == 1);
        if well_formed { Ok(SequenceNumber(digits.into_boxed_str())) } else { Err(InvalidSequenceNumber(digits)) }
    }

    /// Takes the service's word for it: looking at the digits of every record is a cache miss each, and was a twentieth of
    /// the processor time of reading a backlog.
    #[cfg(feature = "aws")]
    pub(crate) fn trusted(digits: String) -> Self {
        SequenceNumber(digits.into_boxed_str())
    }

    /// The digits, as Kinesis writes them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        SequenceNumber::parse(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in ["", "01", "-1", "1e9", "TRIM_HORIZON", " 1", &"9".repeat(130)] {
            assert!(SequenceNumber::parse(bad).is_err(), "{bad}");
        }
        for good in ["0", "7", &"9".repeat(129)] {
            assert_eq!(SequenceNumber::parse(good).unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn order_is_numeric_order(a: u128, b: u128) {
            let (x, y) = (SequenceNumber::parse(a.to_string()).unwrap(), SequenceNumber::parse(b.to_string()).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}
