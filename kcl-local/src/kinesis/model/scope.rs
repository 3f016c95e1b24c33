//! An account in a Region: scopes are isolated from each other.

/// An AWS account in a Region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Account number, twelve digits.
    pub account: String,
    /// Region, such as `eu-west-1`.
    pub region: String,
}

impl Scope {
    /// The account `account` in `region`.
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }
}
