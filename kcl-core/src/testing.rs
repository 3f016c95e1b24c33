//! Clocks and task spawners, for tests under virtual time and for simulations.
//!
//! In production a worker coordinates on a thread of its own and measures time by [`BootClock`]. A
//! test under tokio's paused time runs everything on one runtime:
//!
//! ```no_run
//! # use kcl_core::prelude::*;
//! # struct Delays;
//! # impl RecordProcessor for Delays {
//! #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
//! # }
//! # async fn example() -> Result<(), kcl_core::Error> {
//! let worker = Worker::builder("delays", "flights")
//!     .with_seed(7)
//!     .on_current_runtime() // measures time by tokio's clock
//!     .processor(|_: &ShardId| Delays)
//!     .build()
//!     .await?;
//! # Ok(())
//! # }
//! ```

pub use crate::clock::{BootClock, Clock, Time, TokioClock};
pub use crate::spawn::Spawn;
