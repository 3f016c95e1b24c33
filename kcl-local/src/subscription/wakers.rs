//! Tells subscriptions that something has happened to their shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::kinesis::ShardId;
use crate::kinesis::model::{PutRecordsResultEntry, Response};

/// Whom an answered request may concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Nobody,
    Shards(BTreeSet<ShardId>),
    Everybody,
}

impl Wake {
    pub(crate) fn after(response: &Response) -> Self {
        match response {
            Response::PutRecord(output) => Self::Shards(BTreeSet::from([output.shard_id])),
            Response::PutRecords(output) => Self::Shards(
                output
                    .records
                    .iter()
                    .filter_map(|record| match record {
                        PutRecordsResultEntry::Stored { shard_id, .. } => Some(*shard_id),
                        PutRecordsResultEntry::Failed { .. } => None,
                    })
                    .collect(),
            ),
            Response::DescribeAccountSettings(_)
            | Response::DescribeLimits(_)
            | Response::DescribeStream(_)
            | Response::DescribeStreamConsumer(_)
            | Response::DescribeStreamSummary(_)
            | Response::GetRecords(_)
            | Response::GetResourcePolicy(_)
            | Response::GetShardIterator(_)
            | Response::ListShards(_)
            | Response::ListStreamConsumers(_)
            | Response::ListStreams(_)
            | Response::ListTagsForResource(_)
            | Response::ListTagsForStream(_) => Self::Nobody,
            Response::Empty
            | Response::DisableEnhancedMonitoring(_)
            | Response::EnableEnhancedMonitoring(_)
            | Response::RegisterStreamConsumer(_)
            | Response::SubscribeToShard(_)
            | Response::UpdateAccountSettings(_)
            | Response::UpdateShardCount(_)
            | Response::UpdateStreamWarmThroughput(_) => Self::Everybody,
        }
    }
}

/// One bell a shard number: shards of that number in other streams ring it too, which costs their subscribers a look and no more.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<BTreeMap<ShardId, Arc<Notify>>>);

impl Wakers {
    pub(crate) fn of(&self, shard: ShardId) -> Arc<Notify> {
        self.lock().entry(shard).or_default().clone()
    }

    pub(crate) fn wake(&self, wake: &Wake) {
        match wake {
            Wake::Nobody => {}
            Wake::Shards(shards) => {
                let bells = self.lock();
                shards.iter().filter_map(|shard| bells.get(shard)).for_each(|bell| bell.notify_waiters());
            }
            Wake::Everybody => self.lock().values().for_each(|bell| bell.notify_waiters()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::SequenceNumber;
    use crate::kinesis::model::{EncryptionType, GetRecordsOutput, PutRecordsOutput};

    #[test]
    fn records_concern_their_shards_reading_nobody_and_all_else_everybody() {
        let shard_id = ShardId::new(7);
        let stored = PutRecordsResultEntry::Stored { sequence_number: SequenceNumber::starting(0, shard_id), shard_id };
        let failed = PutRecordsResultEntry::Failed { error_code: "InternalFailure", error_message: String::new() };
        let put = PutRecordsOutput {
            failed_record_count: 1,
            records: vec![stored, failed],
            encryption_type: EncryptionType::None,
        };
        assert_eq!(Wake::after(&Response::PutRecords(put)), Wake::Shards(BTreeSet::from([shard_id])));
        assert_eq!(Wake::after(&Response::GetRecords(GetRecordsOutput::default())), Wake::Nobody);
        assert_eq!(Wake::after(&Response::Empty), Wake::Everybody);
    }
}
