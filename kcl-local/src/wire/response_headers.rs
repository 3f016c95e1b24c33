//! Adds the headers that every response has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use http::header::{DATE, HeaderValue};

use crate::answer::Body;
use crate::service::Service;

/// Adds request ids, checksum and date to responses. Ids come from a counter, so that the same run
/// has the same ids.
#[derive(Debug, Default)]
pub(crate) struct ResponseHeaders(AtomicU64);

impl ResponseHeaders {
    pub(crate) fn add(&self, service: Service, now: SystemTime, answer: &mut http::Response<Body>) {
        let mut rng = Rng::with_seed(self.0.fetch_add(1, Ordering::Relaxed));
        let crc32 = match (service, answer.body()) {
            (Service::DynamoDb, Body::Whole(bytes)) => Some(crc32fast::hash(bytes)),
            (Service::DynamoDb, Body::Messages(_)) | (Service::Kinesis, _) => None,
        };
        let headers = answer.headers_mut();
        headers.insert("x-amzn-requestid", header(request_id(&mut rng)));
        match crc32 {
            None => headers.insert("x-amz-id-2", header(extended_id(&mut rng))),
            Some(crc32) => headers.insert("x-amz-crc32", HeaderValue::from(crc32)),
        };
        headers.insert(DATE, header(http_date(now)));
    }
}

fn request_id(rng: &mut Rng) -> String {
    let hex = format!("{:032x}", rng.u128(..));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn extended_id(rng: &mut Rng) -> String {
    let mut bytes = [0; 72];
    rng.fill(&mut bytes);
    STANDARD.encode(bytes)
}

fn http_date(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    DateTime::from_secs(seconds).fmt(Format::HttpDate).unwrap_or_default()
}

/// The texts are ASCII made by this module, so the conversion does not fail.
fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn added(headers: &ResponseHeaders, service: Service) -> http::HeaderMap {
        let mut answer = http::Response::new(Body::Whole(Bytes::from_static(b"{}")));
        headers.add(service, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600), &mut answer);
        answer.headers().clone()
    }

    #[test]
    fn kinesis_responses_have_two_ids_and_dynamodb_responses_a_checksum() {
        let headers = ResponseHeaders::default();
        let kinesis = added(&headers, Service::Kinesis);
        assert_eq!(kinesis["x-amzn-requestid"].len(), 36);
        assert_eq!(kinesis["x-amz-id-2"].len(), 96);
        assert_eq!(kinesis["date"], "Thu, 01 Jan 2026 00:00:00 GMT");
        assert!(!kinesis.contains_key("x-amz-crc32"));
        let dynamodb = added(&headers, Service::DynamoDb);
        assert_eq!(dynamodb["x-amz-crc32"], "2745614147");
        assert!(!dynamodb.contains_key("x-amz-id-2"));
        assert_ne!(kinesis["x-amzn-requestid"], dynamodb["x-amzn-requestid"]);
    }
}
