//! Several streams in one worker.

mod builder;
mod config;
#[cfg(feature = "aws")]
mod connect;
mod handle;
mod incarnation;
mod lenient;
mod reading;
mod registry;
mod watched;

pub use builder::Streams;
pub use config::StreamConfig;
pub(super) use registry::Registry;
