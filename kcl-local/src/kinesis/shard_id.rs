//! Shard ids: the number of a shard within its stream, written as `shardId-000000000007`.

use std::fmt;

use serde::ser::{Serialize, Serializer};

/// The number of a shard within its stream. Displays in the long form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u32);

impl ShardId {
    /// The `number`th shard of a stream, counted from 0.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Parses an id. Accepts the short forms that AWS accepts (`shardId-7`, `7`): only the number
    /// after the last dash counts. `None` if that is not a number from 0 to 2^31-1.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.rsplit('-').next()?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().filter(|number| *number <= i32::MAX.cast_unsigned()).map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

impl Serialize for ShardId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_the_long_form_and_parsed_in_short_forms_too() {
        assert_eq!(ShardId::new(7).to_string(), "shardId-000000000007");
        for text in ["shardId-000000000007", "shardId-7", "7", "any-prefix-7", "007"] {
            assert_eq!(ShardId::parse(text), Some(ShardId::new(7)), "{text}");
        }
        for text in ["", "shardId-", "shardId-x", "shardId-2147483648", "+7", "shard_7"] {
            assert_eq!(ShardId::parse(text), None, "{text}");
        }
    }
}
