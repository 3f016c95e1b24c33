//! A row that cannot be read, and what it shows all the same.

use super::RowKey;

/// A row that claims to be one of ours and cannot be read. Leases are reported and left alone; of the others the fleet
/// makes new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Which row.
    pub key: RowKey,
    /// What is wrong with it, with the attribute's name.
    pub why: String,
    /// What the attributes show that tell the row from the ones after it: it is discarded as it was seen, or not at all.
    /// Empty where another kind of row stands at the key: that is nobody's to discard.
    pub marks: Vec<Mark>,
}

/// What one attribute of a damaged row shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The attribute.
    pub attribute: &'static str,
    /// Its value.
    pub shows: Shows,
}

/// A value, as far as it tells rows apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The attribute is not there.
    Nothing,
    /// A text.
    Text(String),
    /// A number's digits.
    Number(String),
    /// Something of another type, by DynamoDB's letters for it.
    Other(&'static str),
}

impl Damaged {
    /// Whether it may be made away with: it is none of the leases, and no other kind of row.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        !matches!(self.key, RowKey::Lease(_)) && !self.marks.is_empty()
    }
}
