//! The types of writing and reading records.

use std::sync::Arc;

use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};

use super::{Blob, ChildShard, Timestamp, text_enum};
use crate::kinesis::{SequenceNumber, ShardId};

/// Input of `PutRecord`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub data: Option<Blob>,
    pub partition_key: Option<String>,
    pub explicit_hash_key: Option<String>,
    pub sequence_number_for_ordering: Option<String>,
    pub dry_run: Option<bool>,
}

/// Input of `PutRecords`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordsInput {
    pub records: Option<Vec<PutRecordsRequestEntry>>,
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub dry_run: Option<bool>,
}

/// One record of `PutRecords`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordsRequestEntry {
    pub data: Option<Blob>,
    pub partition_key: Option<String>,
    pub explicit_hash_key: Option<String>,
}

/// Input of `GetShardIterator`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIteratorInput {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub shard_id: Option<String>,
    pub shard_iterator_type: Option<String>,
    pub starting_sequence_number: Option<String>,
    pub timestamp: Option<Timestamp>,
    pub dry_run: Option<bool>,
}

/// Input of `GetRecords`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecordsInput {
    pub shard_iterator: Option<String>,
    pub limit: Option<i64>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub dry_run: Option<bool>,
}

text_enum! {
    /// How records are encrypted at rest.
    pub enum EncryptionType {
        None = "NONE",
        Kms = "KMS",
    }
}

text_enum! {
    /// The kind of a shard iterator's position.
    pub enum ShardIteratorType {
        AtSequenceNumber = "AT_SEQUENCE_NUMBER",
        AfterSequenceNumber = "AFTER_SEQUENCE_NUMBER",
        TrimHorizon = "TRIM_HORIZON",
        Latest = "LATEST",
        AtTimestamp = "AT_TIMESTAMP",
    }
}

/// Output of `PutRecord`.
#[derive(Clone, Debug, DeriveSerialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordOutput {
    pub shard_id: ShardId,
    pub sequence_number: SequenceNumber,
    pub encryption_type: EncryptionType,
}

/// Output of `PutRecords`.
#[derive(Clone, Debug, DeriveSerialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordsOutput {
    pub failed_record_count: usize,
    pub records: Vec<PutRecordsResultEntry>,
    pub encryption_type: EncryptionType,
}

/// The result of one record of `PutRecords`.
#[derive(Clone, Debug, DeriveSerialize)]
#[serde(untagged)]
pub enum PutRecordsResultEntry {
    /// The record is stored.
    #[serde(rename_all = "PascalCase")]
    Stored { sequence_number: SequenceNumber, shard_id: ShardId },
    /// The record is not stored; put it again.
    #[serde(rename_all = "PascalCase")]
    Failed { error_code: &'static str, error_message: String },
}

/// Output of `GetShardIterator`.
#[derive(Clone, Debug, DeriveSerialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIteratorOutput {
    pub shard_iterator: String,
}

/// Output of `GetRecords`.
#[derive(Clone, Debug, Default, DeriveSerialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecordsOutput {
    pub records: Records,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_shard_iterator: Option<String>,
    pub millis_behind_latest: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_shards: Option<Vec<ChildShard>>,
}

/// Records as stored, shared with the engine.
#[derive(Clone, Debug, Default)]
pub struct Records(pub Vec<Arc<Record>>);

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|record| &**record))
    }
}

/// A record.
#[derive(Clone, Debug, DeriveSerialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    pub sequence_number: SequenceNumber,
    pub approximate_arrival_timestamp: Timestamp,
    pub data: Blob,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_type: Option<EncryptionType>,
}
