//! Limits the memory of a response from AWS: a whole body by what was requested, an event stream by
//! the size of its messages.
//!
//! The SDK collects a body until it ends, and a message of an event stream until it has as many
//! bytes as its prelude states. A proxy between the service and us, or an endpoint that is not AWS,
//! can make either endless. The time limit of a whole body is the attempt timeout, which includes
//! reading the body.

use aws_sdk_kinesis::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
};
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::operation::get_records::GetRecordsInput;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

const MIB: u64 = 1024 * 1024;

/// Well above a Scan page of 1 MB and a list of 10,000 shards, including the overhead of JSON.
const DEFAULT: u64 = 16 * MIB;
/// BatchGetItem returns up to 16 MB of items (AWS: BatchGetItem), and JSON adds up to half of that.
const BATCH: u64 = 24 * MIB;
/// GetRecords returns up to 10 MiB of data (AWS: GetRecords), which is 14 MiB in base64.
const RECORDS: u64 = 14 * MIB;
/// The bytes that a record adds to its data: a partition key of 256 characters, each of at most 12
/// bytes if JSON escapes it, a sequence number, and member names.
const RECORD: u64 = 4 * 1024;
/// The most records of a GetRecords response, and the number without a limit.
const MOST_RECORDS: u64 = 10_000;
/// AWS's own clients accept event stream messages of up to 24 MiB.
const MESSAGE: u64 = 24 * MIB;

/// The only operation whose response is an event stream.
const SUBSCRIBE: &str = "SubscribeToShard";

/// The limit of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// A whole body of at most this many bytes.
    Whole(u64),
    /// An endless stream of messages of at most this many bytes.
    Messages(u64),
}

/// Returns the limit of an operation's response; `records` is the limit of a GetRecords request.
fn limit_of(operation: &str, records: Option<u64>, succeeded: bool) -> Limit {
    match operation {
        SUBSCRIBE if succeeded => Limit::Messages(MESSAGE),
        "GetRecords" => Limit::Whole(RECORDS + RECORD * records.unwrap_or(MOST_RECORDS).min(MOST_RECORDS)),
        "BatchGetItem" => Limit::Whole(BATCH),
        _ => Limit::Whole(DEFAULT),
    }
}

/// The number of records that a call in progress requested.
#[derive(Debug)]
struct RequestedRecords(u64);

impl Storable for RequestedRecords {
    type Storer = StoreReplace<Self>;
}

/// Limits each response of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseLimit;

impl Intercept for ResponseLimit {
    fn name(&self) -> &'static str {
        "ResponseLimit"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let limit = context.input().downcast_ref::<GetRecordsInput>().and_then(GetRecordsInput::limit);
        if let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) {
            config.interceptor_state().store_put(RequestedRecords(limit));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        let records = config.load::<RequestedRecords>().map(|asked| asked.0);
        let response = context.response_mut();
        let limit = limit_of(operation, records, response.status().is_success());
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = body.map_preserve_contents(move |body| {
            SdkBody::from_body_1_x(LimitedBody {
                body: Box::pin(body),
                counter: ByteCounter::new(limit),
                failed: false,
            })
        });
        Ok(())
    }
}

/// A response that exceeded its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Oversize {
    #[error("the response is longer than {0} bytes, the most that was requested")]
    Whole(u64),
    #[error("a message of the event stream has {claimed} bytes, more than the limit of {most}")]
    Message { claimed: u64, most: u64 },
}

/// Counts the bytes of a response against its limit.
#[derive(Debug)]
enum ByteCounter {
    Whole { most: u64, seen: u64 },
    Messages { most: u64, length: Vec<u8>, rest: u64 },
}

/// A message begins with its length, which includes these four bytes (vnd.amazon.eventstream).
const LENGTH: usize = 4;

impl ByteCounter {
    fn new(limit: Limit) -> Self {
        match limit {
            Limit::Whole(most) => ByteCounter::Whole { most, seen: 0 },
            Limit::Messages(most) => ByteCounter::Messages { most, length: Vec::with_capacity(LENGTH), rest: 0 },
        }
    }

    /// Rejects a body whose declared length is too long, before reading any of it.
    fn declared(&self, length: u64) -> Result<(), Oversize> {
        match self {
            ByteCounter::Whole { most, .. } if length > *most => Err(Oversize::Whole(*most)),
            ByteCounter::Whole { .. } | ByteCounter::Messages { .. } => Ok(()),
        }
    }

