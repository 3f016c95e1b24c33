//! The reaction of a starting worker to other settings of its fleet.

/// The reaction of a starting worker if its fleet uses another `failover_time` or `balance_by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnFleetSettings {
    /// The worker refuses to start while another worker of the fleet is alive. The error names both
    /// values and the worker that set the fleet's value (KCL-0025).
    #[default]
    Match,
    /// The worker uses the fleet's values until it ends, and logs them once.
    Adopt,
    /// The worker uses its own values, while other workers use the old ones. When all workers that
    /// do not adopt use the same values, the leader makes these the fleet's. Use this to change the
    /// values in a rolling deploy.
    Change,
}
