//! Events of enhanced fan-out. The end of a subscription is logged at debug level, because every
//! subscription ends.

use super::reading::kind_label;
use crate::record::ShardId;
use crate::retrieval::Lost;
use crate::shard::ApiError;
use crate::telemetry::{Line, Metric, Scope, Subject, Trouble, count};
use crate::text::Cut;
use tracing::{debug, info, warn};

/// The application's consumer is active.
pub(crate) struct ConsumerFound<'a> {
    pub(crate) arn: &'a str,
    /// True if this process registered it.
    pub(crate) created: bool,
}

impl ConsumerFound<'_> {
    pub(crate) fn emit(self) {
        let ConsumerFound { arn, created } = self;
        info!(target: "kcl::fan_out", arn, created, "fan-out consumer active");
    }
}

/// The last worker deregistered the consumer, as the setting asks.
pub(crate) struct ConsumerRemoved<'a> {
    /// The error, if it failed.
    pub(crate) error: Option<&'a ApiError>,
}

impl ConsumerRemoved<'_> {
    pub(crate) fn emit(self) {
        match self.error {
            None => info!(target: "kcl::fan_out", "fan-out consumer deregistered"),
            Some(error) => {
                let error = Cut(error);
                warn!(
                    target: "kcl::fan_out", %error,
                    "fan-out consumer could not be deregistered: it is billed until somebody does it"
                );
            }
        }
    }
}

/// A shard is subscribed to.
pub(crate) struct Subscribed<'a> {
    pub(crate) shard: &'a ShardId,
}

impl Subscribed<'_> {
    pub(crate) fn emit(self) {
        debug!(target: "kcl::fan_out", shard = %self.shard, "subscribed");
        let scope = Scope::current();
        scope.count(Metric::Subscriptions, 1, &[]);
        if let Some(Line::Ended(Trouble { total: failures, lasting, .. })) =
            scope.recovered(Subject::Subscriptions, self.shard.as_str())
        {
            let lasted_seconds = lasting.as_secs_f64();
            info!(target: "kcl::fan_out", failures, lasted_seconds, "shards are subscribed to again");
        }
    }
}

/// A subscription was lost; the reader opens another one.
pub(crate) struct SubscriptionLost<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) why: Lost,
    pub(crate) error: Option<&'a ApiError>,
}

impl SubscriptionLost<'_> {
    pub(crate) fn emit(self) {
        let SubscriptionLost { shard, why, error } = self;
        let (why, error) = (why.as_str(), error.map(|error| Cut(error).to_string()));
        debug!(target: "kcl::fan_out", %shard, why, error, "subscription over");
        count(Metric::SubscriptionsLost, 1, &[("why", why)]);
    }
}

/// A subscribe call failed and is retried.
pub(crate) struct SubscribeFailing<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a ApiError,
    pub(crate) failures: u32,
}

/// A rolling deploy causes one or two refusals per shard; this many consecutive failures are a
/// problem.
const FAILURES_OF_A_REDEPLOY: u32 = 4;

impl SubscribeFailing<'_> {
    pub(crate) fn emit(self) {
        let SubscribeFailing { shard, error, failures } = self;
        let (kind, scope) = (kind_label(error.kind), Scope::current());
        scope.count(Metric::SubscribeFailures, 1, &[("kind", kind)]);
        let error = Cut(error);
        debug!(target: "kcl::fan_out", %shard, kind, %error, failures, "subscribe failing");
        if failures <= FAILURES_OF_A_REDEPLOY {
            return;
        }
        match scope.failed(Subject::Subscriptions, shard.as_str()) {
            // Then the events of reads report the outage.
            Some(_) if scope.is_in_trouble(Subject::Reads) => {}
            Some(Line::Began(Trouble { failures, members: shards, .. })) => {
                warn!(target: "kcl::fan_out", %shard, shards, failures, kind, %error, "subscribing failing; retrying");
            }
            Some(Line::Continues(Trouble { failures, members: shards, lasting, .. })) => {
                let lasting_seconds = lasting.as_secs_f64();
                warn!(target: "kcl::fan_out", %shard, shards, failures, lasting_seconds, kind, %error, "subscribing still failing");
            }
            Some(Line::Ended(_)) | None => {}
        }
    }
}

/// Fan-out is refused. The shard is polled, if allowed.
pub(crate) struct FanOutRefused<'a> {
    pub(crate) shard: &'a ShardId,
    pub(crate) error: &'a ApiError,
    pub(crate) polls: bool,
    /// True if this one is logged as a warning: one shard for all, at most once a minute.
    pub(crate) warn: bool,
}

impl FanOutRefused<'_> {
    pub(crate) fn emit(self) {
        let FanOutRefused { shard, error, polls, warn } = self;
        let error = Cut(error);
        if warn {
            warn!(target: "kcl::fan_out", %shard, %error, polls, "fan-out refused; retrying in some minutes");
        } else {
            debug!(target: "kcl::fan_out", %shard, %error, polls, "fan-out refused");
        }
        count(Metric::SubscribeFailures, 1, &[("kind", "refused")]);
    }
}

/// Fan-out has recovered from a refusal: the shard is no longer polled.
pub(crate) struct FanOutReturned<'a> {
    pub(crate) shard: &'a ShardId,
}

impl FanOutReturned<'_> {
    pub(crate) fn emit(self) {
        info!(target: "kcl::fan_out", shard = %self.shard, "back to fan-out");
    }
}
