//! Measures the weight of this worker's leases: the bytes a second that their handlers process, smoothed.

use crate::clock::Time;
use crate::lease::row::{LeaseKey, Weights};
use std::collections::BTreeMap;
use std::time::Duration;

/// The weight is about the mean over this time, so that a short burst does not move leases.
const SMOOTHED_OVER: Duration = Duration::from_secs(30);

/// The rates of held leases.
#[derive(Debug, Default)]
pub(crate) struct ThroughputMeter {
    rates: BTreeMap<LeaseKey, Rate>,
}

/// The rate of one lease.
#[derive(Debug)]
struct Rate {
    fencing_token: u64,
    began: Time,
    measured: Time,
    counted: u64,
    /// Bytes a second; `None` before the second measurement.
    smoothed: Option<f64>,
}

/// The bytes that a held lease's delivery has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) lease: &'a LeaseKey,
    pub(crate) fencing_token: u64,
    pub(crate) bytes: u64,
}

impl ThroughputMeter {
    /// Returns the weights of the held leases. Leases that are no longer held are forgotten.
    pub(crate) fn measure<'a>(&mut self, held: impl Iterator<Item = Counted<'a>>, now: Time) -> Weights {
        let mut before = std::mem::take(&mut self.rates);
        for Counted { lease, fencing_token, bytes } in held {
            let rate = match before.remove(lease).filter(|rate| rate.fencing_token == fencing_token) {
                Some(rate) => rate.after(bytes, now),
                None => Rate { fencing_token, began: now, measured: now, counted: bytes, smoothed: None },
            };
            self.rates.insert(lease.clone(), rate);
        }
        let known = self.rates.iter().filter_map(|(lease, rate)| Some((lease.clone(), rate.smoothed?)));
        Weights::of(&known.collect())
    }
}

impl Rate {
    fn after(self, bytes: u64, now: Time) -> Self {
        let passed = now.since(self.measured).as_secs_f64();
        if passed <= 0.0 {
            return self;
        }
        #[allow(clippy::cast_precision_loss, reason = "bytes of some seconds")]
        let rate = bytes.saturating_sub(self.counted) as f64 / passed;
        // The plain mean at first, so that the first measurement does not dominate for half a minute.
        let share = passed / now.since(self.began).min(SMOOTHED_OVER).as_secs_f64().max(passed);
        let smoothed = self.smoothed.map_or(rate, |before| before + (rate - before) * share);
        Rate { measured: now, counted: bytes, smoothed: Some(smoothed), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn weight(throughput: &mut ThroughputMeter, fencing_token: u64, bytes: u64, at: u64) -> u64 {
        let lease = LeaseKey::new("shardId-000000000000");
        let counted = Counted { lease: &lease, fencing_token, bytes };
        throughput.measure([counted].into_iter(), t(at)).get(&lease).bytes_a_second()
    }

    fn is_about(weight: u64, wanted: u64) -> bool {
        weight.abs_diff(wanted) * 20 <= wanted
    }

    #[test]
    fn a_steady_rate_is_known_at_the_second_measurement() {
        let mut throughput = ThroughputMeter::default();
        assert_eq!(weight(&mut throughput, 1, 7_000, 0), 0, "one measurement is no rate");
        assert!(is_about(weight(&mut throughput, 1, 9_000, 2), 1_000));
    }

    #[test]
    fn a_burst_is_smoothed_over_half_a_minute() {
        let mut throughput = ThroughputMeter::default();
        for at in 0..=30 {
            weight(&mut throughput, 1, at * 1_000, at);
        }
        assert!(is_about(weight(&mut throughput, 1, 91_000, 31), 3_000), "60 KB above the usual rate, over 30 s");
    }

    #[test]
    fn a_lease_that_was_claimed_again_is_measured_from_the_beginning() {
        let mut throughput = ThroughputMeter::default();
        weight(&mut throughput, 1, 0, 0);
        weight(&mut throughput, 1, 1_000_000, 1);
        assert_eq!(weight(&mut throughput, 5, 0, 2), 0);
        assert!(is_about(weight(&mut throughput, 5, 2_000, 3), 2_000));
    }
}
