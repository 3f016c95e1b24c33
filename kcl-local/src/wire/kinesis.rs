//! Decodes HTTP requests to requests of the Kinesis engine, and encodes its responses and errors.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response as HttpResponse, StatusCode};

use super::auth;
use super::encoding::Encoding;
use super::event_stream;
use super::records;
use crate::kinesis::model::{ApiError, Cbor, DecodeError, ErrorCode, Json, Request, Response};

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    name: String,
    message: Option<String>,
}

impl Refusal {
    /// An error with this name.
    pub(crate) fn named(name: &str, message: &str) -> Self {
        Self { status: crate::fault::status(name), name: name.to_owned(), message: Some(message.to_owned()) }
    }

    fn bare(code: ErrorCode) -> Self {
        Self { message: None, ..Self::from(ApiError::new(code, "")) }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, name: error.code.name().to_owned(), message: Some(error.message) }
    }
}

/// Decodes a request. `operation` is the part of its target after the dot, or `None` for the target
/// of another service.
///
/// Checks in AWS's order: does the body parse, is the operation known, is the request signed, and
/// only then its content.
pub(crate) fn read(
    encoding: Encoding,
    operation: Option<&str>,
    parts: &Parts,
    body: &[u8],
) -> Result<Request, Refusal> {
    let unless_malformed = |refusal| {
        // An empty body is not malformed: errors of the target or the signature come first.
        if body.is_empty() || encoding.parses(body) { refusal } else { Refusal::bare(ErrorCode::Serialization) }
    };
    let operation = operation
        .filter(|operation| Request::OPERATIONS.contains(operation))
        .ok_or_else(|| unless_malformed(Refusal::bare(ErrorCode::UnknownOperation)))?;
    auth::check(&parts.headers, &parts.uri)
        .map_err(|error| unless_malformed(Refusal::named(error.name(), error.message())))?;
    let decoded = match encoding {
        Encoding::Cbor => Request::decode(operation, Cbor(body)),
        Encoding::Json10 | Encoding::Json11 | Encoding::PlainJson => Request::decode(operation, Json(body)),
    };
    decoded.map_err(|error| match error {
        DecodeError::UnknownOperation(_) => Refusal::bare(ErrorCode::UnknownOperation),
        DecodeError::Serialization(message) => {
            unless_malformed(ApiError::new(ErrorCode::Serialization, message).into())
        }
    })
}

/// Encodes the response to a request in `encoding`.
pub(crate) fn write(encoding: Encoding, result: Result<Response, Refusal>) -> HttpResponse<Bytes> {
    let (status, body) = match result.and_then(|response| success(encoding, &response)) {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (refusal.status, failure(encoding, &refusal)),
    };
    answer(status, encoding.content_type(), body.into())
}

/// The response to a request in an unknown format: AWS answers in XML.
pub(crate) fn unknown_format(operation: Option<&str>, parts: &Parts) -> HttpResponse<Bytes> {
    let known = operation.is_some_and(|operation| Request::OPERATIONS.contains(&operation));
    let (status, name, message) = match (operation, known, auth::check(&parts.headers, &parts.uri)) {
        (None, _, _) => {
            let message = "Unable to determine service/operation name to be authorized".to_owned();
            (StatusCode::FORBIDDEN, "AccessDeniedException", Some(message))
        }
        (Some(_), true, Err(error)) => (StatusCode::FORBIDDEN, error.name(), Some(error.message().to_owned())),
        (Some(_), _, _) => (StatusCode::NOT_FOUND, ErrorCode::UnknownOperation.name(), None),
    };
    let xml = message.map_or_else(
        || format!("<{name}/>\n"),
        |message| format!("<{name}>\n  <Message>{message}</Message>\n</{name}>\n"),
    );
    answer(status, "application/xml", xml.into())
}

/// The response with a stream of messages.
pub(crate) fn events<B>(messages: B) -> HttpResponse<B> {
    answer(StatusCode::OK, event_stream::CONTENT_TYPE, messages)
}

fn answer<B>(status: StatusCode, content_type: &'static str, body: B) -> HttpResponse<B> {
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn success(encoding: Encoding, response: &Response) -> Result<Vec<u8>, Refusal> {
    if response.is_empty() {
        return Ok(Vec::new());
    }
    let unencoded = |error: String| Refusal::from(ApiError::new(ErrorCode::InternalFailure, error));
    match encoding {
        Encoding::Cbor => {
            let mut body = Vec::new();
            ciborium::into_writer(response, &mut body).map_err(|error| unencoded(error.to_string()))?;
            Ok(body)
        }
        Encoding::Json10 | Encoding::Json11 | Encoding::PlainJson => {
            let json = if let Response::GetRecords(output) = response {
                records::to_json(output)
            } else {
                serde_json::to_vec(response)
            };
            json.map_err(|error| unencoded(error.to_string()))
        }
    }
}

fn failure(encoding: Encoding, refusal: &Refusal) -> Vec<u8> {
    // AWS spells the member differently for this error.
    let spelling = if refusal.name == ErrorCode::Serialization.name() { "Message" } else { "message" };
    let mut members = vec![("__type", refusal.name.as_str())];
    members.extend(refusal.message.as_deref().map(|message| (spelling, message)));
    match encoding {
        Encoding::Cbor => {
            let members = members.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
            let mut body = Vec::new();
            // Writing two strings to memory cannot fail.
            _ = ciborium::into_writer(&ciborium::Value::Map(members), &mut body);
            body
        }
        Encoding::Json10 | Encoding::Json11 | Encoding::PlainJson => {
            let members = members.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
            serde_json::Value::Object(members).to_string().into_bytes()
        }
    }
}
