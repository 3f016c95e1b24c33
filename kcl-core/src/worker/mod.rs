//! The worker: what a user builds, runs, and stops. `replay/`: one that reads a range again, and ends by itself.

#[cfg(test)]
mod balance_tests;
mod billed;
mod builder;
#[cfg(feature = "aws")]
mod connect;
mod failing;
mod handle;
mod host;
mod others;
mod parts;
mod replay;
mod signal;
mod stream;
mod streams;
mod within;

pub use builder::{NoProcessor, OneStream, WorkerBuilder};
pub use handle::{Worker, WorkerHandle};
pub use replay::{Order, Replay, ReplayBuilder, ReplaySummary};
#[cfg(feature = "signal")]
pub use signal::shutdown_signal;
pub use stream::{Delivered, Deliveries};
pub use streams::{StreamConfig, Streams};
