//! Defines sequence numbers: decimal strings of up to 129 digits that compare as numbers.

use super::text::Text;
use std::cmp::Ordering;
use std::fmt;

/// The sequence number of a record. Kinesis documents only that it increases within a shard (and
/// uses 56 digits at present), so do not compute with it, and do not compare numbers of different
/// shards.
///
/// Stored as the text that Kinesis sent. Numbers compare by length, then by digits, which is
/// numeric order because they have no leading zeros.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Text);

/// The text is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sequence number: expected 1 to 129 decimal digits without a leading zero")]
pub struct InvalidSequenceNumber(String);

impl SequenceNumber {
    /// Parses a sequence number.
    ///
    /// # Errors
    /// `digits` is empty, longer than 129 characters, has a leading zero, or contains anything but
    /// decimal digits.
    pub fn parse(digits: impl Into<String>) -> Result<Self, InvalidSequenceNumber> {
        let digits = digits.into();
        if is_well_formed(&digits) {
            Ok(SequenceNumber(Text::Own(digits)))
        } else {
            Err(InvalidSequenceNumber(crate::text::cut(&digits)))
        }
    }

    /// Whether this has the form of a sequence number. Numbers from the service are not checked
    /// when they are received ([`trusted`](Self::trusted)), but before they are stored.
    pub(crate) fn is_well_formed(&self) -> bool {
        is_well_formed(self.as_str())
    }

    /// A number from the service, without a check. Checking the digits costs a cache miss per
    /// record, which was 5 % of the CPU time of reading a backlog.
    #[cfg(feature = "aws")]
    pub(crate) fn trusted(digits: String) -> Self {
        SequenceNumber(Text::Own(digits))
    }

    /// When this number's shard was created, in seconds since the Unix epoch. Distinguishes a
    /// stream from one that was deleted and created again under the same name.
    ///
    /// Kinesis does not document the layout of its numbers, so this is computed only for numbers
    /// that match the known layout in all redundant bits, and is `None` for any other. A number of
    /// 186 bits (version 2 in KCL's `SequenceNumberValidator`) has
    /// - 2 in its highest and in its lowest four bits;
    /// - the time in bits 148 to 183;
    /// - the shard's number in bits 4 to 35, and its lowest four bits again in bits 144 to 147.
    pub(crate) fn shard_created_second(&self) -> Option<u64> {
        let [low, _, high] = self.limbs()?;
        let is_version_2 = high >> 56 == 2 && low & 0xf == 2;
        let names_shard_twice = high >> 16 & 0xf == low >> 4 & 0xf;
        (is_version_2 && names_shard_twice).then_some(high >> 20 & 0xf_ffff_ffff)
    }

    /// The number with these 64-bit limbs, the lowest first.
    pub(crate) fn from_limbs(limbs: [u64; 3]) -> Self {
        // Converts 18 digits at a time.
        const GROUP: u128 = 1_000_000_000_000_000_000;
        let (mut rest, mut groups) = (limbs, Vec::new());
        while rest != [0; 3] {
            let mut remainder = 0_u128;
            for limb in rest.iter_mut().rev() {
                let number = remainder << 64 | u128::from(*limb);
                // Both fit, because the remainder is less than GROUP.
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

    /// The number as 64-bit limbs, the lowest first. `None` if it needs more than three.
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

    /// The same number, cheap to clone.
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
    fn malformed_numbers_are_refused() {
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
    fn a_number_of_the_known_layout_contains_the_creation_time_of_its_shard() {
        // 2 05bf4e5c2 6 0000000067648a17 00 05c181eea 00000006 2
        assert_eq!(created("49590338271490256608559692538361571095921575989136588898"), Some(0x5bf4_e5c2));
        // 2 054b6fffe 0 0000000000000000 00 054b6fffe 00000000 2
        assert_eq!(created("49546986683135544286507457935754639466300920667981217794"), Some(0x54b6_fffe));
    }

    #[test]
    fn a_number_of_another_layout_has_no_creation_time() {
        let other_shard_at_the_top = "49590338271490256608559692538361571095921575989136588914";
        for other in
            ["0", "7", other_shard_at_the_top, &"9".repeat(56), &"9".repeat(129), &format!("1{}", "0".repeat(58))]
        {
            assert_eq!(created(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn limbs_convert_to_a_number_and_back(limbs: [u64; 3]) {
            prop_assert_eq!(SequenceNumber::from_limbs(limbs).limbs(), Some(limbs));
        }

        #[test]
        fn the_creation_time_of_any_number_is_in_range(digits in "[1-9][0-9]{0,128}") {
            prop_assert!(created(&digits).is_none_or(|second| second < 1 << 36));
        }

        #[test]
        fn order_is_numeric_order(a: u128, b: u128) {
            let (x, y) = (SequenceNumber::parse(a.to_string()).unwrap(), SequenceNumber::parse(b.to_string()).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}
