#![doc = include_str!("../docs/settings.md")]

pub use crate::config::{BalanceBy, OnFleetSettings, Parser, Settings, Start};
pub use crate::processor::Concurrency;
pub use crate::record::aggregate::{Checksum, ForeignRecords};
pub use crate::retrieval::{CorruptAggregates, Retrieval};
