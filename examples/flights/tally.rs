//! Counts processed flights and repeats, by sequence number.

use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// A processed flight.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    pub(crate) sequence_number: String,
    pub(crate) carrier: String,
    pub(crate) dep_delay: Option<f64>,
}

/// Counts of all processed flights.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seen: HashSet<String>,
    repeated: u64,
    carriers: BTreeMap<String, Departures>,
}

/// Counts of the flights of one carrier.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Departures {
    flights: u64,
    departed: u64,
    minutes: f64,
}

impl Departures {
    fn add(&mut self, dep_delay: Option<f64>) {
        self.flights += 1;
        if let Some(minutes) = dep_delay {
            self.departed += 1;
            self.minutes += minutes;
        }
    }

    fn join(self, other: Departures) -> Departures {
        Departures {
            flights: self.flights + other.flights,
            departed: self.departed + other.departed,
            minutes: self.minutes + other.minutes,
        }
    }

    fn row(self) -> Carrier {
        let mean_dep_delay = (self.departed > 0).then(|| self.minutes / self.departed as f64);
        Carrier { flights: self.flights, mean_dep_delay }
    }
}

/// The totals that are printed at the end.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Number of different records that were processed.
    pub(crate) records: u64,
    /// Number of records that were put and not processed.
    pub(crate) lost: u64,
    /// Number of times that a record was processed again.
    pub(crate) repeated: u64,
    pub(crate) seconds: f64,
    pub(crate) carriers: BTreeMap<String, Carrier>,
    #[serde(skip)]
    pub(crate) total: Carrier,
}

/// A row of the table.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Carrier {
    pub(crate) flights: u64,
    /// In minutes. `None` if no flight departed.
    pub(crate) mean_dep_delay: Option<f64>,
}

impl Tally {
    /// Counts a flight. Returns false if it was counted before.
    pub(crate) fn add(&mut self, handled: Handled) -> bool {
        let new = self.seen.insert(handled.sequence_number);
        if new {
            self.carriers.entry(handled.carrier).or_default().add(handled.dep_delay);
        } else {
            self.repeated += 1;
        }
        new
    }

    /// Number of different records that were counted.
    pub(crate) fn records(&self) -> usize {
        self.seen.len()
    }

    /// Number of these sequence numbers that were not counted.
    pub(crate) fn missing<'a>(&self, put: impl IntoIterator<Item = &'a String>) -> u64 {
        put.into_iter().filter(|number| !self.seen.contains(*number)).count() as u64
    }

    /// Number of expected flights that were not counted, given only the carrier of each expected
    /// flight.
    pub(crate) fn missing_by_carrier<'a>(&self, expected: impl IntoIterator<Item = &'a str>) -> u64 {
        let mut flights: BTreeMap<&str, u64> = BTreeMap::new();
        for carrier in expected {
            *flights.entry(carrier).or_default() += 1;
        }
        let counted = |carrier: &str| self.carriers.get(carrier).map_or(0, |departures| departures.flights);
        flights.into_iter().map(|(carrier, expected)| expected.saturating_sub(counted(carrier))).sum()
    }

    pub(crate) fn summary(&self, lost: u64, elapsed: Duration) -> Summary {
        Summary {
            records: self.seen.len() as u64,
            lost,
            repeated: self.repeated,
            seconds: elapsed.as_millis() as f64 / 1_000.0,
            carriers: self.carriers.iter().map(|(name, departures)| (name.clone(), departures.row())).collect(),
            total: self.carriers.values().copied().fold(Departures::default(), Departures::join).row(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handled(number: &str, carrier: &str, dep_delay: Option<f64>) -> Handled {
        Handled { sequence_number: number.to_owned(), carrier: carrier.to_owned(), dep_delay }
    }

    fn tally(all: &[(&str, &str, Option<f64>)]) -> Tally {
        let mut tally = Tally::default();
        for (number, carrier, delay) in all {
            tally.add(handled(number, carrier, *delay));
        }
        tally
    }

    #[test]
    fn a_redelivered_flight_counts_only_as_repeated() {
        let tally = tally(&[("1", "UA", Some(4.0)), ("2", "UA", Some(-2.0)), ("1", "UA", Some(4.0))]);
        let summary = tally.summary(0, Duration::ZERO);
        assert_eq!((summary.records, summary.repeated), (2, 1));
        assert_eq!(summary.carriers["UA"], Carrier { flights: 2, mean_dep_delay: Some(1.0) });
    }

    #[test]
    fn a_cancelled_flight_has_no_delay() {
        let summary = tally(&[("1", "UA", Some(4.0)), ("2", "UA", None), ("3", "HA", None)]).summary(0, Duration::ZERO);
        assert_eq!(summary.carriers["UA"], Carrier { flights: 2, mean_dep_delay: Some(4.0) });
        assert_eq!(summary.carriers["HA"], Carrier { flights: 1, mean_dep_delay: None });
        assert_eq!(summary.total, Carrier { flights: 3, mean_dep_delay: Some(4.0) });
    }

    #[test]
    fn a_flight_that_was_put_and_not_counted_is_missing() {
        let tally = tally(&[("1", "UA", None), ("3", "HA", None)]);
        assert_eq!(tally.missing(&["1".to_owned(), "2".to_owned(), "3".to_owned()]), 1);
        assert_eq!(tally.missing_by_carrier(["UA", "UA", "HA", "B6"]), 2);
    }
}
