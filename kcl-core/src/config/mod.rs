//! Defines the settings of a worker: meaning, unit, default and text form, and which values
//! contradict each other.

mod balance;
mod concurrency;
mod corrupt_aggregates;
mod fleet_settings;
mod form;
mod key;
mod narrow;
mod parser;
mod retrieval;
#[cfg(test)]
mod rules;
mod settings;
#[cfg(test)]
mod settings_page;
mod start;
pub(crate) mod timing;
mod validate;

pub use balance::BalanceBy;
pub use concurrency::Concurrency;
pub use corrupt_aggregates::CorruptAggregates;
pub use fleet_settings::OnFleetSettings;
pub(crate) use form::timestamp;
pub(crate) use narrow::{AggregateConfig, BatchingConfig, HandlingConfig, PollingConfig, RetrievalConfig};
pub use parser::Parser;
pub use retrieval::Retrieval;
pub use settings::Settings;
// For the builders: `with_settings!(setters!);` in an `impl` that has a `settings_mut`.
#[allow(unused_imports, reason = "the builder uses them")]
pub(crate) use settings::{setters, with_settings};
pub use start::Start;
pub(crate) use validate::stream_of_consumer;
