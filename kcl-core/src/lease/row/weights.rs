//! Encodes the throughput of a worker's leases for its session row, in so few bytes that a
//! heartbeat does not cost more.

use super::LeaseKey;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bytes per second on a logarithmic scale of eighths of an octave: a step is 9 %, so the error is
/// at most 4.5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Weight {
    const STEPS_AN_OCTAVE: f64 = 8.0;

    /// Returns the nearest step.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and a float saturates")]
    pub fn of(bytes_a_second: f64) -> Self {
        Weight(((bytes_a_second.max(0.0) + 1.0).log2() * Weight::STEPS_AN_OCTAVE).round() as u8)
    }

    /// Returns the bytes per second.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, at most 2^32")]
    pub fn bytes_a_second(self) -> u64 {
        ((f64::from(self.0) / Weight::STEPS_AN_OCTAVE).exp2() - 1.0).round() as u64
    }
}

/// The weights of a worker's leases: outliers by name, all others by their mean.
///
/// The text has at most [`Weights::MOST_BYTES`] bytes, however many leases there are: `<rest>` and
/// then ` <lease>:<weight>` for each named lease, with hexadecimal weights. `shardId-000000000042`
/// is written as `42`. This keeps a session row below 1 KB, one DynamoDB write unit, so that a
/// heartbeat costs the same as without weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    rest: Weight,
    named: BTreeMap<LeaseKey, Weight>,
}

const SHARD: &str = "shardId-";
const DIGITS: usize = 12;

impl Weights {
    /// The longest text in bytes. The rest of a session row has about 150 bytes plus the worker's
    /// id.
    pub const MOST_BYTES: usize = 600;

    /// Creates weights from measured bytes per second. Names the leases that differ most from the
    /// median.
    #[must_use]
    pub fn of(measured: &BTreeMap<LeaseKey, f64>) -> Self {
        let mut rates: Vec<(&LeaseKey, f64)> = measured.iter().map(|(lease, rate)| (lease, *rate)).collect();
        let median = median(&rates);
        rates.sort_by(|(a, x), (b, y)| (y - median).abs().total_cmp(&(x - median).abs()).then(a.cmp(b)));
        let mut room = Weights::MOST_BYTES - "ff".len();
        let mut named = BTreeMap::new();
        for (lease, rate) in &rates {
            let weight = Weight::of(*rate);
            let differs = weight.0.abs_diff(Weight::of(median).0) > 1;
            let Some(left) = room.checked_sub(entry(lease, weight).len()).filter(|_| differs) else { break };
            room = left;
            named.insert((*lease).clone(), weight);
        }
        let unnamed = rates.iter().filter(|(lease, _)| !named.contains_key(lease)).map(|(_, rate)| *rate);
        let count = rates.len() - named.len();
        #[allow(clippy::cast_precision_loss, reason = "a number of leases")]
        let rest = if count == 0 { 0.0 } else { unnamed.sum::<f64>() / count as f64 };
        Weights { rest: Weight::of(rest), named }
    }

    /// Returns the weight of one of this worker's leases.
    #[must_use]
    pub fn get(&self, lease: &LeaseKey) -> Weight {
        self.named.get(lease).copied().unwrap_or(self.rest)
    }

    /// Returns the number of named leases.
    #[must_use]
    pub fn names(&self) -> usize {
        self.named.len()
    }

    /// Returns the row's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{:02x}", self.rest.0);
        for (lease, weight) in &self.named {
            text.push_str(&entry(lease, *weight));
        }
        text
    }

    /// Parses a row's text; `None` if it is invalid. Weights are advice, so an invalid text is not
    /// damage.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let rest = weight(parts.next()?)?;
        let named = parts.map(|part| {
            let (lease, digits) = part.rsplit_once(':')?;
            Some((long(lease), weight(digits)?))
        });
        Some(Weights { rest, named: named.collect::<Option<_>>()? })
    }
}

