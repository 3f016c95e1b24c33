//! The answer to `SubscribeToShard`: events for as long as a subscription lives, framed, through whatever goes wrong.
//!
//! The engine decides what is told and when. [`feed`] waits for it, by tokio's time and [`wakers`] alone; [`messages`] makes the bytes.

mod feed;
mod messages;
mod wakers;

pub(crate) use feed::Feed;
pub(crate) use messages::{Messages, messages};
pub(crate) use wakers::{Wake, Wakers};
