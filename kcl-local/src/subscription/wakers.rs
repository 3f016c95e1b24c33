//! Wakes subscriptions when their shards may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::kinesis::ShardId;
use crate::kinesis::model::{PutRecordsResultEntry, Response};

/// The subscriptions to wake after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    None,
    Shards(BTreeSet<ShardId>),
    All,
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
            | Response::ListTagsForStream(_) => Self::None,
            Response::Empty
            | Response::DisableEnhancedMonitoring(_)
            | Response::EnableEnhancedMonitoring(_)
            | Response::RegisterStreamConsumer(_)
            | Response::SubscribeToShard(_)
            | Response::UpdateAccountSettings(_)
            | Response::UpdateShardCount(_)
            | Response::UpdateStreamWarmThroughput(_) => Self::All,
        }
    }
}

/// One `Notify` per shard number. Shards with the same number in other streams share it, which only
/// wakes their subscribers once more than necessary.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<BTreeMap<ShardId, Arc<Notify>>>);

impl Wakers {
    pub(crate) fn of(&self, shard: ShardId) -> Arc<Notify> {
        self.lock().entry(shard).or_default().clone()
    }

    pub(crate) fn wake(&self, wake: &Wake) {
        match wake {
            Wake::None => {}
            Wake::Shards(shards) => {
                let wakers = self.lock();
                shards.iter().filter_map(|shard| wakers.get(shard)).for_each(|waker| waker.notify_waiters());
            }
            Wake::All => self.lock().values().for_each(|waker| waker.notify_waiters()),
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
    fn writes_wake_their_shards_reads_wake_none_and_other_changes_wake_all() {
        let shard_id = ShardId::new(7);
        let stored = PutRecordsResultEntry::Stored { sequence_number: SequenceNumber::starting(0, shard_id), shard_id };
        let failed = PutRecordsResultEntry::Failed { error_code: "InternalFailure", error_message: String::new() };
        let put = PutRecordsOutput {
            failed_record_count: 1,
            records: vec![stored, failed],
            encryption_type: EncryptionType::None,
        };
        assert_eq!(Wake::after(&Response::PutRecords(put)), Wake::Shards(BTreeSet::from([shard_id])));
        assert_eq!(Wake::after(&Response::GetRecords(GetRecordsOutput::default())), Wake::None);
        assert_eq!(Wake::after(&Response::Empty), Wake::All);
    }
}