/// Returns the median.
fn median(rates: &[(&LeaseKey, f64)]) -> f64 {
    let mut sorted: Vec<f64> = rates.iter().map(|(_, rate)| *rate).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn weight(digits: &str) -> Option<Weight> {
    u8::from_str_radix(digits, 16).ok().map(Weight)
}

fn entry(lease: &LeaseKey, weight: Weight) -> String {
    let mut entry = format!(" {}:", short(lease));
    let _ = write!(entry, "{:02x}", weight.0);
    entry
}

/// `shardId-000000000042` as `42`; any other key as it is.
fn short(lease: &LeaseKey) -> &str {
    let key = lease.as_str();
    match key.strip_prefix(SHARD) {
        Some(digits) if digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let short = digits.trim_start_matches('0');
            if short.is_empty() { "0" } else { short }
        }
        Some(_) | None => key,
    }
}

fn long(short: &str) -> LeaseKey {
    let is_number = short.len() <= DIGITS && !short.is_empty() && short.bytes().all(|byte| byte.is_ascii_digit());
    LeaseKey::new(if is_number { format!("{SHARD}{short:0>DIGITS$}") } else { short.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(n: u64) -> LeaseKey {
        LeaseKey::new(format!("shardId-{n:012}"))
    }

    #[test]
    fn outliers_are_named_and_all_other_leases_share_one_weight() {
        let mut measured: BTreeMap<LeaseKey, f64> = (0..100).map(|n| (shard(n), 50_000.0)).collect();
        measured.insert(shard(7), 1_000_000.0);
        measured.insert(LeaseKey::new("account:stream:1:shardId-000000000009"), 0.0);
        let weights = Weights::of(&measured);
        assert_eq!(weights.to_text(), "7d account:stream:1:shardId-000000000009:00 7:9f");
        assert_eq!(weights.get(&shard(3)).bytes_a_second(), 50_534);
        assert_eq!(weights.get(&shard(7)).bytes_a_second(), 961_547);
    }

    #[test]
    fn idle_leases_need_no_names() {
        let measured = (0..10_000).map(|n| (shard(n), 0.0)).collect();
        assert_eq!(Weights::of(&measured).to_text(), "00");
    }

    #[test]
    fn an_invalid_text_is_ignored() {
        for text in ["", "x", "100", "00 7", "00 7:zz", "00  7:10"] {
            assert_eq!(Weights::from_text(text), None, "{text}");
        }
    }

    fn measured() -> impl Strategy<Value = BTreeMap<LeaseKey, f64>> {
        let lease = prop_oneof![
            (0u64..1_000_000_000_000).prop_map(shard),
            (0u64..1_000).prop_map(|n| LeaseKey::new(format!("123456789012:clicks:1700000000:shardId-{n:012}"))),
            "[a-zA-Z0-9_.-]{1,128}".prop_map(LeaseKey::new),
        ];
        let rate = (0.0f64..24.0).prop_map(|octaves| octaves.exp2() - 1.0);
        prop::collection::btree_map(lease, rate, 0..300)
    }

    proptest! {
        #[test]
        fn the_text_is_short_and_reads_back(measured in measured()) {
            let weights = Weights::of(&measured);
            let text = weights.to_text();
            prop_assert!(text.len() <= Weights::MOST_BYTES, "{}", text.len());
            let back = Weights::from_text(&text).unwrap();
            for lease in measured.keys().filter(|lease| !is_bare_number(lease)) {
                prop_assert_eq!(back.get(lease), weights.get(lease));
            }
        }

        #[test]
        fn a_named_weight_is_within_a_twentieth(rate in 100.0f64..1e9) {
            let encoded = Weight::of(rate).bytes_a_second() as f64;
            prop_assert!((encoded / rate - 1.0).abs() < 0.05, "{} {}", encoded, rate);
        }
    }

    /// True for a key that only consists of digits. No shard has such a name.
    fn is_bare_number(lease: &LeaseKey) -> bool {
        lease.as_str().bytes().all(|byte| byte.is_ascii_digit())
    }
}
