//! Describes rows that cannot be decoded, as far as they can be identified.

use super::RowKey;

/// A row of one of our kinds that cannot be decoded. A damaged lease is reported and left
/// unchanged; the fleet replaces any other damaged row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Which row.
    pub key: RowKey,
    /// The error, with the attribute's name.
    pub why: String,
    /// The attributes that distinguish this row from its later versions: the row is deleted only if
    /// they are unchanged. Empty if a row of another kind occupies the key; nobody deletes such a
    /// row.
    pub fingerprint: Vec<SeenAttribute>,
}

/// One attribute of a damaged row, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAttribute {
    /// The attribute.
    pub attribute: &'static str,
    /// The value.
    pub value: SeenValue,
}

/// An attribute's value, as far as it helps to distinguish versions of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenValue {
    /// The attribute is missing.
    Nothing,
    /// A text.
    Text(String),
    /// A number's digits.
    Number(String),
    /// A value of another type, given by DynamoDB's type letters.
    Other(&'static str),
}

impl Damaged {
    /// True if the fleet may delete it: it is not a lease, and no row of another kind occupies its
    /// key.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        !matches!(self.key, RowKey::Lease(_)) && !self.fingerprint.is_empty()
    }
}
