//! A stream under test, and operations on it.

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::put_record::PutRecordOutput;
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, Record, ScalingType, Shard, ShardFilter, ShardFilterType, ShardIteratorType,
};

use super::failure::Failure;
use super::server::Server;

/// A stream of the server.
pub(crate) struct Stream<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
    pub(crate) arn: String,
}

/// Where an iterator starts.
#[derive(Clone, Debug)]
pub(crate) enum From<'a> {
    TrimHorizon,
    Latest,
    At(&'a str),
    After(&'a str),
    Time(DateTime),
}

/// Everything that can be read from some position of a shard now.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) records: Vec<Record>,
    /// The last answer.
    pub(crate) last: GetRecordsOutput,
}

impl Stream<'_> {
    pub(crate) async fn active(&self) {
        self.server.await_active(&self.name).await;
    }

    pub(crate) async fn put(&self, key: &str, data: &str) -> PutRecordOutput {
        self.try_put(key, data.as_bytes()).await.unwrap()
    }

    pub(crate) async fn try_put(&self, key: &str, data: &[u8]) -> Result<PutRecordOutput, Failure> {
        let request = self.server.client.put_record().stream_name(&self.name);
        Ok(request.partition_key(key).data(Blob::new(data)).send().await?)
    }

    /// Puts a record at this place of the hash space.
    pub(crate) async fn put_at(&self, hash_key: u128, data: &str) -> PutRecordOutput {
        let request = self.server.client.put_record().stream_name(&self.name).partition_key("key");
        request.explicit_hash_key(hash_key.to_string()).data(Blob::new(data)).send().await.unwrap()
    }

    pub(crate) async fn put_all(&self, entries: Vec<PutRecordsRequestEntry>) -> Result<PutRecordsOutput, Failure> {
        Ok(self.server.client.put_records().stream_name(&self.name).set_records(Some(entries)).send().await?)
    }

    /// All shards, over as many pages as necessary.
    pub(crate) async fn shards(&self) -> Vec<Shard> {
        self.listed(None).await.unwrap()
    }

    pub(crate) async fn open_shards(&self) -> Vec<Shard> {
        self.shards().await.into_iter().filter(is_open).collect()
    }

    pub(crate) async fn shard(&self, id: &str) -> Shard {
        self.shards().await.into_iter().find(|shard| shard.shard_id() == id).unwrap()
    }

    pub(crate) async fn listed(&self, filter: Option<ShardFilter>) -> Result<Vec<Shard>, Failure> {
        let list = |token: Option<String>| {
            let request = self.server.client.list_shards();
            match token {
                None => request.stream_name(&self.name).set_shard_filter(filter.clone()),
                Some(token) => request.next_token(token),
            }
            .send()
        };
        let mut shards = Vec::new();
        let mut token = None;
        loop {
            let page = list(token).await?;
            shards.extend(page.shards.unwrap_or_default());
            match page.next_token {
                Some(next) => token = Some(next),
                None => return Ok(shards),
            }
        }
    }

    pub(crate) async fn iterator(&self, shard: &str, from: From<'_>) -> Result<String, Failure> {
        let request = self.server.client.get_shard_iterator().stream_name(&self.name).shard_id(shard);
        let request = match from {
            From::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            From::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            From::At(number) => {
                request.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(number)
            }
            From::After(number) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(number)
            }
            From::Time(time) => request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(time),
        };
        Ok(request.send().await?.shard_iterator.unwrap())
    }

    /// One answer.
    pub(crate) async fn read(&self, iterator: &str) -> Result<GetRecordsOutput, Failure> {
        Ok(self.server.client.get_records().shard_iterator(iterator).send().await?)
    }

    pub(crate) async fn read_up_to(&self, iterator: &str, limit: i32) -> Result<GetRecordsOutput, Failure> {
        Ok(self.server.client.get_records().shard_iterator(iterator).limit(limit).send().await?)
    }

    /// Reads on to the tip or the end of the shard.
    pub(crate) async fn rest(&self, shard: &str, from: From<'_>) -> Rest {
        let iterator = self.iterator(shard, from).await.unwrap();
        self.rest_of(iterator).await
    }

    pub(crate) async fn rest_of(&self, mut iterator: String) -> Rest {
        let mut records = Vec::new();
        loop {
            let answer = self.read(&iterator).await.unwrap();
            records.extend(answer.records.iter().cloned());
            match &answer.next_shard_iterator {
                Some(next) if answer.millis_behind_latest != Some(0) || !answer.records.is_empty() => {
                    iterator.clone_from(next);
                }
                Some(_) | None => return Rest { records, last: answer },
            }
        }
    }

    /// The data of the readable records.
    pub(crate) async fn data(&self, shard: &str, from: From<'_>) -> Vec<String> {
        data(&self.rest(shard, from).await.records)
    }

    /// Splits a shard in the middle, waits, and returns the children.
    pub(crate) async fn split(&self, shard: &str) -> Vec<Shard> {
        self.begin_split(shard).await.unwrap();
        self.active().await;
        self.children(shard).await
    }

    pub(crate) async fn begin_split(&self, shard: &str) -> Result<(), Failure> {
        let (start, end) = range(&self.shard(shard).await);
        self.begin_split_at(shard, start + (end - start) / 2).await
    }

    pub(crate) async fn begin_split_at(&self, shard: &str, hash_key: u128) -> Result<(), Failure> {
        let request = self.server.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        request.new_starting_hash_key(hash_key.to_string()).send().await?;
        Ok(())
    }

    /// Merges two shards, waits, and returns the child.
    pub(crate) async fn merge(&self, lower: &str, upper: &str) -> Shard {
        self.begin_merge(lower, upper).await.unwrap();
        self.active().await;
        self.children(lower).await.remove(0)
    }

    pub(crate) async fn begin_merge(&self, lower: &str, upper: &str) -> Result<(), Failure> {
        let request = self.server.client.merge_shards().stream_name(&self.name);
        request.shard_to_merge(lower).adjacent_shard_to_merge(upper).send().await?;
        Ok(())
    }

    pub(crate) async fn rescale(&self, count: i32) -> Result<(), Failure> {
        let request = self.server.client.update_shard_count().stream_name(&self.name).target_shard_count(count);
        request.scaling_type(ScalingType::UniformScaling).send().await?;
        self.active().await;
        Ok(())
    }

    pub(crate) async fn children(&self, shard: &str) -> Vec<Shard> {
        let is_child =
            |child: &Shard| [child.parent_shard_id(), child.adjacent_parent_shard_id()].contains(&Some(shard));
        self.shards().await.into_iter().filter(is_child).collect()
    }

    pub(crate) async fn delete(&self) {
        self.server.client.delete_stream().stream_name(&self.name).send().await.unwrap();
        self.server.await_gone(&self.name).await;
    }
}

pub(crate) fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build().unwrap()
}

pub(crate) fn filter(kind: ShardFilterType) -> ShardFilter {
    ShardFilter::builder().r#type(kind).build().unwrap()
}

pub(crate) fn data(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.data.as_ref().to_vec()).unwrap()).collect()
}

pub(crate) fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().unwrap().ending_sequence_number().is_none()
}

pub(crate) fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(Shard::shard_id).collect()
}

/// The hash range of a shard.
pub(crate) fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().unwrap();
    (range.starting_hash_key().parse().unwrap(), range.ending_hash_key().parse().unwrap())
}

/// True if these shards together cover every hash key once.
pub(crate) fn tile(shards: &[Shard]) -> bool {
    let mut ranges: Vec<_> = shards.iter().map(range).collect();
    ranges.sort_unstable();
    ranges.first().is_some_and(|(start, _)| *start == 0)
        && ranges.last().is_some_and(|(_, end)| *end == u128::MAX)
        && ranges.windows(2).all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0))
}
