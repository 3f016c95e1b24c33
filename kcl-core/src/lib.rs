//! Consume Kinesis streams with a fleet of workers.
//!
//! One module a concept, each knowing only those before it:
//! `record -> checkpoint -> lease -> shard -> retrieval -> processor -> coordination -> worker`.

#[cfg(feature = "aws")]
pub mod aws;
mod checkpoint;
mod clock;
mod config;
mod coordination;
mod error;
pub mod lease;
mod processor;
pub mod record;
pub mod retrieval;
pub mod shard;
pub mod telemetry;
mod worker;

pub use clock::{BootClock, Clock, Time, TokioClock};
pub use config::{Settings, Start};
pub use error::{Code, Error, ErrorKind};
pub use processor::{Batch, BoxError, RecordProcessor, ShardContext};
