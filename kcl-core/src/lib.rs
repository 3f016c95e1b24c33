//! Consume Kinesis streams with a fleet of workers.
//!
//! One module a concept, each knowing only those before it:
//! `record -> checkpoint -> lease -> shard -> retrieval -> processor -> coordination -> worker`.

/// True if the named rule is broken on purpose; the constant `false` unless the crate is built with `--cfg kcl_mutants`.
#[cfg(kcl_mutants)]
macro_rules! mutated {
    ($rule:ident) => {
        $crate::mutant::is_active($crate::mutant::Mutant::$rule)
    };
}
#[cfg(not(kcl_mutants))]
macro_rules! mutated {
    ($rule:ident) => {
        false
    };
}

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod checkpoint;
mod clock;
mod config;
mod coordination;
mod error;
pub mod explain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod lease;
#[cfg(kcl_mutants)]
#[doc(hidden)]
pub mod mutant;
mod process;
mod processor;
pub mod record;
pub mod retrieval;
pub mod shard;
mod spawn;
mod stopwatch;
pub mod telemetry;
mod worker;

pub use clock::{BootClock, Clock, Time, TokioClock};
pub use config::{BalanceBy, OnFleetSettings, Parser, Settings, Start};
pub use coordination::{
    Handback, HandbackOptions, HandbackProgress, KeySelector, QuarantinedLease, handback, parked, request_quarantined,
};
pub use error::{Code, Error, ErrorKind};
#[cfg(feature = "macros")]
pub use processor::DecodeError;
#[cfg(feature = "json")]
pub use processor::JsonLinesFile;
pub use processor::{
    Batch, BatchOutcome, BoxError, Cause, CheckpointError, CheckpointStore, ClaimedLease, Concurrency, DeadLetter,
    DeadLetterSink, Decision, ErrorPolicy, Failure, FinalAction, OnError, PendingCheckpoint, PreparedCheckpoint,
    RecordHandle, RecordMeta, RecordProcessor, ShardContext, SinkFn, sink_fn,
};
pub use record::aggregate;
pub use retrieval::{CorruptAggregate, CorruptAggregates, Retrieval};
pub use spawn::Spawn;
#[cfg(feature = "signal")]
pub use worker::shutdown_signal;
pub use worker::{
    Delivered, Deliveries, NoProcessor, OneStream, Order, Replay, ReplayBuilder, ReplaySummary, StreamConfig, Streams,
    Worker, WorkerBuilder, WorkerHandle,
};

/// Implements [`RecordProcessor`](trait@RecordProcessor) for a struct whose handler acquires one decoded record.
///
/// ```
/// use kcl_core::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct Flight {
///     carrier: String,
///     dep_delay: Option<f64>,
/// }
///
/// #[derive(RecordProcessor, Default)]
/// #[processor(json, handler = "departed")]
/// struct Delays {
///     flights: u64,
/// }
///
/// impl Delays {
///     async fn departed(&mut self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
///         self.flights += 1;
///         Ok(())
///     }
/// }
/// ```
///
/// The struct may be generic; its type parameters are required to be `Send + 'static`.
///
/// # Attributes
///
/// | in `#[processor(...)]` | meaning |
/// |---|---|
/// | `json` | how the data of the records is written; required |
/// | `handler = "name"` | `async fn name(&mut self, value: T, meta: &RecordMeta) -> Result<(), E>`, called for each record in order; required. `T` is anything that serde deserializes; it may borrow from the record (`&str`, or `Cow<str>` with `#[serde(borrow)]`), also where a text has escapes; and `E` anything that becomes a [`BoxError`] |
/// | `initialize = "name"`, `shard_ended = "name"`, `shutdown_requested = "name"` | `async fn name(&mut self, shard: &ShardContext) -> Result<(), E>`, called as the trait's method of that name |
/// | `lease_lost = "name"` | `async fn name(&mut self, shard: &ShardContext)`, called as the trait's method of that name |
/// | `crate = "path"` | where this crate is, if not at `::kcl_core` |
///
/// # Errors
///
/// A record that does not read as a `T` is a [`DecodeError`]. It goes to the error policy, as does what the handler returns,
/// with the record that it failed at: those before it are handled and acknowledged, those after it come when the policy has
/// decided.
#[cfg(feature = "macros")]
pub use kcl_macros::RecordProcessor;

/// What a consumer usually needs: `use kcl_core::prelude::*;`.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::record::{Record, ShardId};
    #[cfg(feature = "signal")]
    #[doc(no_inline)]
    pub use crate::shutdown_signal;
    #[doc(no_inline)]
    pub use crate::{
        Batch, BatchOutcome, BoxError, Concurrency, FinalAction, OnError, RecordMeta, RecordProcessor, Retrieval,
        Settings, ShardContext, Start, Worker, WorkerHandle,
    };
}

/// What the derive macro's code calls. No part of the promised interface.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use crate::processor::json::{Unescaped, decode, failed};
}
