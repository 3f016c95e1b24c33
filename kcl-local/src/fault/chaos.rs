//! Draws random faults from probabilities and one seed.

use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;

use super::{Call, Fault, StreamFault, millis};

/// Probabilities (0 to 1) of faults, drawn for each request from one seeded generator. All are 0 by
/// default.
///
/// ```
/// use kcl_local::Chaos;
/// let chaos = Chaos { throttle: 0.01, lost_response: 0.005, ..Chaos::new(7) };
/// # let _ = chaos;
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// The seed of the random generator.
    pub seed: u64,
    /// Probability of [`Fault::Delay`].
    #[serde(default)]
    pub delay: f64,
    /// The maximum of a delay, which is uniformly distributed.
    #[serde(default = "one_second", rename = "max_delay_ms", deserialize_with = "millis")]
    pub max_delay: Duration,
    /// Probability of [`Fault::Throttle`].
    #[serde(default)]
    pub throttle: f64,
    /// Probability of `InternalServerError`.
    #[serde(default)]
    pub internal_error: f64,
    /// Probability of [`Fault::LostRequest`].
    #[serde(default)]
    pub lost_request: f64,
    /// Probability of [`Fault::LostResponse`].
    #[serde(default)]
    pub lost_response: f64,
    /// Probability of [`Fault::CutRequest`].
    #[serde(default)]
    pub cut_request: f64,
    /// Probability of [`Fault::CutResponse`].
    #[serde(default)]
    pub cut_response: f64,
    /// Probability of a fault in the stream of a subscription. The kinds of [`StreamFault`] are
    /// equally likely.
    #[serde(default)]
    pub broken_stream: f64,
    /// The maximum number of events before that fault, which is uniformly distributed.
    #[serde(default = "twenty")]
    pub max_events: usize,
}

impl Chaos {
    /// No faults; delays of up to one second once they have a probability.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            delay: 0.0,
            max_delay: one_second(),
            throttle: 0.0,
            internal_error: 0.0,
            lost_request: 0.0,
            lost_response: 0.0,
            cut_request: 0.0,
            cut_response: 0.0,
            broken_stream: 0.0,
            max_events: twenty(),
        }
    }
}

/// Draws faults by the probabilities of a [`Chaos`].
#[derive(Debug)]
pub(super) struct ChaosDraws {
    chaos: Chaos,
    rng: Rng,
}

impl ChaosDraws {
    pub(super) fn new(chaos: Chaos) -> Self {
        Self { rng: Rng::with_seed(chaos.seed), chaos }
    }

    /// Draws at most one fault per request: the probabilities share one draw. The delay is drawn
    /// for each request, even if it is not needed, so that the sequence of draws does not depend on
    /// earlier results.
    pub(crate) fn draw(&mut self, call: &Call<'_>) -> Option<Fault> {
        let delay = self.chaos.max_delay.mul_f64(self.rng.f64());
        let chaos = &self.chaos;
        let faults = [
            (chaos.delay, Fault::Delay(delay)),
            (chaos.throttle, Fault::Throttle),
            (chaos.internal_error, Fault::Error("InternalServerError".to_owned())),
            (chaos.lost_request, Fault::LostRequest),
            (chaos.lost_response, Fault::LostResponse),
            (chaos.cut_request, Fault::CutRequest),
            (chaos.cut_response, Fault::CutResponse),
        ];
        let mut drawn = self.rng.f64();
        let request_fault = faults.into_iter().find_map(|(probability, fault)| {
            drawn -= probability;
            (drawn < 0.0).then_some(fault)
        });
        // Separate draws, only for subscriptions.
        let stream_fault = if call.operation == "SubscribeToShard" { self.draw_for_stream() } else { None };
        request_fault.or(stream_fault)
    }

    fn draw_for_stream(&mut self) -> Option<Fault> {
        let breaks = self.rng.f64() < self.chaos.broken_stream;
        let after = self.rng.usize(..=self.chaos.max_events);
        let stall = Duration::from_secs(120).mul_f64(self.rng.f64());
        let mut faults = vec![
            Fault::HeadersOnly,
            Fault::stream(after, StreamFault::Cut),
            Fault::stream(after, StreamFault::End),
            Fault::stream(after, StreamFault::Silence),
            Fault::stream(after, StreamFault::Stall(stall)),
            Fault::stream(after, StreamFault::Error("InternalFailureException".to_owned())),
            Fault::stream(after, StreamFault::BadChecksum),
            Fault::stream(after, StreamFault::Truncated),
        ];
        let fault = faults.swap_remove(self.rng.usize(..faults.len()));
        breaks.then_some(fault)
    }
}

fn twenty() -> usize {
    20
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::discriminant;

    use super::*;
    use crate::Service;

    fn call(operation: &str) -> Call<'_> {
        Call { service: Service::Kinesis, operation, caller: None }
    }

    fn draws(seed: u64) -> Vec<Option<Fault>> {
        let chaos = Chaos { delay: 0.2, throttle: 0.2, lost_response: 0.1, ..Chaos::new(seed) };
        let mut chaos = ChaosDraws::new(chaos);
        (0..1000).map(|_| chaos.draw(&call("GetRecords"))).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn faults_are_drawn_with_their_probabilities() {
        let drawn = draws(7);
        let count = |wanted: fn(&Fault) -> bool| drawn.iter().flatten().filter(|fault| wanted(fault)).count();
        assert!((150..250).contains(&count(|fault| matches!(fault, Fault::Delay(_)))));
        assert!((150..250).contains(&count(|fault| *fault == Fault::Throttle)));
        assert!((60..140).contains(&count(|fault| *fault == Fault::LostResponse)));
        assert_eq!(count(|fault| *fault == Fault::LostRequest), 0);
    }

    #[test]
    fn only_subscriptions_get_stream_faults_and_of_every_kind() {
        let mut chaos = ChaosDraws::new(Chaos { broken_stream: 0.5, ..Chaos::new(7) });
        assert!((0..100).all(|_| chaos.draw(&call("GetRecords")).is_none()));
        let drawn: Vec<_> = (0..1000).filter_map(|_| chaos.draw(&call("SubscribeToShard"))).collect();
        assert!((400..600).contains(&drawn.len()));
        let kinds: HashSet<_> = drawn
            .iter()
            .filter_map(|fault| if let Fault::Stream { fault, .. } = fault { Some(discriminant(fault)) } else { None })
            .collect();
        assert!(drawn.contains(&Fault::HeadersOnly));
        assert_eq!(kinds.len(), 7);
    }
}
