//! Holds the streams and settings of one account in one Region, and finds the stream of a request.

use std::collections::{BTreeMap, HashMap};

use super::address::StreamTarget;
use super::control_rate::{ControlRates, rate};
use super::model::{ApiError, Request, Scope, StreamMode, StreamStatus, Timestamp};
use super::stream::Stream;
use super::stream::phase::Phase;
use super::subscription::{Subscription, SubscriptionId};
use super::{EngineConfig, EngineTime};

/// The state of one [`Scope`].
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) commitment: Commitment,
    /// The newest creation time, in seconds, of deleted streams and their shards, by stream name.
    deleted: BTreeMap<String, i64>,
    rates: ControlRates,
}

/// The commitment to a minimum throughput. It only changes the maximum number of consumers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Commitment {
    pub(crate) enabled: bool,
    pub(crate) started: Option<EngineTime>,
    pub(crate) ended: Option<EngineTime>,
}

/// The context of a call, besides its input.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) config: &'a EngineConfig,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// Number of issued iterators.
    pub(crate) serial: &'a mut u64,
    /// Whether the end of a shard has a separate answer.
    pub(crate) separate_end: bool,
    /// All open subscriptions.
    pub(crate) subscriptions: &'a mut HashMap<SubscriptionId, Subscription>,
    pub(crate) now: EngineTime,
}

impl Account {
    /// Applies all changes that are due by `now`.
    pub(crate) fn advance(&mut self, now: EngineTime) {
        let deleted: Vec<_> = self.streams.extract_if(.., |_, stream| stream.is_deleted(now)).collect();
        for (_, stream) in &deleted {
            self.remember_creation(stream);
        }
        for stream in self.streams.values_mut() {
            stream.advance(now);
        }
    }

    /// The creation time of a new stream with this name: later than any time of an earlier stream
    /// with the name, so that the sequence numbers of the two differ.
    pub(crate) fn creation_time(&self, name: &str, now: EngineTime) -> EngineTime {
        self.deleted.get(name).map_or(now, |newest| now.max(EngineTime::from_millis((newest + 1) * 1000)))
    }

    fn remember_creation(&mut self, stream: &Stream) {
        let newest = stream.shards.newest_creation().unwrap_or(0).max(stream.created.seconds());
        self.deleted.insert(stream.name.clone(), newest);
    }

    /// The stream with this name, in its state at the time of the call.
    pub(crate) fn named(&mut self, call: &Call<'_>, name: &str) -> Result<&mut Stream, ApiError> {
        if self.streams.get(name).is_some_and(|stream| stream.is_deleted(call.now))
            && let Some(deleted) = self.streams.remove(name)
        {
            self.remember_creation(&deleted);
        }
        let missing = || ApiError::not_found(format!("Stream {name} under account {} not found.", call.scope.account));
        let stream = self.streams.get_mut(name).ok_or_else(missing)?;
        stream.advance(call.now);
        Ok(stream)
    }

    /// The stream that a request names.
    pub(crate) fn stream(&mut self, call: &Call<'_>, target: StreamTarget<'_>) -> Result<&mut Stream, ApiError> {
        self.named(call, target.resolve(call.scope)?)
    }

    /// As [`stream`](Self::stream), for an operation that requires an `ACTIVE` stream.
    pub(crate) fn active_stream(&mut self, call: &Call<'_>, target: StreamTarget<'_>) -> Result<&mut Stream, ApiError> {
        let stream = self.stream(call, target)?;
        match stream.phase.status() {
            StreamStatus::Active => Ok(stream),
            StreamStatus::Creating | StreamStatus::Updating | StreamStatus::Deleting => Err(not_active(call, stream)),
        }
    }

    /// Number of open shards of all streams, including streams in `CREATING`.
    pub(crate) fn open_shards(&self) -> usize {
        let shards = |stream: &Stream| match stream.phase {
            Phase::Creating { shards, .. } => usize::try_from(shards).unwrap_or(usize::MAX),
            Phase::Active | Phase::Updating { .. } | Phase::Deleting { .. } => stream.shards.open_count(),
        };
        self.streams.values().map(shards).sum()
    }

    pub(crate) fn on_demand_streams(&self) -> usize {
        self.streams.values().filter(|stream| stream.mode == StreamMode::OnDemand).count()
    }

    /// Refuses `more` shards if they exceed the account's limit.
    pub(crate) fn check_shard_limit(&self, call: &Call<'_>, more: usize) -> Result<(), ApiError> {
        let (open, max) = (self.open_shards(), call.config.max_shards);
        let limit = call.config.account_limits.map_or(max, |limits| limits.shards.min(max));
        if open.saturating_add(more) <= limit {
            return Ok(());
        }
        Err(ApiError::limit_exceeded(format!(
            "This request would exceed the shard limit for the account {} in {}. Current shard count for the account: {open}. Limit: {limit}.",
            call.scope.account, call.scope.region
        )))
    }

    /// Counts the call against the rate of its operation, if rates are enabled.
    pub(crate) fn check_rate(&mut self, call: &Call<'_>, request: &Request) -> Result<(), ApiError> {
        if !call.config.control_rates {
            return Ok(());
        }
        match rate(request) {
            Some(rate) if !self.rates.admit(request.operation(), rate, call.now) => Err(ApiError::limit_exceeded(
                format!("Rate exceeded for {} under account {}.", request.operation(), call.scope.account),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// The error of an operation that the state of the stream does not allow.
pub(crate) fn not_active(call: &Call<'_>, stream: &Stream) -> ApiError {
    ApiError::in_use(format!(
        "Stream {} under account {} not ACTIVE, instead in state {}",
        stream.name,
        call.scope.account,
        stream.phase.status().name()
    ))
}

/// The error of reading a shard that does not exist.
pub(crate) fn no_such_shard(call: &Call<'_>, shard: &str, stream: &str) -> ApiError {
    ApiError::not_found(format!("Shard {shard} in stream {stream} under account {} does not exist", call.scope.account))
}

/// Refuses a creation time that differs from the stream's. Clients have it in whole seconds.
pub(crate) fn check_creation(stream: &Stream, call: &Call<'_>, sent: Option<Timestamp>) -> Result<(), ApiError> {
    match sent {
        Some(time) if EngineTime::from(time).seconds() != stream.created.seconds() => {
            Err(ApiError::not_found(format!(
                "Stream {} under account {} created at {} not found.",
                stream.name,
                call.scope.account,
                EngineTime::from(time)
            )))
        }
        Some(_) | None => Ok(()),
    }
}
