//! What events are made of: metrics, the scope that labels them, and one log line for many failures.
//!
//! Every event is a value that writes its log line and moves its metrics. It is defined where it happens: in
//! `retrieval::event`, `processor::event`, `coordination::event`, `aws::event` and `worker::event`.
//!
#![doc = include_str!("METRICS.md")]

mod metric;
mod outage;
mod scope;

pub use metric::{Metric, MetricKind};
pub(crate) use metric::{count, gauge};
pub(crate) use outage::{Line, Trouble};
pub(crate) use scope::{Scope, ScopedTasks, Subject, TasksInSpan};
