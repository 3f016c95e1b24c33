//! Captures metrics while a test runs.

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counters and gauges by name and labels, as `name{label=value,...}`. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metered(Arc<Mutex<BTreeMap<String, f64>>>);

impl Metered {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of that name with their values.
    #[must_use]
    pub fn of(&self, name: &str) -> BTreeMap<String, f64> {
        let is_of = |series: &str| series.split('{').next() == Some(name);
        self.lock().iter().filter(|(series, _)| is_of(series)).map(|(series, value)| (series.clone(), *value)).collect()
    }

    /// The value of the only series of that name whose labels contain this text.
    ///
    /// # Panics
    /// If there is no such series, or more than one.
    #[must_use]
    pub fn value(&self, name: &str, labels: &str) -> f64 {
        let found: Vec<(String, f64)> =
            self.of(name).into_iter().filter(|(series, _)| series.contains(labels)).collect();
        assert_eq!(found.len(), 1, "{name} with {labels}: {found:?}");
        found.into_iter().map(|(_, value)| value).sum()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Series { name: format!("{}{{{}}}", key.name(), labels.join(",")), metered: self.clone() })
    }
}

struct Series {
    name: String,
    metered: Metered,
}

impl Series {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut metered = self.metered.lock();
        let value = metered.entry(self.name.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.change(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl Recorder for Metered {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
