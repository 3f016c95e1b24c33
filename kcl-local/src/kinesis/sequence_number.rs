//! Sequence numbers of Kinesis' version 2: 186 bits, 56 decimal digits, in the order of writing.
//!
//! | hex digits | field |
//! |--:|---|
//! | 1 | constant 2, the version |
//! | 9 | creation time of the shard, epoch seconds |
//! | 1 | low four bits of the shard number |
//! | 16 | index, grows with each record; its top bit is never set |
//! | 2 | unknown, 0; 1 in the continuation numbers of subscriptions, which no record has |
//! | 9 | time of this number, epoch seconds |
//! | 8 | shard number |
//! | 1 | constant 2 |

use std::fmt;

use serde::ser::{Serialize, Serializer};

use super::ShardId;

/// A sequence number. Displays in decimal; orders by value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber {
    /// Bits 128 to 191.
    high: u64,
    /// Bits 0 to 127.
    low: u128,
}

const VERSION: u64 = 2;
const SECONDS_MASK: u64 = (1 << 36) - 1;
/// The bit of continuation numbers, in the unknown byte: it is above the time and below the index,
/// so that a continuation number is after its record and before the next one.
const CONTINUATION: u128 = 1 << 72;

impl SequenceNumber {
    /// The index of a shard's ending number: above that of every record.
    pub(crate) const LAST_INDEX: u64 = 0x7fff_ffff_ffff_ffff;

    pub(crate) fn new(created: i64, shard: ShardId, index: u64, time: i64) -> Self {
        let created = created.cast_unsigned() & SECONDS_MASK;
        let time = time.cast_unsigned() & SECONDS_MASK;
        let number = shard.number();
        Self {
            high: VERSION << 56 | created << 20 | u64::from(number & 0xf) << 16 | index >> 48,
            low: u128::from(index) << 80 | u128::from(time) << 36 | u128::from(number) << 4 | u128::from(VERSION),
        }
    }

    /// The starting sequence number of a shard; no record has it.
    pub(crate) fn starting(created: i64, shard: ShardId) -> Self {
        Self::new(created, shard, 0, created)
    }

    /// The ending sequence number of a shard: greater than the number of every record.
    pub(crate) fn ending(created: i64, shard: ShardId, closed: i64) -> Self {
        Self::new(created, shard, Self::LAST_INDEX, closed)
    }

    /// A number after this one and before every later record of the shard: the position at which a
    /// subscription resumes. AT and AFTER mean the same, because no record has the number.
    pub(crate) fn continuation(self, time: i64) -> Self {
        let time = time.max(self.seconds()).cast_unsigned() & SECONDS_MASK;
        let low = self.low & !(u128::from(SECONDS_MASK) << 36) | CONTINUATION | u128::from(time) << 36;
        Self { low, ..self }
    }

    /// The greatest number for which "after that number" means the same as "at this number".
    pub(crate) fn predecessor(self) -> Self {
        if self.low & CONTINUATION != 0 || self.index() == 0 {
            return self; // No record has this number.
        }
        Self::new(self.shard_created(), self.shard_id(), self.index() - 1, SECONDS_MASK.cast_signed()).continuation(0)
    }

