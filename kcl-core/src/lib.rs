//! Consumes Amazon Kinesis data streams with a fleet of workers.
//!
//! The library assigns the shards of a stream to workers, stores checkpoints, and handles failover,
//! resharding and rolling deploys. You write the handler. It is to Rust what the Kinesis Client
//! Library (KCL) is to Java, and it uses KCL's lease table, so a fleet can take over from a Java
//! one and hand back.
//!
//! # A consumer
//!
#![cfg_attr(all(feature = "macros", feature = "signal"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "macros", feature = "signal")), doc = "```ignore")]
//! use kcl_core::prelude::*;
//! use std::collections::HashMap;
//! use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Flight {
//!     carrier: String,
//!     dep_delay: Option<f64>,
//! }
//!
//! #[derive(RecordProcessor, Default)]
//! #[processor(json, handler = "departed")]
//! struct Delays {
//!     minutes: HashMap<String, f64>,
//! }
//!
//! impl Delays {
//!     async fn departed(&mut self, flight: Flight, meta: &RecordMeta) -> Result<(), BoxError> {
//!         let total = self.minutes.entry(flight.carrier).or_default();
//!         *total += flight.dep_delay.unwrap_or(0.0);
//!         println!("{} {}: {total} min", meta.shard_id(), meta.sequence_number());
//!         Ok(())
//!     }
//! }
//!
//! # async fn main_() -> Result<(), kcl_core::Error> {
//! let worker = Worker::builder("delays", "flights") // application (= lease table), stream (name or ARN)
//!     .failover_time(Duration::from_secs(10))
//!     .processor(|_shard: &ShardId| Delays::default())
//!     .build()
//!     .await?;
//! worker.run_until(shutdown_signal()).await // Ctrl-C, or SIGTERM
//! # }
//! ```
//!
//! Returning `Ok(())` acknowledges a record; the worker stores checkpoints every
//! [`checkpoint_interval`](Settings#structfield.checkpoint_interval). An error or a panic goes to
//! the [error policy](policy::OnError), which by default retries the batch forever with growing
//! pauses. Install a [`tracing`](https://docs.rs/tracing) subscriber: without one, a failing
//! handler is silent.
//!
//! A handler without the derive macro implements [`RecordProcessor`](trait@RecordProcessor). A
//! program that pulls records instead of being called uses [`WorkerBuilder::stream`].
//!
//! # Guarantees
//!
//! - No record is skipped unless the error policy decides so.
//! - Delivery is at-least-once. Planned moves (deploys, rebalances, scale-in, resharding) repeat no
//!   record, unless a handler does not finish in time. A crash repeats the records that were
//!   handled after the last checkpoint.
//! - Delivery is exactly-once for effects in an SQL database that stores the position in the same
//!   transaction ([`CheckpointStore`], crate `kcl-sql`).
//! - Records of a partition key are handled in order, across resharding too.
//! - The shards of a dead worker are read again after the
//!   [`failover_time`](Settings#structfield.failover_time) (10 s).
//! - Errors of AWS do not end a running worker. Calls are retried until the outage ends.
//!
//! [`docs::guarantees`] has the details and the assumptions.
//!
//! # Deployment
//!
//! Start the program on as many machines as you like. All workers of an application form one fleet:
//! they share a DynamoDB table, which has the application's name and is created by the first
//! worker. A worker gets its share of the shards within seconds of its start. On SIGTERM it
//! finishes its batches and releases its shards
//! ([`shutdown_deadline`](Settings#structfield.shutdown_deadline): 25 s), so a rolling deploy
//! repeats no record. The IAM permissions are listed in [`docs::guide::aws`].
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `aws` | yes | Kinesis and DynamoDB through the AWS SDK. Without it only the logic is built |
//! | `default-https-client` | yes | the SDK's HTTP client (rustls with aws-lc). Leave it out to bring another one |
//! | `macros` | yes | `#[derive(RecordProcessor)]` |
//! | `json` | yes | dead letters as JSON: [`policy::JsonLinesFile`], [`aws::KinesisDeadLetters`] |
//! | `metrics` | yes | counters, gauges and histograms of the `metrics` facade: see [`telemetry`] |
//! | `signal` | yes | [`shutdown_signal`] |
//! | `unstable-store` | no | the rows and writes of the lease table and the calls of a stream, for simulations. Not covered by semantic versioning |
//! | `conformance` | no | a test suite for implementations of [`lease::LeaseStore`]. Not covered by semantic versioning |
//!
//! # Where to go next
//!
//! | task | where |
//! |---|---|
//! | configure a worker | [`settings`], [`WorkerBuilder`] |
//! | handle, acknowledge and checkpoint records | [`docs::guide::handling`], [`Batch`], [`ShardContext`] |
//! | decide about failing records: retry, dead-letter queue, quarantine | [`docs::guide::failures`], [`policy`] |
//! | read by enhanced fan-out, or read aggregated records | [`docs::guide::reading`], [`settings::Retrieval`], [`record::aggregate`] |
//! | read several streams in one worker | [`docs::guide::several_streams`], [`Worker::of_streams`] |
//! | read a range again (replay, backfill) | [`replay`] |
//! | inspect or change a lease table | [`operator`] |
//! | monitor a fleet | [`telemetry`], [`docs::guide::logs`] |
//! | understand an error | [`Code`]: a page for each; [`docs::aws_errors`] |
//! | move from the Java KCL, or back | [`docs::guide::java`] |
//! | test without AWS | the crate `kcl-local`, [`docs::guide::local`], [`testing`] |
//! | understand how the workers coordinate | [`docs::protocol`], [`docs::glossary`] |

