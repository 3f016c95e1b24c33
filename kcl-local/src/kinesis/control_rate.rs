//! Limits the rates of operations other than reading and writing records.

use std::collections::HashMap;

use super::EngineTime;
use super::model::Request;
use super::throttle::CallWindow;

/// The rate limit of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate<'a> {
    per_second: usize,
    /// The stream to which the limit applies, as the request names it; empty for the whole account.
    stream: &'a str,
}

/// The rate limit of the operation, as AWS documents it
/// (<https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>). `None` for
/// operations that shards throttle.
pub(crate) fn rate(request: &Request) -> Option<Rate<'_>> {
    let of_account = |per_second| Some(Rate { per_second, stream: "" });

    match request {
        Request::DescribeLimits(_) => of_account(1),
        Request::AddTagsToStream(_)
        | Request::CreateStream(_)
        | Request::DeleteStream(_)
        | Request::DescribeAccountSettings(_)
        | Request::ListStreams(_)
        | Request::ListTagsForStream(_)
        | Request::MergeShards(_)
        | Request::RegisterStreamConsumer(_)
        | Request::RemoveTagsFromStream(_)
        | Request::SplitShard(_)
        | Request::UpdateAccountSettings(_)
        | Request::UpdateStreamWarmThroughput(_)
        | Request::DecreaseStreamRetentionPeriod(_)
        | Request::DeleteResourcePolicy(_)
        | Request::DisableEnhancedMonitoring(_)
        | Request::EnableEnhancedMonitoring(_)
        | Request::GetResourcePolicy(_)
        | Request::IncreaseStreamRetentionPeriod(_)
        | Request::ListTagsForResource(_)
        | Request::PutResourcePolicy(_)
        | Request::StartStreamEncryption(_)
        | Request::StopStreamEncryption(_)
        | Request::TagResource(_)
        | Request::UntagResource(_)
        | Request::UpdateMaxRecordSize(_)
        | Request::UpdateStreamMode(_)
        | Request::UpdateStreamRecordDistributionStrategy(_) => of_account(5),
        Request::DeregisterStreamConsumer(input) => {
            of_stream(5, [input.stream_arn.as_ref(), input.consumer_arn.as_ref()])
        }
        Request::ListStreamConsumers(input) => of_stream(5, [input.stream_arn.as_ref(), None]),
        Request::DescribeStream(_) | Request::UpdateShardCount(_) => of_account(10),
        Request::DescribeStreamSummary(_) => of_account(20),
        Request::DescribeStreamConsumer(input) => {
            of_stream(20, [input.stream_arn.as_ref(), input.consumer_arn.as_ref()])
        }
        Request::ListShards(input) => of_stream(1000, [input.stream_name.as_ref(), input.stream_arn.as_ref()]),
        Request::GetRecords(_)
        | Request::GetShardIterator(_)
        | Request::PutRecord(_)
        | Request::PutRecords(_)
        | Request::SubscribeToShard(_) => None,
    }
}

/// A limit per stream, which the request names in one of two members.
fn of_stream<'a>(per_second: usize, names: [Option<&'a String>; 2]) -> Option<Rate<'a>> {
    let stream = names.into_iter().flatten().next().map_or("", String::as_str);
    Some(Rate { per_second, stream })
}

/// The calls of the last second, by operation and stream.
#[derive(Debug, Default)]
pub(crate) struct ControlRates {
    windows: HashMap<(&'static str, String), CallWindow>,
}

impl ControlRates {
    /// Counts the call. Returns false if the rate is exceeded.
    pub(crate) fn admit(&mut self, operation: &'static str, rate: Rate<'_>, now: EngineTime) -> bool {
        self.windows.entry((operation, rate.stream.to_owned())).or_default().admit(now, rate.per_second)
    }
}