    /// Parses decimal text. `None` if it is not a number with this structure.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let (mut high, mut low) = (0_u64, 0_u128);
        for byte in text.bytes() {
            let digit = char::from(byte).to_digit(10)?;
            // (high, low) * 10 + digit, in three limbs.
            let bottom = (low & u128::from(u64::MAX)) * 10 + u128::from(digit);
            let middle = (low >> 64) * 10 + (bottom >> 64);
            let top = u128::from(high) * 10 + (middle >> 64);
            high = u64::try_from(top).ok()?;
            low = middle << 64 | bottom & u128::from(u64::MAX);
        }
        let number = Self { high, low };
        number.is_well_formed().then_some(number)
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.high.to_be_bytes());
        bytes[8..].copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    pub(crate) fn from_be_bytes(bytes: [u8; 24]) -> Self {
        let (high, low) = bytes.split_at(8);
        let fold = |bytes: &[u8]| bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        Self { high: fold(high) as u64, low: fold(low) }
    }

    fn is_well_formed(self) -> bool {
        let nibble = self.high >> 16 & 0xf;
        self.high >> 56 == VERSION
            && self.low & 0xf == u128::from(VERSION)
            && nibble == u64::from(self.shard_id().number() & 0xf)
            && self.index() <= Self::LAST_INDEX
    }

    /// The shard this number belongs to.
    #[must_use]
    pub fn shard_id(self) -> ShardId {
        ShardId::new((self.low >> 4) as u32)
    }

    /// The time of this number, epoch seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        (((self.low >> 36) as u64) & SECONDS_MASK).cast_signed()
    }

    /// The creation time of the shard, epoch seconds.
    pub(crate) fn shard_created(self) -> i64 {
        (self.high >> 20 & SECONDS_MASK).cast_signed()
    }

    pub(crate) fn index(self) -> u64 {
        let low = (self.low >> 80) as u64;
        (self.high & 0xffff) << 48 | low
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Three groups of 19 digits, the largest power of ten in 64 bits.
        const GROUP: u128 = 10_u128.pow(19);
        let mut limbs = [u128::from(self.high), self.low >> 64, self.low & u128::from(u64::MAX)];
        let mut groups = [0_u128; 4];
        for group in groups.iter_mut().rev() {
            let mut rest = 0;
            for limb in &mut limbs {
                let value = rest << 64 | *limb;
                (*limb, rest) = (value / GROUP, value % GROUP);
            }
            *group = rest;
        }
        let [first, rest @ ..] = groups;
        let mut started = first > 0;
        if started {
            write!(f, "{first}")?;
        }
        for group in rest {
            match (started, group) {
                (false, 0) => {}
                (false, group) => write!(f, "{group}")?,
                (true, group) => write!(f, "{group:019}")?,
            }
            started |= group > 0;
        }
        Ok(())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SequenceNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from_hex(digits: &str) -> SequenceNumber {
        let digits = digits.replace(' ', "");
        let (high, low) = digits.split_at(digits.len() - 32);
        SequenceNumber { high: u64::from_str_radix(high, 16).unwrap(), low: u128::from_str_radix(low, 16).unwrap() }
    }

    #[test]
    fn the_numbers_of_a_split_are_those_of_aws() {
        let (parent, child) = (ShardId::new(0), ShardId::new(1));
        let (created, closed) = (0x5772_2a78, 0x5772_2a90);
        assert_eq!(
            SequenceNumber::starting(created, parent),
            from_hex("2 057722a78 0 0000000000000000 00 057722a78 00000000 2")
        );
        assert_eq!(
            SequenceNumber::ending(created, parent, closed),
            from_hex("2 057722a78 0 7fffffffffffffff 00 057722a90 00000000 2")
        );
        assert_eq!(
            SequenceNumber::starting(closed + 1, child),
            from_hex("2 057722a91 1 0000000000000000 00 057722a91 00000001 2")
        );
    }

    #[test]
    fn the_text_of_a_known_number_is_decimal_of_56_digits() {
        // From the example event in AWS Lambda's documentation, of shardId-000000000006.
        let text = "49590338271490256608559692538361571095921575989136588898";
        let number = SequenceNumber::parse(text).unwrap();
        assert_eq!(number.to_string(), text);
        assert_eq!(number.shard_id(), ShardId::new(6));
    }

    #[test]
    fn text_without_this_structure_is_refused() {
        for text in ["", "0", "1", "abc", "-5", "9".repeat(129).as_str(), "9".repeat(56).as_str()] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
        let top_bit = SequenceNumber::new(1_700_000_000, ShardId::new(0), 1 << 63, 1_700_000_000);
        assert_eq!(SequenceNumber::parse(&top_bit.to_string()), None);
    }

    fn seconds() -> impl Strategy<Value = i64> {
        0..4_000_000_000_i64
    }

    proptest! {
        #[test]
        fn fields_and_text_are_read_back(created in seconds(), time in seconds(), shard in 0..i32::MAX.cast_unsigned(), index in 0..=SequenceNumber::LAST_INDEX) {
            let number = SequenceNumber::new(created, ShardId::new(shard), index, time);
            prop_assert_eq!(SequenceNumber::parse(&number.to_string()), Some(number));
            prop_assert_eq!((number.shard_created(), number.shard_id(), number.index(), number.seconds()), (created, ShardId::new(shard), index, time));
            prop_assert_eq!(number.to_string().len(), 56);
        }

        #[test]
        fn a_continuation_is_between_a_record_and_the_next_for_any_clock(created in seconds(), times in [seconds(), seconds(), seconds()], shard in 0..100_u32, index in 1..SequenceNumber::LAST_INDEX - 1) {
            let number = |index, time| SequenceNumber::new(created, ShardId::new(shard), index, time);
            let (record, next) = (number(index, times[0]), number(index + 1, times[1]));
            let continuation = record.continuation(times[2]);
            prop_assert!(record < continuation && continuation < next);
            prop_assert!(continuation <= continuation.continuation(times[2] + 1), "a later continuation is not smaller");
            prop_assert_eq!(SequenceNumber::parse(&continuation.to_string()), Some(continuation));
            prop_assert!(record.predecessor() < record && number(index - 1, times[1]) < record.predecessor());
            prop_assert_eq!(continuation.predecessor(), continuation);
        }

        #[test]
        fn a_later_index_is_greater_for_any_clock(created in seconds(), t1 in seconds(), t2 in seconds(), shard in 0..100_u32, index in 0..SequenceNumber::LAST_INDEX - 1) {
            let shard = ShardId::new(shard);
            let earlier = SequenceNumber::new(created, shard, index, t1);
            prop_assert!(SequenceNumber::starting(created, shard) <= earlier || index == 0);
            prop_assert!(earlier < SequenceNumber::new(created, shard, index + 1, t2));
            prop_assert!(earlier < SequenceNumber::ending(created, shard, t2));
        }

        #[test]
        fn every_number_of_a_shard_created_later_is_greater(created in seconds(), later in 1..1000_i64, a in 0..100_u32, b in 0..100_u32, index in 0..=SequenceNumber::LAST_INDEX, time in seconds()) {
            let end = SequenceNumber::new(created, ShardId::new(a), index, time);
            prop_assert!(end < SequenceNumber::starting(created + later, ShardId::new(b)));
        }
    }
}
