//! What happens, told once: every event is a value that writes its log line and moves its metrics.
//!
#![doc = include_str!("METRICS.md")]

pub(crate) mod event;
mod metric;
mod outage;
mod scope;
mod text;

pub use metric::{Metric, MetricKind};
pub(crate) use scope::{Scope, ScopedTasks, TasksInSpan};
pub(crate) use text::cut;
