//! What of the engine's behaviour can be chosen.

use std::time::Duration;

/// Settings of an [`Engine`](super::Engine). Start from [`in_process`](Self::in_process) or [`over_http`](Self::over_http) and change fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineConfig {
    /// How long state transitions take.
    pub transitions: Transitions,
    /// Whether polling is throttled as AWS does it: 5 `GetRecords` and 5 `GetShardIterator` calls a second a shard, 2 MiB a second a shard.
    /// And fan-out: one `SubscribeToShard` call and 2 MiB a second a shard and consumer.
    pub read_throttling: bool,
    /// Whether writing is throttled as AWS does it: 1,000 records and 1 MiB a second a shard.
    pub write_throttling: bool,
    /// Whether operations other than reading and writing have AWS's rates.
    pub control_rates: bool,
    /// AWS's quotas of an account in a Region. `None`: without.
    pub account_limits: Option<AccountLimits>,
    /// The most open shards of an account in a Region, with or without its quotas: each acquires memory. Default 20,000, which is AWS's
    /// quota in its largest Regions.
    pub most_shards: usize,
    /// Life of a shard iterator. AWS: 300 s.
    pub iterator_life: Duration,
    /// Life of a paging token. AWS: 300 s.
    pub page_token_life: Duration,
    /// Life of a subscription. AWS: 300 s.
    pub subscription_life: Duration,
    /// After this long without an event a subscription yields one without records. Default 5 s.
    pub idle_event_interval: Duration,
    /// Whether a consumer has to wait five seconds between two subscriptions to a shard even when the first has ended, which is how
    /// AWS's documentation can be read. Default: off, only while the first is open.
    pub strict_resubscription: bool,
    /// How many answers without records `GetRecords` may give, at random, before it yields those that are there. AWS does so in gaps of a
    /// shard. So it is with the events of a subscription. Default 0.
    pub empty_answers: u8,
    /// How many answers without records `GetRecords` yields first when the position is older than what the retention period left.
    /// Default 0.
    pub empty_answers_before_horizon: u8,
    /// In which answer a closed shard ends.
    pub shard_end: ShardEndAnswer,
    /// Length of an hour of retention. Tests shorten it. Default 3,600 s.
    pub retention_hour: Duration,
    /// The arrival time of a record is off by up to this much, at random, to either side. Default 0.
    pub arrival_skew: Duration,
    /// For this long after a reshard, `ListShards` may, at random, still show the parents as open beside their children. Default 0.
    pub closing_lag: Duration,
    /// Probability that a record of `PutRecords` fails with `InternalFailure`. Default 0.
    pub failed_entries: f64,
}

/// How long state transitions take, on the engine's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Transitions {
    /// `CREATING` to `ACTIVE`.
    pub create: Duration,
    /// `DELETING` to gone.
    pub delete: Duration,
    /// `UPDATING` to `ACTIVE`.
    pub update: Duration,
    /// A consumer's `CREATING` to `ACTIVE`.
    pub register: Duration,
    /// A consumer's `DELETING` to gone.
    pub deregister: Duration,
}

impl Transitions {
    /// Every transition acquires `duration`.
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
    /// Streams in `CREATING` at a time.
    pub creating_streams: usize,
    /// Consumers of a stream in `CREATING` at a time.
    pub creating_consumers: usize,
}

impl Default for AccountLimits {
    /// What AWS yields a new account in most Regions.
    fn default() -> Self {
        Self { shards: 1000, on_demand_streams: 50, creating_streams: 5, creating_consumers: 5 }
    }
}

/// In which answer a closed shard ends: clients must take both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardEndAnswer {
    /// The answer with the last records has no next iterator.
    WithLastRecords,
    /// The answer with the last records has one; the end follows in an answer of its own.
    Separate,
    /// One of the two, drawn when the engine is made.
    Seeded,
}

impl EngineConfig {
    /// For an engine inside a test: transitions take no time, nothing is throttled.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            transitions: Transitions::default(),
            read_throttling: false,
            write_throttling: false,
            control_rates: false,
            account_limits: None,
            most_shards: 20_000,
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

    /// For a simulation: what AWS does to its readers, and what is open is drawn from the seed.
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

    /// For a server that any client may talk to: transitions take half a second and can be seen.
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
