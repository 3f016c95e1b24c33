//! Measures the leader's assignment cycles in real time, by the span that the library puts around
//! each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// The target of the span around an assignment cycle.
const SPAN_TARGET: &str = "kcl::leader";

/// Collects the times of all cycles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopwatch(Arc<Mutex<Laps>>);

#[derive(Debug, Default)]
struct Laps {
    began: Option<Lap>,
    finished: Vec<Lap>,
}

/// The time of one cycle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// Time of the machine's clock.
    pub(crate) real: Duration,
    /// CPU time of the thread.
    pub(crate) cpu: Duration,
}

impl Lap {
    fn now() -> Self {
        Lap { real: clock::now(), cpu: clock::thread_cpu_time() }
    }

    fn since(self, began: Lap) -> Self {
        Lap { real: self.real.saturating_sub(began.real), cpu: self.cpu.saturating_sub(began.cpu) }
    }
}

impl Stopwatch {
    /// A subscriber that measures the spans of its thread, and ignores everything else.
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(Spans(self.clone()))
    }

    /// Returns the cycles since the last call.
    pub(crate) fn take(&self) -> Vec<Lap> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).finished)
    }
}

struct Spans(Stopwatch);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target() == SPAN_TARGET
    }

    fn on_enter(&self, _: &span::Id, _: Context<'_, S>) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).began = Some(Lap::now());
    }

    fn on_exit(&self, _: &span::Id, _: Context<'_, S>) {
        let mut laps = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = laps.began.take() {
            laps.finished.push(Lap::now().since(began));
        }
    }
}
