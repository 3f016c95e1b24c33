//! The body formats of the two services, selected by `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A body format. The response has the format of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// JSON 1.0, the format of DynamoDB.
    Json10,
    /// JSON 1.1, the format of Kinesis.
    Json11,
    /// Plain JSON, which both services accept.
    PlainJson,
    /// Kinesis' binary format, which the Java SDKs use.
    Cbor,
}

impl Encoding {
    /// The format in the headers, if it is known.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let full = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = full.split(';').next().unwrap_or_default().trim();
        [Self::Json10, Self::Json11, Self::PlainJson, Self::Cbor]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::PlainJson => "application/json",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// The content type of the payloads of an event stream.
    pub(crate) fn event_content_type(self) -> &'static str {
        match self {
            Self::Json10 | Self::Json11 | Self::PlainJson => Self::PlainJson.content_type(),
            Self::Cbor => "application/cbor",
        }
    }

    /// Whether `body` is well-formed, independent of its content.
    pub(crate) fn parses(self, body: &[u8]) -> bool {
        match self {
            Self::Json10 | Self::Json11 | Self::PlainJson => {
                serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
            }
            Self::Cbor => ciborium::from_reader::<serde::de::IgnoredAny, _>(body).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &'static str) -> Option<Encoding> {
        Encoding::of(&HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]))
    }

    #[test]
    fn parameters_and_case_do_not_matter() {
        assert_eq!(of("application/x-amz-json-1.1"), Some(Encoding::Json11));
        assert_eq!(of("Application/X-Amz-Json-1.0; charset=utf-8"), Some(Encoding::Json10));
        assert_eq!(of("application/x-amz-cbor-1.1"), Some(Encoding::Cbor));
        assert_eq!(of("text/plain"), None);
        assert_eq!(Encoding::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_body_is_parsed_in_its_own_format() {
        assert!(Encoding::Json11.parses(b"{\"a\":[1]}"));
        assert!(!Encoding::Json11.parses(b"{\"a\":[1}"));
        assert!(!Encoding::Json11.parses(b""));
        assert!(Encoding::Cbor.parses(&[0xbf, 0xff]));
        assert!(!Encoding::Cbor.parses(&[0xbf]));
    }
}
