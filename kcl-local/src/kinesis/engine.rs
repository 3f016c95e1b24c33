//! The state machine that answers requests.

use std::collections::HashMap;

use super::account::{Account, Call};
use super::config::ShardEndAnswer;
use super::model::{ApiError, Request, Response, Scope};
use super::subscription::{Subscription, SubscriptionId};
use super::{EngineConfig, EngineTime, operation};

/// Streams of any number of accounts and Regions, and what happens to them.
///
/// Nothing moves but by a call: time is the `now` of each call, randomness the generator given at the start. The same calls at the same times
/// with the same seed give the same answers.
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
    /// An engine without streams.
    #[must_use]
    pub fn new(config: EngineConfig, mut rng: fastrand::Rng) -> Self {
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
    /// What AWS would answer, as far as that is known.
    pub fn handle(&mut self, scope: &Scope, request: Request, now: EngineTime) -> Result<Response, ApiError> {
        self.with(scope, now, |account, call| operation::answer(account, call, request))
    }

    /// Gives `action` the account of `scope` and what a call needs besides.
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
