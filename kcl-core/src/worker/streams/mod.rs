//! Builds and runs workers of several streams.
//!
//! | part | knows |
//! |---|---|
//! | `builder`, `connect` | building a worker of several streams, and reaching each of them |
//! | `config`, `reading` | one stream as a user describes it, and how it is read where that is not as the worker's settings say |
//! | `registry` | what a worker has of each: the ways to it, and who starts its consumers |
//! | `handle` | streams that come and go while the worker runs |
//! | `watched`, `incarnation` | that a stream is gone, or another one under its name |

mod builder;
mod config;
#[cfg(feature = "aws")]
mod connect;
mod handle;
mod identity_guard;
mod reading;
mod registry;
mod watched;

pub use builder::Streams;
pub use config::StreamConfig;
pub(super) use registry::Registry;
