//! Reading a shard by GetRecords.

mod machine;
mod pace;
mod quiet;
mod reader;
#[cfg(test)]
mod tests;

pub(super) use machine::{Doubt, children_if_over, drop_done};
pub(super) use quiet::Quiet;
pub(super) use reader::BESIDE_PAYLOAD;
pub(crate) use reader::{LARGEST_CALL, PollingReaders};
