//! The worker: what a user builds, runs, and stops. `replay/`: one that reads a range again, and ends by itself.

#[cfg(test)]
mod balance_tests;
mod builder;
#[cfg(feature = "aws")]
mod connect;
mod connection;
mod deliveries;
mod failing;
mod fan_out_cleanup;
mod fleet_membership;
mod handle;
mod host;
mod replay;
mod signal;
mod streams;
mod within;

pub use builder::{NoProcessor, OneStream, WorkerBuilder};
pub use deliveries::{Delivered, Deliveries};
pub use handle::{Worker, WorkerHandle};
pub use replay::{Order, Replay, ReplayBuilder, ReplaySummary};
#[cfg(feature = "signal")]
pub use signal::shutdown_signal;
pub use streams::{StreamConfig, Streams};