    fn count(&mut self, data: &[u8]) -> Result<(), Oversize> {
        match self {
            ByteCounter::Whole { most, seen } => {
                *seen += data.len() as u64;
                if *seen > *most { Err(Oversize::Whole(*most)) } else { Ok(()) }
            }
            ByteCounter::Messages { most, length, rest } => {
                let mut data = data;
                while !data.is_empty() {
                    let passed = usize::try_from(*rest).unwrap_or(usize::MAX).min(data.len());
                    *rest -= passed as u64;
                    data = data.get(passed..).unwrap_or_default();
                    let of_length = (LENGTH - length.len()).min(data.len());
                    length.extend(data.get(..of_length).unwrap_or_default());
                    data = data.get(of_length..).unwrap_or_default();
                    if let Ok(bytes) = <[u8; LENGTH]>::try_from(length.as_slice()) {
                        let claimed = u64::from(u32::from_be_bytes(bytes));
                        if claimed > *most {
                            return Err(Oversize::Message { claimed, most: *most });
                        }
                        *rest = claimed.saturating_sub(LENGTH as u64);
                        length.clear();
                    }
                }
                Ok(())
            }
        }
    }
}

/// A body that fails when it exceeds its limit.
struct LimitedBody {
    body: Pin<Box<SdkBody>>,
    counter: ByteCounter,
    failed: bool,
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let checked = match self.counter.declared(self.body.size_hint().lower()) {
            Ok(()) => match std::task::ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => self.counter.count(frame.data_ref().map_or(&[], Bytes::as_ref)).map(|()| frame),
            },
            Err(oversize) => Err(oversize),
        };
        self.failed = checked.is_err();
        Poll::Ready(Some(checked.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_response_is_limited_by_what_was_requested() {
        assert_eq!(limit_of("GetRecords", Some(100), true), Limit::Whole(RECORDS + 100 * RECORD));
        assert_eq!(limit_of("GetRecords", None, true), Limit::Whole(RECORDS + 10_000 * RECORD));
        assert_eq!(limit_of("GetRecords", Some(u64::MAX), true), limit_of("GetRecords", None, true));
        assert_eq!(limit_of("ListShards", None, true), Limit::Whole(DEFAULT));
        assert_eq!(limit_of("BatchGetItem", None, true), Limit::Whole(BATCH));
        assert_eq!(limit_of(SUBSCRIBE, None, true), Limit::Messages(MESSAGE));
        assert_eq!(limit_of(SUBSCRIBE, None, false), Limit::Whole(DEFAULT), "an error is not an event stream");
    }

    #[test]
    fn a_body_may_have_exactly_its_limit() {
        let mut counter = ByteCounter::new(Limit::Whole(10));
        assert_eq!(counter.count(&[0; 10]), Ok(()));
        assert_eq!(counter.count(&[0]), Err(Oversize::Whole(10)));
        let counter = ByteCounter::new(Limit::Whole(10));
        assert_eq!((counter.declared(10), counter.declared(11)), (Ok(()), Err(Oversize::Whole(10))));
    }

    #[test]
    fn a_message_with_an_excessive_length_is_refused_at_its_fourth_byte() {
        let mut counter = ByteCounter::new(Limit::Messages(MESSAGE));
        assert_eq!(counter.count(&[0xff, 0xff, 0xff]), Ok(()));
        let claimed = u64::from(u32::MAX);
        assert_eq!(counter.count(&[0xff]), Err(Oversize::Message { claimed, most: MESSAGE }));
    }

    proptest! {
        #[test]
        fn messages_within_the_limit_pass_in_any_chunks_and_a_larger_one_fails(
            lengths in proptest::collection::vec(LENGTH..200, 0..8),
            cut in 1_usize..50,
        ) {
            let message = |length: usize| {
                let mut message = u32::try_from(length).unwrap().to_be_bytes().to_vec();
                message.resize(length, 0xff);
                message
            };
            let mut counter = ByteCounter::new(Limit::Messages(200));
            for piece in lengths.iter().copied().flat_map(message).collect::<Vec<_>>().chunks(cut) {
                prop_assert_eq!(counter.count(piece), Ok(()));
            }
            prop_assert_eq!(counter.count(&message(201)), Err(Oversize::Message { claimed: 201, most: 200 }));
        }
    }
}
