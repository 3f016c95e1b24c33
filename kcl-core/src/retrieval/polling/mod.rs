//! Reading a shard by GetRecords.

mod machine;
mod pace;
mod quiet;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use reader::{CALL_DEADLINE, LARGEST_CALL, PollingReaders};
