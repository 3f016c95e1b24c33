//! The operations of the API, with one request and one response each, and the decoding of request
//! bodies.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::kinesis::SubscriptionId;

/// The body of a request in one of the two encodings of the protocol.
pub trait Body {
    /// Decodes the body as a `T`.
    ///
    /// # Errors
    /// The reason why the body is not a `T`, as a message to the caller of the API.
    fn read<T: DeserializeOwned>(self) -> Result<T, String>;
}

/// A body in JSON. An empty body means an empty object.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a [u8]);

impl Body for Json<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, String> {
        let body = if self.0.is_empty() { b"{}" } else { self.0 };
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

/// A body in CBOR. An empty body means an empty map.
#[derive(Clone, Copy, Debug)]
pub struct Cbor<'a>(pub &'a [u8]);

impl Body for Cbor<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, String> {
        let body: &[u8] = if self.0.is_empty() { &[0xa0] } else { self.0 };
        ciborium::from_reader(body).map_err(|error| error.to_string())
    }
}

macro_rules! operations {
    ($($name:ident($input:ident)),+ $(,)?) => {
        /// The request of one operation.
        #[derive(Clone, Debug)]
        pub enum Request { $(
            #[doc = concat!("`", stringify!($name), "`")]
            $name($input)
        ),+ }

        impl Request {
            /// The names of all supported operations.
            pub const OPERATIONS: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Decodes the input of `operation` (the part of `X-Amz-Target` after the dot).
            ///
            /// # Errors
            /// [`DecodeError::UnknownOperation`] for a name that is not in [`Self::OPERATIONS`]
            /// (such as operations of queues and channels); [`DecodeError::Serialization`] if the
            /// body does not parse or a member has the wrong type.
            pub fn decode(operation: &str, body: impl Body) -> Result<Self, DecodeError> {
                match operation {
                    $(stringify!($name) => body.read::<$input>().map(Self::$name).map_err(DecodeError::Serialization),)+
                    other => Err(DecodeError::UnknownOperation(other.to_owned())),
                }
            }

            /// The name of the operation.
            #[must_use]
            pub fn operation(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),+ }
            }
        }

        $(impl From<$input> for Request {
            fn from(input: $input) -> Self {
                Self::$name(input)
            }
        })+
    };
}

operations! {
    AddTagsToStream(AddTagsToStreamInput),
    CreateStream(CreateStreamInput),
    DecreaseStreamRetentionPeriod(DecreaseStreamRetentionPeriodInput),
    DeleteResourcePolicy(DeleteResourcePolicyInput),
    DeleteStream(DeleteStreamInput),
    DeregisterStreamConsumer(DeregisterStreamConsumerInput),
    DescribeAccountSettings(DescribeAccountSettingsInput),
    DescribeLimits(DescribeLimitsInput),
    DescribeStream(DescribeStreamInput),
    DescribeStreamConsumer(DescribeStreamConsumerInput),
    DescribeStreamSummary(DescribeStreamSummaryInput),
    DisableEnhancedMonitoring(DisableEnhancedMonitoringInput),
    EnableEnhancedMonitoring(EnableEnhancedMonitoringInput),
    GetRecords(GetRecordsInput),
    GetResourcePolicy(GetResourcePolicyInput),
    GetShardIterator(GetShardIteratorInput),
    IncreaseStreamRetentionPeriod(IncreaseStreamRetentionPeriodInput),
    ListShards(ListShardsInput),
    ListStreamConsumers(ListStreamConsumersInput),
    ListStreams(ListStreamsInput),
    ListTagsForResource(ListTagsForResourceInput),
    ListTagsForStream(ListTagsForStreamInput),
    MergeShards(MergeShardsInput),
    PutRecord(PutRecordInput),
    PutRecords(PutRecordsInput),
    PutResourcePolicy(PutResourcePolicyInput),
    RegisterStreamConsumer(RegisterStreamConsumerInput),
    RemoveTagsFromStream(RemoveTagsFromStreamInput),
    SplitShard(SplitShardInput),
    StartStreamEncryption(StartStreamEncryptionInput),
    StopStreamEncryption(StopStreamEncryptionInput),
    SubscribeToShard(SubscribeToShardInput),
    TagResource(TagResourceInput),
    UntagResource(UntagResourceInput),
    UpdateAccountSettings(UpdateAccountSettingsInput),
    UpdateMaxRecordSize(UpdateMaxRecordSizeInput),
    UpdateShardCount(UpdateShardCountInput),
    UpdateStreamMode(UpdateStreamModeInput),
    UpdateStreamRecordDistributionStrategy(UpdateStreamRecordDistributionStrategyInput),
    UpdateStreamWarmThroughput(UpdateStreamWarmThroughputInput),
}

