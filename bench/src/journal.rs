//! Records which worker received which record when, and computes pauses, repeats and missing
//! records. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kcl_core::record::SequenceNumber;

use crate::feed::RecordId;

/// The delivery of a record to a worker.
#[derive(Clone, Debug)]
struct Delivery {
    at: Duration,
    worker: String,
    shard: String,
    sequence: SequenceNumber,
}

/// The initialization of a shard by a worker.
#[derive(Clone, Debug)]
struct Initialization {
    at: Duration,
    worker: String,
    shard: String,
}

/// All events of the workers. Events of different workers arrive late and out of order, so results
/// are computed on request.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    deliveries: Vec<Delivery>,
    initializations: Vec<Initialization>,
}

/// The first deliveries of each shard in order: the time and the worker.
type Progress<'a> = BTreeMap<&'a str, Vec<(Duration, &'a str)>>;

impl Journal {
    pub(crate) fn add_delivery(&mut self, worker: &str, shard: String, sequence: SequenceNumber, at: Duration) {
        self.deliveries.push(Delivery { at, worker: worker.to_owned(), shard, sequence });
    }

    pub(crate) fn add_initialization(&mut self, worker: &str, shard: String, at: Duration) {
        self.initializations.push(Initialization { at, worker: worker.to_owned(), shard });
    }

    fn in_order(&self) -> Vec<&Delivery> {
        let mut deliveries: Vec<&Delivery> = self.deliveries.iter().collect();
        deliveries.sort_by_key(|delivery| delivery.at);
        deliveries
    }

    /// Leaves out repeated deliveries.
    fn progress(&self) -> Progress<'_> {
        let mut newest: BTreeMap<&str, &SequenceNumber> = BTreeMap::new();
        let mut progress = Progress::new();
        for Delivery { at, worker, shard, sequence } in self.in_order() {
            if newest.get(shard.as_str()).is_none_or(|newest| sequence > *newest) {
                newest.insert(shard, sequence);
                progress.entry(shard).or_default().push((*at, worker));
            }
        }
        progress
    }

    /// Number of shards whose newest record each worker received.
    pub(crate) fn shards_by_worker(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, worker) in self.progress().values().filter_map(|deliveries| deliveries.last()) {
            *counts.entry((*worker).to_owned()).or_default() += 1;
        }
        counts
    }

    /// The longest pause of each shard that ended after `since`.
    pub(crate) fn pauses(&self, since: Duration) -> BTreeMap<String, Duration> {
        let longest = |deliveries: &[(Duration, &str)]| {
            let ended = deliveries.windows(2).filter(|pair| pair[1].0 >= since);
            ended.map(|pair| pair[1].0.saturating_sub(pair[0].0)).max()
        };
        let pauses = self.progress();
        pauses.iter().filter_map(|(shard, deliveries)| Some(((*shard).to_owned(), longest(deliveries)?))).collect()
    }

    /// Number of repeated deliveries.
    pub(crate) fn repeated(&self) -> usize {
        let distinct: BTreeSet<_> =
            self.deliveries.iter().map(|delivery| (&delivery.shard, &delivery.sequence)).collect();
        self.deliveries.len() - distinct.len()
    }

    /// Number of these records that were not delivered.
    pub(crate) fn missing(&self, written: &[RecordId]) -> usize {
        let delivered: BTreeSet<_> =
            self.deliveries.iter().map(|delivery| (&delivery.shard, &delivery.sequence)).collect();
        written.iter().filter(|(shard, sequence)| !delivered.contains(&(shard, sequence))).count()
    }

    /// The time at which the worker had initialized this number of shards, or `None` if it has not.
    pub(crate) fn initialized(&self, worker: &str, shards: usize) -> Option<Duration> {
        let mut first: BTreeMap<&str, Duration> = BTreeMap::new();
        for initialization in self.initializations.iter().filter(|initialization| initialization.worker == worker) {
            let at = first.entry(&initialization.shard).or_insert(initialization.at);
            *at = initialization.at.min(*at);
        }
        let mut times: Vec<Duration> = first.into_values().collect();
        times.sort_unstable();
        shards.checked_sub(1).and_then(|last| times.get(last)).copied()
    }

    /// The time from the last record of the parents to the first record of the child. `None` if the
    /// child has no record yet, or received it before the parents' last one.
    pub(crate) fn between(&self, parents: &[&str], child: &str) -> Option<Duration> {
        let progress = self.progress();
        let (first, _) = progress.get(child)?.first()?;
        let last = parents.iter().filter_map(|parent| Some(progress.get(parent)?.last()?.0)).max()?;
        first.checked_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn journal(deliveries: &[(u64, &str, &str, u64)]) -> Journal {
        let mut journal = Journal::default();
        for (at, worker, shard, sequence) in deliveries {
            journal.add_delivery(worker, (*shard).to_owned(), sequence.to_string().parse().unwrap(), ms(*at));
        }
        journal
    }

    #[test]
    fn a_pause_ends_with_a_new_record_and_not_with_a_repeated_one() {
        let journal = journal(&[(100, "a", "s", 1), (900, "b", "s", 2), (200, "a", "s", 2), (1_200, "b", "s", 3)]);
        assert_eq!(journal.pauses(ms(300)), BTreeMap::from([("s".to_owned(), ms(1_000))]));
        assert_eq!(journal.repeated(), 1);
        assert_eq!(journal.shards_by_worker(), BTreeMap::from([("b".to_owned(), 1)]));
    }

    #[test]
    fn pauses_that_ended_earlier_do_not_count() {
        let journal = journal(&[(100, "a", "s", 1), (900, "a", "s", 2), (1_000, "a", "s", 3)]);
        assert_eq!(journal.pauses(ms(950)), BTreeMap::from([("s".to_owned(), ms(100))]));
        assert!(journal.pauses(ms(1_001)).is_empty());
    }

    #[test]
    fn a_record_that_was_put_and_not_delivered_is_missing() {
        let journal = journal(&[(100, "a", "s", 1)]);
        let id = |shard: &str, sequence: &str| (shard.to_owned(), sequence.parse().unwrap());
        assert_eq!(journal.missing(&[id("s", "1"), id("t", "1"), id("s", "2")]), 2);
    }

    #[test]
    fn a_number_of_shards_is_initialized_when_the_last_of_them_is() {
        let mut journal = Journal::default();
        for (worker, shard, at) in [("a", "s", 10), ("b", "u", 20), ("b", "t", 40), ("b", "u", 50), ("b", "s", 60)] {
            journal.add_initialization(worker, shard.to_owned(), ms(at));
        }
        assert_eq!(journal.initialized("b", 1), Some(ms(20)));
        assert_eq!(journal.initialized("b", 2), Some(ms(40)));
        assert_eq!(journal.initialized("b", 4), None);
    }

    #[test]
    fn a_child_follows_the_last_record_of_its_later_parent() {
        let journal = journal(&[(100, "a", "p", 1), (300, "b", "q", 2), (400, "a", "c", 9), (500, "a", "c", 10)]);
        assert_eq!(journal.between(&["p", "q"], "c"), Some(ms(100)));
        assert_eq!(journal.between(&["p", "q"], "d"), None);
        assert_eq!(journal.between(&["c"], "p"), None);
    }
}
