//! What a worker does about settings that its fleet has agreed on otherwise.

/// What a worker does at its start where its fleet uses another `failover_time` or `balance_by` than its own settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnFleetSettings {
    /// It refuses to start while another worker of the fleet lives, and says who set which value.
    #[default]
    Match,
    /// It uses the fleet's values until it ends, and says so once.
    Adopt,
    /// It uses its own values beside the others'. Once every worker that does not adopt uses the same ones, the leader makes
    /// them the fleet's: so a rolling deploy changes them.
    Change,
}
