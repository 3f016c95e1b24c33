//! Builds and runs workers of several streams.
//!
//! | module | concern |
//! |---|---|
//! | `builder`, `connect` | builds a worker of several streams, and connects to each of them |
//! | `config`, `read_overrides` | a stream as the user configures it, and its differences from the worker's settings |
//! | `registry` | connections and consumers of each stream |
//! | `handle` | adds and removes streams while the worker runs |
//! | `identity_guard`, `guarded_stream` | detects that a stream was deleted, or created again under its name |

mod builder;
mod config;
#[cfg(feature = "aws")]
mod connect;
mod guarded_stream;
mod handle;
mod identity_guard;
mod read_overrides;
mod registry;

pub use builder::Streams;
pub use config::StreamConfig;
pub(super) use registry::Registry;
