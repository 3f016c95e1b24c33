//! What is balanced among the workers of a fleet.

/// What is balanced among the workers of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BalanceBy {
    /// Leases: workers' numbers of them differ by at most one.
    #[default]
    Leases,
    /// Bytes a second, as each shard's reader handled them over the last half minute. Numbers of leases are bounded too
    /// (no worker gets more than twice an even share), and nothing moves before a worker carries about half as much
    /// again as another.
    Bytes,
}

impl BalanceBy {
    /// The word for it, in settings, rows and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BalanceBy::Leases => "leases",
            BalanceBy::Bytes => "bytes",
        }
    }
}
