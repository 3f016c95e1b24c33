#![doc = include_str!("../docs/settings.md")]

pub use crate::config::{
    BalanceBy, Concurrency, CorruptAggregates, OnFleetSettings, Parser, Retrieval, Settings, Start,
};
pub use crate::record::aggregate::{Checksum, ForeignRecords};
