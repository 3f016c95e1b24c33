//! Reads a range of a stream again, independently of the application that reads it live.

pub use crate::worker::{Order, Replay, ReplayBuilder, ReplaySummary};