/// The response of one operation. Cheap to clone: payloads are shared with the engine.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each variant is the output of the operation it is named after")]
pub enum Response {
    /// The operation has no output: HTTP 200 and an empty body.
    Empty,
    DescribeAccountSettings(AccountSettingsOutput),
    DescribeLimits(DescribeLimitsOutput),
    DescribeStream(DescribeStreamOutput),
    DescribeStreamConsumer(DescribeStreamConsumerOutput),
    DescribeStreamSummary(DescribeStreamSummaryOutput),
    DisableEnhancedMonitoring(EnhancedMonitoringOutput),
    EnableEnhancedMonitoring(EnhancedMonitoringOutput),
    GetRecords(GetRecordsOutput),
    GetResourcePolicy(GetResourcePolicyOutput),
    GetShardIterator(GetShardIteratorOutput),
    ListShards(ListShardsOutput),
    ListStreamConsumers(ListStreamConsumersOutput),
    ListStreams(ListStreamsOutput),
    ListTagsForResource(ListTagsForResourceOutput),
    ListTagsForStream(ListTagsForStreamOutput),
    PutRecord(PutRecordOutput),
    PutRecords(PutRecordsOutput),
    RegisterStreamConsumer(RegisterStreamConsumerOutput),
    /// The subscription is open. [`Engine::next_event`](crate::kinesis::Engine::next_event) returns
    /// its events.
    SubscribeToShard(SubscriptionId),
    UpdateAccountSettings(AccountSettingsOutput),
    UpdateShardCount(UpdateShardCountOutput),
    UpdateStreamWarmThroughput(UpdateStreamWarmThroughputOutput),
}

impl Response {
    /// Whether the body is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(operation: &str, json: &str) -> Result<Request, DecodeError> {
        Request::decode(operation, Json(json.as_bytes()))
    }

    #[test]
    fn members_have_aws_names_and_nulls_and_unknown_members_are_ignored() {
        let json = r#"{"StreamName":"clicks","ShardCount":2,"WarmThroughputMiBps":null,"MaxRecordSizeInKiB":2048,"Colour":{"a":[1]}}"#;
        let Ok(Request::CreateStream(input)) = decode("CreateStream", json) else { panic!("not decoded") };
        assert_eq!(input.stream_name.as_deref(), Some("clicks"));
        assert_eq!(
            (input.shard_count, input.warm_throughput_mibps, input.max_record_size_in_kib),
            (Some(2), None, Some(2048))
        );
    }

    #[test]
    fn a_wrong_type_and_an_unknown_operation_are_different_errors() {
        assert!(matches!(decode("CreateStream", r#"{"ShardCount":"two"}"#), Err(DecodeError::Serialization(_))));
        assert!(matches!(decode("CreateStream", "nonsense"), Err(DecodeError::Serialization(_))));
        assert_eq!(decode("CreateQueue", "{}").unwrap_err(), DecodeError::UnknownOperation("CreateQueue".to_owned()));
    }

    #[test]
    fn a_request_is_read_from_cbor_with_maps_of_unknown_length() {
        // {_ "Records": [_ {_ "Data": h'01', "PartitionKey": "k"}], "StreamName": "s"}
        let mut body = vec![0xbf, 0x67];
        body.extend(b"Records");
        body.extend([0x9f, 0xbf, 0x64]);
        body.extend(b"Data");
        body.extend([0x41, 0x01, 0x6c]);
        body.extend(b"PartitionKey");
        body.extend([0x61, b'k', 0xff, 0xff, 0x6a]);
        body.extend(b"StreamName");
        body.extend([0x61, b's', 0xff]);
        let Ok(Request::PutRecords(input)) = Request::decode("PutRecords", Cbor(&body)) else { panic!("not decoded") };
        let records = input.records.unwrap();
        assert_eq!(records[0].data.as_ref().unwrap().0[..], [1]);
        assert_eq!((records[0].partition_key.as_deref(), input.stream_name.as_deref()), (Some("k"), Some("s")));
    }

    #[test]
    fn absent_members_are_left_out() {
        let shard_end = Response::GetRecords(GetRecordsOutput::default());
        assert_eq!(serde_json::to_string(&shard_end).unwrap(), r#"{"Records":[],"MillisBehindLatest":0}"#);
    }
}
