//! The worker: built, run and stopped by the user. `streams/` has workers of several streams,
//! `replay/` workers with an end.

#[cfg(test)]
mod balance_tests;
mod builder;
#[cfg(feature = "aws")]
mod connect;
mod connection;
mod deliveries;
mod event;
mod failure_handling;
mod fan_out_cleanup;
mod far_start;
mod fleet_membership;
mod handle;
mod host;
mod replay;
mod signal;
mod streams;
mod worker_token;

pub use builder::{NoProcessor, OneStream, WorkerBuilder};
pub use deliveries::{Delivered, Deliveries};
pub use handle::{Worker, WorkerHandle};
pub use replay::{Order, Replay, ReplayBuilder, ReplaySummary};
#[cfg(feature = "signal")]
pub use signal::shutdown_signal;
pub use streams::{StreamConfig, Streams};