// The pages show all default features.
#![cfg_attr(
    not(all(feature = "aws", feature = "json", feature = "macros", feature = "signal")),
    allow(rustdoc::broken_intra_doc_links)
)]

/// True if the named rule is broken on purpose; the constant `false` unless the crate is built with
/// `--cfg kcl_mutants`.
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

/// Re-exports items: publicly with the feature `unstable-store`, and within the crate without it.
macro_rules! unstable_store {
    ($(use $($path:ident)::+::{$($name:ident),+ $(,)?};)+) => {
        $(
            #[cfg(feature = "unstable-store")]
            pub use $($path)::+::{$($name),+};
            #[cfg(not(feature = "unstable-store"))]
            #[allow(unused_imports, reason = "the feature `unstable-store` exports them")]
            pub(crate) use $($path)::+::{$($name),+};
        )+
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
#[cfg(test)]
mod dependencies;
#[cfg(all(feature = "aws", feature = "json", feature = "macros"))]
pub mod docs;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod lease;
#[cfg(kcl_mutants)]
#[doc(hidden)]
pub mod mutant;
pub mod operator;
pub mod policy;
mod process;
mod processor;
pub mod record;
pub mod replay;
mod retrieval;
pub mod settings;
#[cfg(feature = "unstable-store")]
pub mod shard;
#[cfg(not(feature = "unstable-store"))]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the feature `unstable-store` makes it public")]
mod shard;
mod spawn;
mod stopwatch;
pub mod telemetry;
pub mod testing;
mod text;
mod worker;

pub use config::{Concurrency, Retrieval, Settings, Start};
pub use error::{Code, Error, ErrorKind};
#[cfg(feature = "macros")]
pub use processor::DecodeError;
pub use processor::{
    Batch, BatchOutcome, BoxError, CheckpointError, CheckpointStore, ClaimedLease, FinalAction, OnError,
    PendingCheckpoint, PreparedCheckpoint, RecordHandle, RecordMeta, RecordProcessor, ShardContext,
};
pub use record::{Record, ShardId};
#[cfg(feature = "signal")]
pub use worker::shutdown_signal;
pub use worker::{Delivered, Deliveries, StreamConfig, Streams, Worker, WorkerBuilder, WorkerHandle};
// Type states of the builder, which nobody needs to name.
#[doc(hidden)]
pub use worker::{NoProcessor, OneStream};

/// Implements [`RecordProcessor`](trait@RecordProcessor) for a struct whose handler takes one
/// decoded record.
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
/// A record that does not read as a `T` is a [`DecodeError`]. It goes to the error policy, as does
/// what the handler returns, with the record that it failed at: those before it are handled and
/// acknowledged, those after it come when the policy has decided.
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
