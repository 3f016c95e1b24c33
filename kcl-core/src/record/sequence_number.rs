//! Sequence numbers: decimal strings of up to 129 digits that compare as the numbers they write.

use super::text::Text;
use std::cmp::Ordering;
use std::fmt;

/// A record's number. Kinesis yields 56 digits today and promises no more than order within a shard:
/// never compute with it, and never compare it across shards for time.
///
/// Kept as the text that Kinesis sent; two compare by length, then by digits, which is numeric order as neither has
/// leading zeros.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Text);

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
        if is_well_formed(&digits) {
            Ok(SequenceNumber(Text::Own(digits)))
        } else {
            Err(InvalidSequenceNumber(crate::telemetry::cut(&digits)))
        }
    }

    /// Whether this is one: numbers of the service are taken as they come ([`trusted`](Self::trusted)), and looked at before
    /// they are written down.
    pub(crate) fn is_well_formed(&self) -> bool {
        is_well_formed(self.as_str())
    }

    /// Takes the service's word for it: looking at the digits of every record is a cache miss each, and was a twentieth of
    /// the processor time of reading a backlog.
    #[cfg(feature = "aws")]
    pub(crate) fn trusted(digits: String) -> Self {
        SequenceNumber(Text::Own(digits))
    }

    /// When the shard that this number belongs to was created, in seconds since the Unix epoch. It tells a stream from one
    /// that was deleted and made again under its name.
    ///
    /// Kinesis does not document what its numbers are made of, so this is a guess that is only made where it is plain:
    /// a number of 186 bits (KCL's `SequenceNumberValidator` calls that version 2) has 2 in its highest and lowest four
    /// bits, the time in bits 148 to 183, and the shard's number in bits 4 to 35, whose last four stand in bits 144 to 147
    /// again. `None` for any other.
    pub(crate) fn shard_created_second(&self) -> Option<u64> {
        let [low, _, high] = self.limbs()?;
        let is_version_2 = high >> 56 == 2 && low & 0xf == 2;
        let names_shard_twice = high >> 16 & 0xf == low >> 4 & 0xf;
        (is_version_2 && names_shard_twice).then_some(high >> 20 & 0xf_ffff_ffff)
    }

    /// The number that these units of 64 bits make, the lowest first.
    pub(crate) fn from_limbs(limbs: [u64; 3]) -> Self {
        // Eighteen digits at a time.
        const GROUP: u128 = 1_000_000_000_000_000_000;
        let (mut rest, mut groups) = (limbs, Vec::new());
        while rest != [0; 3] {
            let mut remainder = 0_u128;
            for limb in rest.iter_mut().rev() {
                let number = remainder << 64 | u128::from(*limb);
                // Both fit: the remainder was less than the group.
                (*limb, remainder) = ((number / GROUP) as u64, number % GROUP);
            }
            groups.push(remainder);
        }
        let mut digits = groups.pop().unwrap_or(0).to_string();
        for group in groups.into_iter().rev() {
            digits.push_str(&format!("{group:018}"));
        }
        SequenceNumber(Text::Own(digits))
    }

    /// The number in units of 64 bits, the lowest first, if it has no more than three of them.
    pub(crate) fn limbs(&self) -> Option<[u64; 3]> {
        let mut limbs = [0_u64; 3];
        for digit in self.as_str().bytes() {
            let mut carry = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            for limb in &mut limbs {
                (*limb, carry) = limb.carrying_mul(10, carry);
            }
            if carry > 0 {
                return None;
            }
        }
        Some(limbs)
    }

    /// The digits, as Kinesis writes them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same, cheap to clone.
    pub(crate) fn shared(&self) -> Self {
        SequenceNumber(self.0.shared())
    }
}

fn is_well_formed(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    matches!(bytes.len(), 1..=129)
        && bytes.iter().all(u8::is_ascii_digit)
        && (bytes.len() == 1 || !bytes.starts_with(b"0"))
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, other) = (self.as_str(), other.as_str());
        own.len().cmp(&other.len()).then_with(|| own.cmp(other))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

    fn created(digits: &str) -> Option<u64> {
        SequenceNumber::parse(digits).unwrap().shard_created_second()
    }

    #[test]
    fn a_number_of_today_tells_when_its_shard_was_created() {
        // 2 05bf4e5c2 6 0000000067648a17 00 05c181eea 00000006 2
        assert_eq!(created("49590338271490256608559692538361571095921575989136588898"), Some(0x5bf4_e5c2));
        // 2 054b6fffe 0 0000000000000000 00 054b6fffe 00000000 2
        assert_eq!(created("49546986683135544286507457935754639466300920667981217794"), Some(0x54b6_fffe));
    }

    #[test]
    fn a_number_of_another_layout_tells_nothing() {
        let other_shard_at_the_top = "49590338271490256608559692538361571095921575989136588914";
        for other in
            ["0", "7", other_shard_at_the_top, &"9".repeat(56), &"9".repeat(129), &format!("1{}", "0".repeat(58))]
        {
            assert_eq!(created(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_number_of_three_units_is_itself_again(limbs: [u64; 3]) {
            prop_assert_eq!(SequenceNumber::from_limbs(limbs).limbs(), Some(limbs));
        }

        #[test]
        fn any_number_can_be_asked_for_its_shards_creation(digits in "[1-9][0-9]{0,128}") {
            prop_assert!(created(&digits).is_none_or(|second| second < 1 << 36));
        }

        #[test]
        fn order_is_numeric_order(a: u128, b: u128) {
            let (x, y) = (SequenceNumber::parse(a.to_string()).unwrap(), SequenceNumber::parse(b.to_string()).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}
