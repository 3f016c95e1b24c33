//! Defines the user's side of a worker: the trait they implement, the error policy, and the
//! consumer that calls both for one shard.

mod batch;
mod consumer;
mod context;
mod dead_letter;
mod delivery;
#[cfg(feature = "macros")]
#[cfg(test)]
mod derived;
mod event;
mod failure;
mod handle;
mod host;
#[cfg(feature = "macros")]
pub(crate) mod json;
mod lanes;
mod meta;
mod outcome;
mod quarantine;
mod record_slice;
mod stages;
mod store;
mod traits;

pub use batch::Batch;
pub use context::{CheckpointError, PendingCheckpoint, PreparedCheckpoint, ShardContext};
#[cfg(feature = "json")]
pub use dead_letter::JsonLinesFile;
pub use dead_letter::{DeadLetter, DeadLetterSink, SinkFn, sink_fn};
pub(crate) use delivery::{
    ClaimSnapshot, DeliveryGate, Expired, Report, ReportKind, Reports, ShardDelivery, WriteRequested,
};
pub use failure::{Cause, Decision, ErrorPolicy, Failure, FinalAction, OnError};
pub use handle::RecordHandle;
pub(crate) use host::{ConsumerDeps, ConsumerHost, HandlerConfig, StartConsumer};
#[cfg(feature = "macros")]
pub use json::DecodeError;
pub use meta::RecordMeta;
pub use outcome::BatchOutcome;
pub use store::{CheckpointStore, ClaimedLease};
pub use traits::{BoxError, RecordProcessor};
