//! How long the leader thinks, in real time: the library marks it with a span.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{Subscriber, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;

/// The target of the span around a cycle's planning.
const LEADER: &str = "kcl::leader";

/// All times taken so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopwatch(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    began: Option<Lap>,
    times: Vec<Lap>,
}

/// A time taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// By the machine's clock.
    pub(crate) real: Duration,
    /// What the thread had of a processor.
    pub(crate) processor: Duration,
}

impl Lap {
    fn now() -> Self {
        Lap { real: clock::now(), processor: clock::of_thread() }
    }

    fn since(self, began: Lap) -> Self {
        let (real, processor) = (self.real.saturating_sub(began.real), self.processor.saturating_sub(began.processor));
        Lap { real, processor }
    }
}

impl Stopwatch {
    /// A subscriber that takes the times of its thread, and hears nothing else.
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(Spans(self.clone()))
    }

    /// The times since the last call.
    pub(crate) fn take(&self) -> Vec<Lap> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).times)
    }
}

struct Spans(Stopwatch);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target() == LEADER
    }

    fn on_enter(&self, _: &span::Id, _: Context<'_, S>) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).began = Some(Lap::now());
    }

    fn on_exit(&self, _: &span::Id, _: Context<'_, S>) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = taken.began.take() {
            taken.times.push(Lap::now().since(began));
        }
    }
}
