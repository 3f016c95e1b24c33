//! The settings that one part of a worker needs. A part is given these, and not all settings: its signature says what it depends
//! on.

use super::{CorruptAggregates, Retrieval, Settings};
use crate::record::aggregate::{Checksum, ForeignRecords};
use std::time::Duration;

/// How often shards are polled, and for how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollingConfig {
    pub(crate) poll_interval: Duration,
    pub(crate) idle_poll_interval: Duration,
    pub(crate) max_records: u32,
}

/// How a stream is read.
#[derive(Clone, Debug)]
pub(crate) struct RetrievalConfig {
    pub(crate) retrieval: Retrieval,
    pub(crate) consumer_name: Option<String>,
    pub(crate) consumer_arn: Option<String>,
    pub(crate) until_ms: Option<i64>,
    pub(crate) polling: PollingConfig,
}

/// How aggregates are taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AggregateConfig {
    pub(crate) deaggregate: bool,
    pub(crate) checksum: Checksum,
    pub(crate) foreign_records: ForeignRecords,
    pub(crate) corrupt_aggregates: CorruptAggregates,
}

/// How much a handler is called with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchingConfig {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// How long the first record waits for others.
    pub(crate) window: Duration,
}

/// How records are handed to handlers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlingConfig {
    pub(crate) process_deadline: Duration,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) quarantine_retry: Option<Duration>,
    pub(crate) max_unacknowledged: u64,
    pub(crate) batching: BatchingConfig,
    pub(crate) aggregates: AggregateConfig,
}

impl From<&Settings> for PollingConfig {
    fn from(settings: &Settings) -> Self {
        PollingConfig {
            poll_interval: settings.poll_interval,
            idle_poll_interval: settings.idle_poll_interval,
            max_records: settings.max_records,
        }
    }
}

impl From<&Settings> for RetrievalConfig {
    fn from(settings: &Settings) -> Self {
        RetrievalConfig {
            retrieval: settings.retrieval,
            consumer_name: settings.consumer_name.clone(),
            consumer_arn: settings.consumer_arn.clone(),
            until_ms: settings.until_ms(),
            polling: settings.into(),
        }
    }
}

impl From<&Settings> for AggregateConfig {
    fn from(settings: &Settings) -> Self {
        AggregateConfig {
            deaggregate: settings.deaggregate,
            checksum: settings.aggregate_checksum,
            foreign_records: settings.foreign_records,
            corrupt_aggregates: settings.corrupt_aggregates,
        }
    }
}

impl From<&Settings> for HandlingConfig {
    fn from(settings: &Settings) -> Self {
        HandlingConfig {
            process_deadline: settings.process_deadline,
            handler_timeout: settings.handler_timeout,
            quarantine_retry: settings.quarantine_retry,
            max_unacknowledged: settings.max_unacknowledged,
            batching: BatchingConfig {
                records: settings.max_batch_records,
                bytes: settings.max_batch_bytes,
                window: settings.batch_window,
            },
            aggregates: settings.into(),
        }
    }
}
