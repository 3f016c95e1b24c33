//! The worker: what a user builds, runs, and stops.

#[cfg(test)]
mod balance_tests;
mod builder;
#[cfg(feature = "aws")]
mod connect;
mod failing;
mod handle;
mod host;
mod parts;
#[cfg(feature = "signal")]
mod signal;
mod stream;
mod streams;

pub use builder::{NoProcessor, OneStream, WorkerBuilder};
pub use handle::{Worker, WorkerHandle};
#[cfg(feature = "signal")]
pub use signal::shutdown_signal;
pub use stream::{Delivered, Deliveries};
pub use streams::{StreamConfig, Streams};
