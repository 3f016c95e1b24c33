//! A stream: its settings, state, shards and consumers.

pub(crate) mod consumer;
pub(crate) mod phase;
pub(crate) mod record_log;
mod rescale;
pub(crate) mod retention;
pub(crate) mod shard;
pub(crate) mod shard_set;
pub(crate) mod subscription_slot;

use std::collections::{BTreeMap, BTreeSet};

use self::consumer::Consumers;
use self::phase::Phase;
use self::retention::Retention;
use self::shard_set::ShardSet;
use super::EngineTime;
use super::model::{
    EncryptionType, EnhancedMetrics, MetricsName, RecordDistributionStrategy, StreamDescriptionSummary, StreamMode,
    StreamModeDetails, StreamSummary, WarmThroughput,
};

/// The default of `MaxRecordSizeInKiB`.
pub(crate) const DEFAULT_RECORD_KIB: i64 = 1024;

/// A stream of one account in one Region.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// Distinguishes the stream from earlier streams of the same name.
    pub(crate) incarnation: u64,
    /// The creation time in responses: later than that of every earlier stream of the same name,
    /// even if the clock did not advance.
    pub(crate) created: EngineTime,
    /// The creation time on the engine's clock.
    pub(crate) created_on_clock: EngineTime,
    pub(crate) phase: Phase,
    pub(crate) mode: StreamMode,
    /// The times of mode switches in the last 24 hours.
    pub(crate) mode_switches: Vec<EngineTime>,
    /// The times of `UpdateShardCount` in the last 24 hours.
    pub(crate) rescales: Vec<EngineTime>,
    pub(crate) retention: Retention,
    pub(crate) shards: ShardSet,
    pub(crate) consumers: Consumers,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) policy: Option<String>,
    pub(crate) encryption: EncryptionType,
    pub(crate) key_id: Option<String>,
    pub(crate) metrics: BTreeSet<MetricsName>,
    pub(crate) max_record_kib: i64,
    pub(crate) warm_throughput: Option<i64>,
    pub(crate) distribution: RecordDistributionStrategy,
}

impl Stream {
    pub(crate) fn horizon(&self, now: EngineTime) -> EngineTime {
        self.retention.horizon(now)
    }

    /// Maximum size of a record, data and partition key together.
    pub(crate) fn max_record_bytes(&self) -> usize {
        usize::try_from(self.max_record_kib).unwrap_or(0) * 1024
    }

    pub(crate) fn mode_details(&self) -> StreamModeDetails {
        StreamModeDetails { stream_mode: self.mode }
    }

    pub(crate) fn enhanced_monitoring(&self) -> Vec<EnhancedMetrics> {
        vec![EnhancedMetrics { shard_level_metrics: self.metrics.iter().copied().collect() }]
    }

    pub(crate) fn warm_throughput(&self) -> Option<WarmThroughput> {
        self.warm_throughput.map(|mibps| WarmThroughput { target_mibps: mibps, current_mibps: mibps })
    }

    pub(crate) fn summary(&self) -> StreamSummary {
        StreamSummary {
            stream_name: self.name.clone(),
            stream_arn: self.arn.clone(),
            stream_status: self.phase.status(),
            stream_mode_details: self.mode_details(),
            stream_creation_timestamp: self.created.into(),
        }
    }

    pub(crate) fn description_summary(&self) -> StreamDescriptionSummary {
        StreamDescriptionSummary {
            stream_name: self.name.clone(),
            stream_arn: self.arn.clone(),
            stream_status: self.phase.status(),
            stream_mode_details: self.mode_details(),
            retention_period_hours: self.retention.hours(),
            stream_creation_timestamp: self.created.into(),
            enhanced_monitoring: self.enhanced_monitoring(),
            encryption_type: self.encryption,
            key_id: self.key_id.clone(),
            open_shard_count: self.shards.open_count(),
            consumer_count: self.consumers.len(),
            warm_throughput: self.warm_throughput(),
            max_record_size_in_kib: self.max_record_kib,
            channel_count: 0,
            record_distribution_strategy: match self.mode {
                StreamMode::OnDemand => Some(self.distribution),
                StreamMode::Provisioned => None,
            },
        }
    }
}
