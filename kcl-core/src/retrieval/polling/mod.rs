//! Reading a shard by GetRecords.

mod machine;
mod pace;
mod quiet;
mod reader;

pub(crate) use reader::PollingReaders;
