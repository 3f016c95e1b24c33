//! The quantity that the leader balances among the workers of a fleet.

/// The quantity that the leader balances among the workers of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BalanceBy {
    /// The number of leases: it differs by at most one between two workers.
    #[default]
    Leases,
    /// The bytes per second that each shard's reader handled during the last half minute.
    ///
    /// The number of leases is bounded too: no worker gets more than twice an even share. No lease
    /// moves before a worker carries about half as much again as another.
    Bytes,
}

impl BalanceBy {
    /// The keyword for settings, table rows and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BalanceBy::Leases => "leases",
            BalanceBy::Bytes => "bytes",
        }
    }
}
