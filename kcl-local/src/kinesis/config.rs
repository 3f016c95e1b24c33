//! The settings of the engine.

use std::time::Duration;

/// Settings of an [`Engine`](super::Engine). Start from [`in_process`](Self::in_process) or
/// [`over_http`](Self::over_http) and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Durations of state transitions.
    pub transitions: Transitions,
    /// Whether reading is throttled as by AWS. Polling, per shard and second: 5 `GetRecords` calls,
    /// 5 `GetShardIterator` calls, 2 MiB. Enhanced fan-out, per shard, consumer and second: one
    /// `SubscribeToShard` call, 2 MiB.
    pub read_throttling: bool,
    /// Whether writing is throttled as by AWS: 1,000 records and 1 MiB per shard and second.
    pub write_throttling: bool,
    /// Whether the other operations have AWS's rate limits.
    pub control_rates: bool,
    /// Quotas of an account in a Region. `None`: no quotas.
    pub account_limits: Option<AccountLimits>,
    /// Maximum number of open shards of an account in a Region, with or without quotas, because
    /// each shard uses memory. Default 20,000, AWS's quota in its largest Regions.
    pub max_shards: usize,
    /// Lifetime of a shard iterator. AWS: 300 s.
    pub iterator_life: Duration,
    /// Lifetime of a pagination token. AWS: 300 s.
    pub page_token_life: Duration,
    /// Lifetime of a subscription. AWS: 300 s.
    pub subscription_life: Duration,
    /// After this time without an event a subscription has an event without records. Default 5 s.
    pub idle_event_interval: Duration,
    /// Whether a consumer has to wait five seconds between two subscriptions to a shard even if the
    /// first has ended, which is one reading of AWS's documentation. Default: off, it has to wait
    /// only while the first is open.
    pub strict_resubscription: bool,
    /// Maximum number of empty answers of `GetRecords`, at random, before it returns the available
    /// records. AWS does so in gaps of a shard. Also applies to the events of a subscription.
    /// Default 0.
    pub empty_answers: u8,
    /// Number of empty answers of `GetRecords` if the position is before the trim horizon. Default
    /// 0.
    pub empty_answers_before_horizon: u8,
    /// The answer that ends a closed shard.
    pub shard_end: ShardEndAnswer,
    /// Length of an hour of the retention period, which tests shorten. Default 3,600 s.
    pub retention_hour: Duration,
    /// Maximum random error of a record's arrival time, in either direction. Default 0.
    pub arrival_skew: Duration,
    /// Time after a reshard during which `ListShards`, at random, may still show the parents as
    /// open, together with their children. Default 0.
    pub closing_lag: Duration,
    /// Probability that a record of `PutRecords` fails with `InternalFailure`. Default 0.
    pub failed_entries: f64,
}

/// Durations of state transitions, on the engine's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Transitions {
    /// `CREATING` to `ACTIVE`.
    pub create: Duration,
    /// `DELETING` to deleted.
    pub delete: Duration,
    /// `UPDATING` to `ACTIVE`.
    pub update: Duration,
    /// `CREATING` to `ACTIVE` of a consumer.
    pub register: Duration,
    /// `DELETING` to deleted of a consumer.
    pub deregister: Duration,
}

impl Transitions {
    /// Every transition takes `duration`.
    #[must_use]
    pub const fn all(duration: Duration) -> Self {
        Self { create: duration, delete: duration, update: duration, register: duration, deregister: duration }
    }
}

/// Quotas of an account in a Region.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccountLimits {
    /// Open shards.
    pub shards: usize,
    /// On-demand streams.
    pub on_demand_streams: usize,
    /// Streams in `CREATING` at the same time.
    pub creating_streams: usize,
    /// Consumers of a stream in `CREATING` at the same time.
    pub creating_consumers: usize,
}

impl Default for AccountLimits {
    /// The quotas of a new account in most Regions.
    fn default() -> Self {
        Self { shards: 1000, on_demand_streams: 50, creating_streams: 5, creating_consumers: 5 }
    }
}

/// The answer that ends a closed shard. Clients must handle both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardEndAnswer {
    /// The answer with the last records has no next iterator.
    WithLastRecords,
    /// The answer with the last records has a next iterator; a separate answer ends the shard.
    Separate,
    /// One of the two, drawn when the engine is created.
    Seeded,
}

impl EngineConfig {
    /// For tests in the process: transitions take no time, and nothing is throttled.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            transitions: Transitions::default(),
            read_throttling: false,
            write_throttling: false,
            control_rates: false,
            account_limits: None,
            max_shards: 20_000,
            iterator_life: Duration::from_secs(300),
            page_token_life: Duration::from_secs(300),
            subscription_life: Duration::from_secs(300),
            idle_event_interval: Duration::from_secs(5),
            strict_resubscription: false,
            empty_answers: 0,
            empty_answers_before_horizon: 0,
            shard_end: ShardEndAnswer::WithLastRecords,
            retention_hour: Duration::from_secs(3600),
            arrival_skew: Duration::ZERO,
            closing_lag: Duration::ZERO,
            failed_entries: 0.0,
        }
    }

    /// For a simulation: readers are throttled and get empty answers as from AWS, and undocumented
    /// choices are drawn from the seed.
    #[must_use]
    pub fn simulation() -> Self {
        Self {
            read_throttling: true,
            strict_resubscription: true,
            empty_answers: 2,
            shard_end: ShardEndAnswer::Seeded,
            ..Self::in_process()
        }
    }

    /// For a server: transitions take half a second, so that clients can observe them.
    #[must_use]
    pub fn over_http() -> Self {
        Self { transitions: Transitions::all(Duration::from_millis(500)), ..Self::in_process() }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self::in_process()
    }
}
