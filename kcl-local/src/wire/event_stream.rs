//! Frames events for AWS's event streams (`application/vnd.amazon.eventstream`): messages with
//! headers, a payload and two checksums.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde::Serialize;

use super::encoding::Encoding;
use super::records;
use crate::kinesis::model::{ApiError, ErrorCode, SubscribeToShardEvent};

pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The bytes of a framed message.
type Framed = Result<Bytes, ApiError>;

/// The first message: the members of the response, of which there are none. boto3 requires it.
pub(crate) fn initial_response(encoding: Encoding) -> Framed {
    let payload = payload(encoding, &serde_json::Map::new())?;
    frame(encoding, [(":message-type", "event"), (":event-type", "initial-response")], payload)
}

pub(crate) fn event(encoding: Encoding, event: &SubscribeToShardEvent) -> Framed {
    let payload = match encoding {
        Encoding::Cbor => payload(encoding, event)?,
        Encoding::Json10 | Encoding::Json11 | Encoding::PlainJson => {
            records::event_to_json(event).map_err(|error| internal(&error))?
        }
    };
    frame(encoding, [(":message-type", "event"), (":event-type", "SubscribeToShardEvent")], payload)
}

/// An error, which is the last message.
pub(crate) fn exception(encoding: Encoding, name: &str, message: &str) -> Framed {
    let payload = payload(encoding, &serde_json::json!({ "message": message }))?;
    frame(encoding, [(":message-type", "exception"), (":exception-type", name)], payload)
}

fn payload(encoding: Encoding, value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    match encoding {
        Encoding::Cbor => {
            let mut bytes = Vec::new();
            ciborium::into_writer(value, &mut bytes).map_err(|error| internal(&error))?;
            Ok(bytes)
        }
        Encoding::Json10 | Encoding::Json11 | Encoding::PlainJson => {
            serde_json::to_vec(value).map_err(|error| internal(&error))
        }
    }
}

fn frame(encoding: Encoding, headers: [(&'static str, &str); 2], payload: Vec<u8>) -> Framed {
    let mut framed = Vec::with_capacity(payload.len() + 256);
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = headers
        .into_iter()
        .chain([(":content-type", encoding.event_content_type())])
        .fold(Message::new(payload), |message, (name, value)| message.add_header(Header::new(name, text(value))));
    write_message_to(&message, &mut framed).map_err(|error| internal(&error))?;
    Ok(framed.into())
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::InternalFailure, format!("an event cannot be encoded: {error}"))
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    fn read(framed: &Bytes) -> (Vec<(String, String)>, Bytes) {
        let message = read_message_from(&framed[..]).unwrap();
        let headers = message
            .headers()
            .iter()
            .map(|header| (header.name().as_str().to_owned(), header.value().as_string().unwrap().as_str().to_owned()));
        (headers.collect(), message.payload().clone())
    }

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn messages_have_their_type_and_content_type_in_headers() {
        let (headers, payload) = read(&initial_response(Encoding::Json11).unwrap());
        let [kind, name] = [header(":message-type", "event"), header(":event-type", "initial-response")];
        assert_eq!(headers, [kind.clone(), name, header(":content-type", "application/json")]);
        assert_eq!(payload[..], *b"{}");
        let (headers, payload) = read(&event(Encoding::Cbor, &SubscribeToShardEvent::default()).unwrap());
        let content_type = header(":content-type", "application/cbor");
        assert_eq!(headers, [kind, header(":event-type", "SubscribeToShardEvent"), content_type]);
        let payload: ciborium::Value = ciborium::from_reader(&payload[..]).unwrap();
        assert_eq!(payload.as_map().map(Vec::len), Some(2));
    }

    #[test]
    fn an_error_has_its_name_in_a_header() {
        let (headers, payload) = read(&exception(Encoding::Json11, "ResourceInUseException", "taken").unwrap());
        assert_eq!(
            headers[..2],
            [header(":message-type", "exception"), header(":exception-type", "ResourceInUseException")]
        );
        assert_eq!(payload[..], *br#"{"message":"taken"}"#);
    }
}
