//! Defines the partition key of a record.

use super::text::Text;
use std::fmt;
use std::ops::Deref;

/// A partition key: up to 256 characters. Dereferences to `str`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PartitionKey(Text);

impl PartitionKey {
    /// A key that many records share.
    pub(super) fn shared(key: &str) -> Self {
        PartitionKey(Text::Shared(key.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<String> for PartitionKey {
    fn from(key: String) -> Self {
        PartitionKey(Text::Own(key))
    }
}

impl From<&str> for PartitionKey {
    fn from(key: &str) -> Self {
        PartitionKey(Text::Own(key.to_owned()))
    }
}

impl Deref for PartitionKey {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for PartitionKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for PartitionKey {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
