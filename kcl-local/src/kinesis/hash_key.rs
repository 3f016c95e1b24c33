//! The hash key space from 0 to 2^128-1: hash keys of partition keys, and ranges.

use std::fmt;

use md5::{Digest as _, Md5};
use serde::Serialize;
use serde::ser::Serializer;

/// A hash key. Displays in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The lowest hash key.
    pub const MIN: Self = Self(0);
    /// The highest hash key, 2^128-1.
    pub const MAX: Self = Self(u128::MAX);

    /// The hash key of a partition key: the MD5 of its UTF-8 bytes as a big-endian number.
    #[must_use]
    pub fn of(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into()))
    }

    /// Parses decimal text. `None` if it is not a number below 2^128.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for HashKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A range of hash keys, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HashKeyRange {
    /// The first hash key.
    pub starting_hash_key: HashKey,
    /// The last hash key.
    pub ending_hash_key: HashKey,
}

impl HashKeyRange {
    /// The whole hash key space.
    pub const ALL: Self = Self { starting_hash_key: HashKey::MIN, ending_hash_key: HashKey::MAX };

    /// The range from `start` to `end`, both included.
    #[must_use]
    pub const fn new(start: HashKey, end: HashKey) -> Self {
        Self { starting_hash_key: start, ending_hash_key: end }
    }

    /// Whether `key` is in this range.
    #[must_use]
    pub fn contains(self, key: HashKey) -> bool {
        self.starting_hash_key <= key && key <= self.ending_hash_key
    }

    /// Whether `upper` begins where this range ends.
    #[must_use]
    pub fn is_followed_by(self, upper: Self) -> bool {
        self.ending_hash_key.0.checked_add(1) == Some(upper.starting_hash_key.0)
    }

    /// `count` ranges of the same width that cover the hash key space, as `CreateStream` makes
    /// them. The last range also has the remainder of the division.
    #[must_use]
    pub fn tiles(count: u32) -> Vec<Self> {
        // floor(2^128 / count), computed with 128 bits.
        let count = u128::from(count.max(1));
        let width = if count == 1 { 0 } else { u128::MAX / count + u128::from(u128::MAX % count == count - 1) };
        (0..count)
            .map(|tile| {
                let end = if tile + 1 == count { u128::MAX } else { (tile + 1) * width - 1 };
                Self::new(HashKey(tile * width), HashKey(end))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_key_is_the_md5_in_big_endian_order() {
        // md5("a") = 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(HashKey::of("a"), HashKey(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661));
    }

    #[test]
    fn two_tiles_meet_in_the_middle() {
        let tiles = HashKeyRange::tiles(2);
        assert_eq!(tiles[0].ending_hash_key.to_string(), "170141183460469231731687303715884105727");
        assert_eq!(tiles[1].starting_hash_key.to_string(), "170141183460469231731687303715884105728");
    }

    #[test]
    fn three_tiles_have_the_width_of_the_rounded_down_third() {
        let third = u128::MAX / 3; // 2^128 is one more than a multiple of 3
        assert_eq!(HashKeyRange::tiles(3)[1].starting_hash_key, HashKey(third));
        assert_eq!(HashKeyRange::tiles(1), [HashKeyRange::ALL]);
    }

    #[test]
    fn numbers_of_up_to_128_bits_are_parsed() {
        assert_eq!(HashKey::parse("340282366920938463463374607431768211455"), Some(HashKey::MAX));
        assert_eq!(HashKey::parse("340282366920938463463374607431768211456"), None);
        assert_eq!(HashKey::parse("-1"), None);
        assert_eq!(HashKey::parse(""), None);
    }

    proptest! {
        #[test]
        fn tiles_cover_the_space_without_gap_or_overlap(count in 1_u32..3000) {
            let tiles = HashKeyRange::tiles(count);
            prop_assert_eq!(tiles.len(), count as usize);
            prop_assert_eq!(tiles[0].starting_hash_key, HashKey::MIN);
            prop_assert_eq!(tiles[tiles.len() - 1].ending_hash_key, HashKey::MAX);
            prop_assert!(tiles.windows(2).all(|pair| pair[0].is_followed_by(pair[1])));
        }
    }
}
