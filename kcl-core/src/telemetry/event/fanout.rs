//! Enhanced fan-out: consumers, subscriptions, and doing without. That a subscription ends is no news: all do.

use crate::record::ShardId;
use crate::retrieval::Lost;
use crate::shard::ApiError;
use crate::telemetry::event::processing::kind_label;
use crate::telemetry::metric::{Metric, count};
use std::fmt::Display;
use tracing::{debug, info, warn};

/// The application's consumer is there and active.
pub(crate) struct ConsumerFound<'a> {
    pub(crate) arn: &'a str,
    /// Whether this process has registered it.
    pub(crate) created: bool,
}

impl ConsumerFound<'_> {
    pub(crate) fn emit(self) {
        let ConsumerFound { arn, created } = self;
        info!(arn, created, "fan-out consumer active");
    }
}

/// The last worker has removed the consumer, as the setting says.
pub(crate) struct ConsumerRemoved<'a> {
    /// Why it could not.
    pub(crate) error: Option<&'a ApiError>,
}

impl ConsumerRemoved<'_> {
    pub(crate) fn emit(self) {
        match self.error {
            None => info!("fan-out consumer deregistered"),
            Some(error) => {
                warn!(%error, "fan-out consumer could not be deregistered: it is billed until somebody does it")
            }
        }
    }
}

/// A shard's records are pushed.
pub(crate) struct Subscribed<'a> {
    pub(crate) shard: &'a ShardId,
}

impl Subscribed<'_> {
    pub(crate) fn emit(self) {
        debug!(shard = %self.shard, "subscribed");
        count(Metric::Subscriptions, 1, &[]);
    }
}

/// A subscription is no more; another is asked for.
pub(crate) struct SubscriptionLost<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) why: Lost,
    pub(crate) error: Option<&'a ApiError>,
}

impl SubscriptionLost<'_> {
    pub(crate) fn emit(self) {
        let SubscriptionLost { shard, why, error } = self;
        let (why, error) = (why.as_str(), error.map(|error| error as &dyn Display).unwrap_or(&""));
        debug!(%shard, why, %error, "subscription over");
        count(Metric::SubscriptionsLost, 1, &[("why", why)]);
    }
}

/// A subscription could not be had, and is asked for again.
pub(crate) struct SubscribeFailing<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a ApiError,
    pub(crate) failures: u32,
}

impl SubscribeFailing<'_> {
    pub(crate) fn emit(self) {
        let SubscribeFailing { shard, error, failures } = self;
        debug!(%shard, %error, failures, "subscribe failing");
        count(Metric::SubscribeFailures, 1, &[("kind", kind_label(error.kind))]);
    }
}

/// Fan-out is not to be had: the shard is polled, where that is allowed.
pub(crate) struct FanOutRefused<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a ApiError,
    pub(crate) polls: bool,
    /// Whether this one is a warning: one shard speaks for all, once a minute at most.
    pub(crate) warn: bool,
}

impl FanOutRefused<'_> {
    pub(crate) fn emit(self) {
        let FanOutRefused { shard, error, polls, warn } = self;
        if warn {
            warn!(%shard, %error, polls, "fan-out refused: tried again in some minutes");
        } else {
            debug!(%shard, %error, polls, "fan-out refused");
        }
        count(Metric::SubscribeFailures, 1, &[("kind", "refused")]);
    }
}

/// What was refused has come: the shard is not polled any more.
pub(crate) struct FanOutReturned<'a> {
    pub(crate) shard: &'a ShardId,
}

impl FanOutReturned<'_> {
    pub(crate) fn emit(self) {
        info!(shard = %self.shard, "back to fan-out");
    }
}
