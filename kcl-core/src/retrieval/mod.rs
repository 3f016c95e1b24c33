//! Reading a shard: one trait for every way to do it.

mod reader;

pub use reader::{Chunk, ReadError, Readers, ShardReader};
