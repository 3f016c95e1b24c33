//! What this worker's leases weigh: the bytes a second that their handlers got through, smoothed.

use crate::clock::Time;
use crate::lease::row::{LeaseKey, Weights};
use std::collections::BTreeMap;
use std::time::Duration;

/// A burst weighs what it adds to the mean of so long.
const SMOOTHED_OVER: Duration = Duration::from_secs(30);

/// The rates of held leases.
#[derive(Debug, Default)]
pub(crate) struct ThroughputMeter {
    rates: BTreeMap<LeaseKey, Rate>,
}

/// One lease's.
#[derive(Debug)]
struct Rate {
    fencing_token: u64,
    began: Time,
    looked: Time,
    counted: u64,
    /// Bytes a second; `None` before the second look.
    smoothed: Option<f64>,
}

/// What a held lease's delivery counted so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) lease: &'a LeaseKey,
    pub(crate) fencing_token: u64,
    pub(crate) bytes: u64,
}

impl ThroughputMeter {
    /// Looks at all that is held, and tells what it weighs. What is held no longer is forgotten.
    pub(crate) fn look<'a>(&mut self, held: impl Iterator<Item = Counted<'a>>, now: Time) -> Weights {
        let mut before = std::mem::take(&mut self.rates);
        for Counted { lease, fencing_token, bytes } in held {
            let rate = match before.remove(lease).filter(|rate| rate.fencing_token == fencing_token) {
                Some(rate) => rate.after(bytes, now),
                None => Rate { fencing_token, began: now, looked: now, counted: bytes, smoothed: None },
            };
            self.rates.insert(lease.clone(), rate);
        }
        let known = self.rates.iter().filter_map(|(lease, rate)| Some((lease.clone(), rate.smoothed?)));
        Weights::of(&known.collect())
    }
}

impl Rate {
    fn after(self, bytes: u64, now: Time) -> Self {
        let passed = now.since(self.looked).as_secs_f64();
        if passed <= 0.0 {
            return self;
        }
        #[allow(clippy::cast_precision_loss, reason = "bytes of some seconds")]
        let rate = bytes.saturating_sub(self.counted) as f64 / passed;
        // The plain mean at first: the first look must not weigh for half a minute.
        let share = passed / now.since(self.began).min(SMOOTHED_OVER).as_secs_f64().max(passed);
        let smoothed = self.smoothed.map_or(rate, |before| before + (rate - before) * share);
        Rate { looked: now, counted: bytes, smoothed: Some(smoothed), ..self }
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
        throughput.look([counted].into_iter(), t(at)).get(&lease).bytes_a_second()
    }

    fn is_about(weight: u64, wanted: u64) -> bool {
        weight.abs_diff(wanted) * 20 <= wanted
    }

    #[test]
    fn a_steady_rate_is_known_at_the_second_look() {
        let mut throughput = ThroughputMeter::default();
        assert_eq!(weight(&mut throughput, 1, 7_000, 0), 0, "nothing is known at the first");
        assert!(is_about(weight(&mut throughput, 1, 9_000, 2), 1_000));
    }

    #[test]
    fn a_burst_is_smoothed_over_half_a_minute() {
        let mut throughput = ThroughputMeter::default();
        for at in 0..=30 {
            weight(&mut throughput, 1, at * 1_000, at);
        }
        assert!(is_about(weight(&mut throughput, 1, 91_000, 31), 3_000), "60 KB above what is usual, over 30 s");
    }

    #[test]
    fn another_hold_of_a_lease_is_measured_anew() {
        let mut throughput = ThroughputMeter::default();
        weight(&mut throughput, 1, 0, 0);
        weight(&mut throughput, 1, 1_000_000, 1);
        assert_eq!(weight(&mut throughput, 5, 0, 2), 0);
        assert!(is_about(weight(&mut throughput, 5, 2_000, 3), 2_000));
    }
}
