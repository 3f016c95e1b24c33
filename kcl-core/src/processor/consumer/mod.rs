//! The consumer of one shard: calls the user's processor, one callback after the other, while it holds the lease.

mod run;
mod state;
#[cfg(test)]
mod tests;

pub(super) use run::{Consumer, LastWord, Rules, message as panic_message};
