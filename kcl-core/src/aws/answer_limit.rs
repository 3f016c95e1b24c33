//! Bounds what an answer of AWS may occupy in memory: a whole body by what was asked for, an event stream by its messages.
//!
//! The SDK collects a body until it ends, and a message of an event stream until it has as many bytes as its prelude claims.
//! Something between the service and us, or an endpoint that is not AWS, can make either of them endless. The deadline for a
//! whole body is the attempt's timeout, which includes the reading of the body.

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

/// A page of a Scan and a list of 10,000 shards are well below it, with all that JSON adds.
const ANSWER: u64 = 16 * MIB;
/// BatchGetItem returns up to 16 MB of items (AWS: BatchGetItem), and JSON makes half as much of them again.
const BATCH: u64 = 24 * MIB;
/// GetRecords returns up to 10 MiB of data (AWS: GetRecords), which is 14 MiB in base64.
const RECORDS: u64 = 14 * MIB;
/// What a record adds to its data: a partition key of 256 characters, each of at most 12 bytes where JSON escapes it, a
/// sequence number, the names of members.
const RECORD: u64 = 4 * 1024;
/// The most records that GetRecords returns, and does where no limit is given.
const MOST_RECORDS: u64 = 10_000;
/// The largest message of an event stream that AWS's own clients take is 24 MiB.
const MESSAGE: u64 = 24 * MIB;

/// The only operation whose answer is an event stream.
const SUBSCRIBE: &str = "SubscribeToShard";

/// What an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Of so many bytes.
    Whole(u64),
    /// Endless, in messages of so many bytes.
    Messages(u64),
}

/// Returns the bound of an operation's answer; `records` is the limit that GetRecords asked for.
fn bound(operation: &str, records: Option<u64>, succeeded: bool) -> Bound {
    match operation {
        SUBSCRIBE if succeeded => Bound::Messages(MESSAGE),
        "GetRecords" => Bound::Whole(RECORDS + RECORD * records.unwrap_or(MOST_RECORDS).min(MOST_RECORDS)),
        "BatchGetItem" => Bound::Whole(BATCH),
        _ => Bound::Whole(ANSWER),
    }
}

/// Of a call in progress: how many records it asked for.
#[derive(Debug)]
struct RecordsAsked(u64);

impl Storable for RecordsAsked {
    type Storer = StoreReplace<Self>;
}

/// Bounds each answer of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLimit;

impl Intercept for AnswerLimit {
    fn name(&self) -> &'static str {
        "AnswerLimit"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let limit = context.input().downcast_ref::<GetRecordsInput>().and_then(GetRecordsInput::limit);
        if let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) {
            config.interceptor_state().store_put(RecordsAsked(limit));
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
        let records = config.load::<RecordsAsked>().map(|asked| asked.0);
        let response = context.response_mut();
        let bound = bound(operation, records, response.status().is_success());
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = body.map_preserve_contents(move |body| {
            SdkBody::from_body_1_x(Bounded { body: Box::pin(body), gauge: Gauge::new(bound), failed: false })
        });
        Ok(())
    }
}

/// An answer that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Oversize {
    #[error("the answer is longer than the {0} bytes that what was asked for can have")]
    Whole(u64),
    #[error("a message of the event stream claims {claimed} bytes, and {most} are the most")]
    Message { claimed: u64, most: u64 },
}

/// Counts the bytes of an answer against its bound.
#[derive(Debug)]
enum Gauge {
    Whole { most: u64, seen: u64 },
    Messages { most: u64, length: Vec<u8>, rest: u64 },
}

/// A message begins with its length, the length itself included.
const LENGTH: usize = 4;

impl Gauge {
    fn new(bound: Bound) -> Self {
        match bound {
            Bound::Whole(most) => Gauge::Whole { most, seen: 0 },
            Bound::Messages(most) => Gauge::Messages { most, length: Vec::with_capacity(LENGTH), rest: 0 },
        }
    }

    /// Refuses what is declared to be too long before any of it is read.
    fn declared(&self, length: u64) -> Result<(), Oversize> {
        match self {
            Gauge::Whole { most, .. } if length > *most => Err(Oversize::Whole(*most)),
            Gauge::Whole { .. } | Gauge::Messages { .. } => Ok(()),
        }
    }

    fn count(&mut self, data: &[u8]) -> Result<(), Oversize> {
        match self {
            Gauge::Whole { most, seen } => {
                *seen += data.len() as u64;
                if *seen > *most { Err(Oversize::Whole(*most)) } else { Ok(()) }
            }
            Gauge::Messages { most, length, rest } => {
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

/// A body that fails where it gets too long.
struct Bounded {
    body: Pin<Box<SdkBody>>,
    gauge: Gauge,
    failed: bool,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let checked = match self.gauge.declared(self.body.size_hint().lower()) {
            Ok(()) => match std::task::ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => self.gauge.count(frame.data_ref().map_or(&[], Bytes::as_ref)).map(|()| frame),
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
    fn an_answer_is_bounded_by_what_was_asked_for() {
        assert_eq!(bound("GetRecords", Some(100), true), Bound::Whole(RECORDS + 100 * RECORD));
        assert_eq!(bound("GetRecords", None, true), Bound::Whole(RECORDS + 10_000 * RECORD));
        assert_eq!(bound("GetRecords", Some(u64::MAX), true), bound("GetRecords", None, true));
        assert_eq!(bound("ListShards", None, true), Bound::Whole(ANSWER));
        assert_eq!(bound("BatchGetItem", None, true), Bound::Whole(BATCH));
        assert_eq!(bound(SUBSCRIBE, None, true), Bound::Messages(MESSAGE));
        assert_eq!(bound(SUBSCRIBE, None, false), Bound::Whole(ANSWER), "an error is read as a whole");
    }

    #[test]
    fn a_body_may_have_as_many_bytes_as_it_was_granted_and_no_more() {
        let mut gauge = Gauge::new(Bound::Whole(10));
        assert_eq!(gauge.count(&[0; 10]), Ok(()));
        assert_eq!(gauge.count(&[0]), Err(Oversize::Whole(10)));
        let gauge = Gauge::new(Bound::Whole(10));
        assert_eq!((gauge.declared(10), gauge.declared(11)), (Ok(()), Err(Oversize::Whole(10))));
    }

    #[test]
    fn a_message_that_claims_gigabytes_is_refused_at_its_fourth_byte() {
        let mut gauge = Gauge::new(Bound::Messages(MESSAGE));
        assert_eq!(gauge.count(&[0xff, 0xff, 0xff]), Ok(()));
        let claimed = u64::from(u32::MAX);
        assert_eq!(gauge.count(&[0xff]), Err(Oversize::Message { claimed, most: MESSAGE }));
    }

    proptest! {
        #[test]
        fn messages_within_the_bound_pass_however_they_are_cut_and_a_larger_one_behind_them_does_not(
            lengths in proptest::collection::vec(LENGTH..200, 0..8),
            cut in 1_usize..50,
        ) {
            let message = |length: usize| {
                let mut message = u32::try_from(length).unwrap().to_be_bytes().to_vec();
                message.resize(length, 0xff);
                message
            };
            let mut gauge = Gauge::new(Bound::Messages(200));
            for piece in lengths.iter().copied().flat_map(message).collect::<Vec<_>>().chunks(cut) {
                prop_assert_eq!(gauge.count(piece), Ok(()));
            }
            prop_assert_eq!(gauge.count(&message(201)), Err(Oversize::Message { claimed: 201, most: 200 }));
        }
    }
}
