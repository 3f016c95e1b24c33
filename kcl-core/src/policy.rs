//! Decides about failures: how often a batch is retried, and what follows.
//!
//! [`OnError`] is the policy that most consumers need, as a value. A type that implements
//! [`ErrorPolicy`] decides about each [`Failure`] itself. Records that a policy gives up go to a
//! [`DeadLetterSink`].
//!
//! ```
//! use kcl_core::policy::{FinalAction, OnError, sink_fn, DeadLetter};
//! use std::time::Duration;
//!
//! // Retry for an hour, then put the record into the dead-letter queue.
//! let policy = OnError::retry().max_record_age(Duration::from_secs(3_600)).then(FinalAction::DeadLetter);
//! let sink = sink_fn(|letter: DeadLetter| async move {
//!     eprintln!("given up: {} ({})", letter.idempotency_key(), letter.error);
//!     Ok(())
//! });
//! # let _ = || async {
//! # struct Delays;
//! # impl kcl_core::RecordProcessor for Delays {
//! #     async fn process_records(&mut self, _: &kcl_core::Batch, _: &kcl_core::ShardContext) -> Result<(), kcl_core::BoxError> { Ok(()) }
//! # }
//! let worker = kcl_core::Worker::builder("delays", "flights")
//!     .error_policy(policy)
//!     .dead_letters(sink)
//!     .processor(|_: &kcl_core::ShardId| Delays)
//!     .build()
//!     .await?;
//! # Ok::<_, kcl_core::Error>(worker)
//! # };
//! ```

#[cfg(feature = "json")]
pub use crate::processor::JsonLinesFile;
pub use crate::processor::{
    Cause, DeadLetter, DeadLetterSink, Decision, ErrorPolicy, Failure, FinalAction, OnError, SinkFn, sink_fn,
};
pub use crate::retrieval::{CorruptAggregate, ReadError};
pub use crate::shard::{ApiError, ApiErrorKind};
