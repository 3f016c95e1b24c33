//! The answer to `SubscribeToShard`: a stream of framed events, with its faults.
//!
//! The engine decides about each event and its time. [`feed`] waits for the next event, with
//! tokio's time and [`wakers`]; [`messages`] encodes the messages.

mod feed;
mod messages;
mod wakers;

pub(crate) use feed::Feed;
pub(crate) use messages::{Messages, messages};
pub(crate) use wakers::{Wake, Wakers};
