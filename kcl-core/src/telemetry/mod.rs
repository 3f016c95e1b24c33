//! What happens, told once: every event is a value that writes its log line and moves its metrics.
//!
#![doc = include_str!("METRICS.md")]

pub(crate) mod event;
mod metric;

pub use metric::{Metric, MetricKind};
