//! What happens, told once: every event is a value that writes its log line and moves its metrics.

pub(crate) mod event;
mod metric;

pub use metric::{Metric, MetricKind};
