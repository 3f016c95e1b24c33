//! The state machine that answers requests.

use super::model::{ApiError, ErrorCode, Request, Response, Scope};
use super::{EngineConfig, EngineTime};

/// Streams of any number of accounts and Regions, and what happens to them.
///
/// Nothing moves but by a call: time is the `now` of each call, randomness the generator given at the start.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    rng: fastrand::Rng,
}

impl Engine {
    /// An engine without streams.
    #[must_use]
    pub fn new(config: EngineConfig, rng: fastrand::Rng) -> Self {
        Self { config, rng }
    }

    /// Answers `request` at the time `now`.
    ///
    /// # Errors
    /// What AWS would answer, as far as that is known.
    pub fn handle(&mut self, scope: &Scope, request: Request, now: EngineTime) -> Result<Response, ApiError> {
        let _ = (&self.config, &mut self.rng, scope, now);
        Err(ApiError::new(ErrorCode::UnknownOperation, format!("{} is not served yet", request.operation())))
    }
}
