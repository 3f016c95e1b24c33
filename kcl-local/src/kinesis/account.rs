//! The streams and settings of one account in one Region.

use std::collections::{BTreeMap, HashMap};

use super::control_rate::{ControlRates, rate};
use super::model::{ApiError, Request, Scope, StreamMode, StreamStatus, Timestamp};
use super::stream::Stream;
use super::stream::phase::Phase;
use super::subscription::{Subscription, SubscriptionId};
use super::{EngineConfig, EngineTime, address};

/// What belongs to a [`Scope`].
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) commitment: Commitment,
    /// The newest creation, in seconds, of deleted streams and their shards, by name.
    buried: BTreeMap<String, i64>,
    rates: ControlRates,
}

/// The commitment to a minimum throughput: stored, of no effect but on the number of consumers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Commitment {
    pub(crate) enabled: bool,
    pub(crate) started: Option<EngineTime>,
    pub(crate) ended: Option<EngineTime>,
}

/// What a call has besides its input.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) config: &'a EngineConfig,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// Counts the iterators issued.
    pub(crate) serial: &'a mut u64,
    /// Whether a shard ends in an answer of its own.
    pub(crate) separate_end: bool,
    /// All open subscriptions.
    pub(crate) subscriptions: &'a mut HashMap<SubscriptionId, Subscription>,
    pub(crate) now: EngineTime,
}

impl Account {
    /// Lets everything happen that was due by `now`.
    pub(crate) fn advance(&mut self, now: EngineTime) {
        let gone: Vec<_> = self.streams.extract_if(.., |_, stream| stream.is_gone(now)).collect();
        for (_, stream) in &gone {
            self.bury(stream);
        }
        for stream in self.streams.values_mut() {
            stream.advance(now);
        }
    }

    /// When a stream of this name may say it was created. Times of an earlier one are over, so that its sequence numbers are not taken for the
    /// new one's.
    pub(crate) fn creation_time(&self, name: &str, now: EngineTime) -> EngineTime {
        self.buried.get(name).map_or(now, |newest| now.max(EngineTime::from_millis((newest + 1) * 1000)))
    }

    fn bury(&mut self, stream: &Stream) {
        let newest = stream.shards.newest_creation().unwrap_or(0).max(stream.created.seconds());
        self.buried.insert(stream.name.clone(), newest);
    }

    /// The stream with this name, as it is now.
    pub(crate) fn named(&mut self, call: &Call<'_>, name: &str) -> Result<&mut Stream, ApiError> {
        if self.streams.get(name).is_some_and(|stream| stream.is_gone(call.now))
            && let Some(gone) = self.streams.remove(name)
        {
            self.bury(&gone);
        }
        let missing = || ApiError::not_found(format!("Stream {name} under account {} not found.", call.scope.account));
        let stream = self.streams.get_mut(name).ok_or_else(missing)?;
        stream.advance(call.now);
        Ok(stream)
    }

    /// The stream that a request addresses by name, by ARN, or by both.
    pub(crate) fn stream(
        &mut self,
        call: &Call<'_>,
        name: Option<&String>,
        arn: Option<&String>,
    ) -> Result<&mut Stream, ApiError> {
        self.named(call, address::stream_name(call.scope, name, arn)?)
    }

    /// The same, for an operation that needs it to be `ACTIVE`.
    pub(crate) fn active_stream(
        &mut self,
        call: &Call<'_>,
        name: Option<&String>,
        arn: Option<&String>,
    ) -> Result<&mut Stream, ApiError> {
        let stream = self.stream(call, name, arn)?;
        match stream.phase.status() {
            StreamStatus::Active => Ok(stream),
            StreamStatus::Creating | StreamStatus::Updating | StreamStatus::Deleting => Err(not_active(call, stream)),
        }
    }

    /// Open shards of all streams, and those that streams in creation will have.
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

    /// Refuses to have `more` shards beyond the account's limit.
    pub(crate) fn check_shard_limit(&self, call: &Call<'_>, more: usize) -> Result<(), ApiError> {
        let (open, most) = (self.open_shards(), call.config.most_shards);
        let limit = call.config.account_limits.map_or(most, |limits| limits.shards.min(most));
        if open.saturating_add(more) <= limit {
            return Ok(());
        }
        Err(ApiError::limit_exceeded(format!(
            "This request would exceed the shard limit for the account {} in {}. Current shard count for the account: {open}. Limit: {limit}.",
            call.scope.account, call.scope.region
        )))
    }

    /// Counts the call against its operation's rate, if rates are on.
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

/// The answer to an operation that the stream's state forbids.
pub(crate) fn not_active(call: &Call<'_>, stream: &Stream) -> ApiError {
    ApiError::in_use(format!(
        "Stream {} under account {} not ACTIVE, instead in state {}",
        stream.name,
        call.scope.account,
        stream.phase.status().name()
    ))
}

/// The answer for a shard that is not there, to an operation that reads it.
pub(crate) fn no_such_shard(call: &Call<'_>, shard: &str, stream: &str) -> ApiError {
    ApiError::not_found(format!("Shard {shard} in stream {stream} under account {} does not exist", call.scope.account))
}

/// Refuses a creation time that is not the stream's. Clients hold it in whole seconds.
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
