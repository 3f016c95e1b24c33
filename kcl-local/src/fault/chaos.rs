//! Faults drawn from probabilities and one seed.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Deserializer};

use super::{Call, Fault, StreamFault, millis};

/// Probabilities (0 to 1) of faults, drawn for every request from one seeded generator. All are 0 at first.
///
/// ```
/// use kcl_local::Chaos;
/// let chaos = Chaos { throttle: 0.01, lost_response: 0.005, ..Chaos::new(fastrand::Rng::with_seed(7)) };
/// # let _ = chaos;
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// The generator everything is drawn from.
    #[serde(rename = "seed", deserialize_with = "seeded")]
    pub rng: Rng,
    /// Probability of [`Fault::Delay`].
    #[serde(default)]
    pub delay: f64,
    /// The longest delay drawn; shorter ones are as likely.
    #[serde(default = "one_second", rename = "longest_delay_ms", deserialize_with = "millis")]
    pub longest_delay: Duration,
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
    /// Probability that the events of a subscription break off, in one of the ways of [`StreamFault`], each as likely.
    #[serde(default)]
    pub broken_stream: f64,
    /// The most events before that happens; fewer are as likely.
    #[serde(default = "twenty")]
    pub most_events: usize,
}

impl Chaos {
    /// No faults yet; delays, once they have a probability, of up to one second.
    #[must_use]
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            delay: 0.0,
            longest_delay: one_second(),
            throttle: 0.0,
            internal_error: 0.0,
            lost_request: 0.0,
            lost_response: 0.0,
            cut_request: 0.0,
            cut_response: 0.0,
            broken_stream: 0.0,
            most_events: twenty(),
        }
    }

    /// At most one fault a request: the probabilities share one draw. A second draw is made for every request, needed or not, so that
    /// the sequence of draws does not depend on what was drawn.
    pub(crate) fn draw(&mut self, call: &Call<'_>) -> Option<Fault> {
        let delay = self.longest_delay.mul_f64(self.rng.f64());
        let faults = [
            (self.delay, Fault::Delay(delay)),
            (self.throttle, Fault::Throttle),
            (self.internal_error, Fault::Error("InternalServerError".to_owned())),
            (self.lost_request, Fault::LostRequest),
            (self.lost_response, Fault::LostResponse),
            (self.cut_request, Fault::CutRequest),
            (self.cut_response, Fault::CutResponse),
        ];
        let mut drawn = self.rng.f64();
        let of_request = faults.into_iter().find_map(|(probability, fault)| {
            drawn -= probability;
            (drawn < 0.0).then_some(fault)
        });
        // Draws of their own, and for subscriptions only.
        let of_stream = if call.operation == "SubscribeToShard" { self.draw_for_stream() } else { None };
        of_request.or(of_stream)
    }

    fn draw_for_stream(&mut self) -> Option<Fault> {
        let breaks = self.rng.f64() < self.broken_stream;
        let after = self.rng.usize(..=self.most_events);
        let stall = Duration::from_secs(120).mul_f64(self.rng.f64());
        let mut ways = vec![
            Fault::HeadersOnly,
            Fault::stream(after, StreamFault::Cut),
            Fault::stream(after, StreamFault::End),
            Fault::stream(after, StreamFault::Silence),
            Fault::stream(after, StreamFault::Stall(stall)),
            Fault::stream(after, StreamFault::Error("InternalFailureException".to_owned())),
            Fault::stream(after, StreamFault::BadChecksum),
            Fault::stream(after, StreamFault::Truncated),
        ];
        let fault = ways.swap_remove(self.rng.usize(..ways.len()));
        breaks.then_some(fault)
    }
}

fn twenty() -> usize {
    20
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn seeded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rng, D::Error> {
    u64::deserialize(deserializer).map(Rng::with_seed)
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
        let mut chaos = Chaos { delay: 0.2, throttle: 0.2, lost_response: 0.1, ..Chaos::new(Rng::with_seed(seed)) };
        (0..1000).map(|_| chaos.draw(&call("GetRecords"))).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn faults_come_about_as_often_as_asked_for() {
        let drawn = draws(7);
        let count = |wanted: fn(&Fault) -> bool| drawn.iter().flatten().filter(|fault| wanted(fault)).count();
        assert!((150..250).contains(&count(|fault| matches!(fault, Fault::Delay(_)))));
        assert!((150..250).contains(&count(|fault| *fault == Fault::Throttle)));
        assert!((60..140).contains(&count(|fault| *fault == Fault::LostResponse)));
        assert_eq!(count(|fault| *fault == Fault::LostRequest), 0);
    }

    #[test]
    fn subscriptions_break_in_every_way_and_nothing_else_does() {
        let mut chaos = Chaos { broken_stream: 0.5, ..Chaos::new(Rng::with_seed(7)) };
        assert!((0..100).all(|_| chaos.draw(&call("GetRecords")).is_none()));
        let drawn: Vec<_> = (0..1000).filter_map(|_| chaos.draw(&call("SubscribeToShard"))).collect();
        assert!((400..600).contains(&drawn.len()));
        let ways: HashSet<_> = drawn
            .iter()
            .filter_map(|fault| if let Fault::Stream { fault, .. } = fault { Some(discriminant(fault)) } else { None })
            .collect();
        assert!(drawn.contains(&Fault::HeadersOnly));
        assert_eq!(ways.len(), 7);
    }
}
