//! The engine: the state machine that answers requests.

use std::collections::HashMap;

use super::account::{Account, Call};
use super::config::ShardEndAnswer;
use super::model::{ApiError, Request, Response, Scope};
use super::subscription::{Subscription, SubscriptionId};
use super::{EngineConfig, EngineTime, operation};

/// The streams of any number of accounts and Regions.
///
/// The state changes only in calls. Time is the `now` of each call; randomness comes from the
/// generator given to [`new`](Self::new). The same calls at the same times with the same seed have
/// the same answers.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    rng: fastrand::Rng,
    serial: u64,
    separate_end: bool,
    accounts: HashMap<Scope, Account>,
    pub(super) subscriptions: HashMap<SubscriptionId, Subscription>,
}

impl Engine {
    /// An engine without streams. All randomness comes from `seed`.
    #[must_use]
    pub fn new(config: EngineConfig, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let separate_end = match config.shard_end {
            ShardEndAnswer::WithLastRecords => false,
            ShardEndAnswer::Separate => true,
            ShardEndAnswer::Seeded => rng.bool(),
        };
        Self { config, rng, serial: 0, separate_end, accounts: HashMap::new(), subscriptions: HashMap::new() }
    }

    /// Answers `request` of the account and Region in `scope` at the time `now`.
    ///
    /// # Errors
    /// The error that AWS would return, as far as it is known.
    pub fn handle(&mut self, scope: &Scope, request: Request, now: EngineTime) -> Result<Response, ApiError> {
        self.with(scope, now, |account, call| operation::answer(account, call, request))
    }

    /// Runs `action` with the account of `scope` and the context of a call.
    pub(super) fn with<T>(
        &mut self,
        scope: &Scope,
        now: EngineTime,
        action: impl FnOnce(&mut Account, &mut Call<'_>) -> T,
    ) -> T {
        let account = self.accounts.entry(scope.clone()).or_default();
        let mut call = Call {
            scope,
            config: &self.config,
            rng: &mut self.rng,
            serial: &mut self.serial,
            separate_end: self.separate_end,
            subscriptions: &mut self.subscriptions,
            now,
        };
        action(account, &mut call)
    }
}
