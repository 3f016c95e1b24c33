//! The SDK's protocol for Kinesis, with another parser for records.

use super::parser_fallback::ParserFallback;
use super::reader::Reader;
use aws_smithy_json::codec::{JsonCodec, JsonCodecSettings};
use aws_smithy_json::protocol::aws_json_rpc::AwsJsonRpcProtocol;
use aws_smithy_runtime_api::http::{Request, Response};
use aws_smithy_schema::codec::{DynCodec, PayloadSerializer};
use aws_smithy_schema::protocol::ClientProtocolInner;
use aws_smithy_schema::serde::{SerdeError, SerializableStruct, ShapeDeserializer};
use aws_smithy_schema::{Schema, ShapeId};
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::error::metadata::Builder;

/// The responses that this parser reads.
const RECORDS: &str = "GetRecordsOutput";

/// Uses the SDK's protocol, except that a [`Reader`] parses GetRecords responses and
/// SubscribeToShard events.
///
/// If the reader cannot parse one, the call fails and the SDK's parser is used for a while
/// ([`ParserFallback`]): the retried call uses the SDK's result.
#[derive(Debug)]
pub(in crate::aws::kinesis) struct FastJson {
    sdk: AwsJsonRpcProtocol,
    codec: JsonCodec,
    fallback: ParserFallback,
}

impl FastJson {
    pub(in crate::aws::kinesis) fn new() -> Self {
        let settings = JsonCodecSettings::builder().use_json_name(false).default_timestamp_format(Format::EpochSeconds);
        FastJson {
            sdk: AwsJsonRpcProtocol::aws_json_1_1().with_default_namespace("com.amazonaws.kinesis"),
            codec: JsonCodec::new(settings.build()),
            fallback: ParserFallback::default(),
        }
    }
}

impl ClientProtocolInner for FastJson {
    type Request = Request;
    type Response = Response;

    fn protocol_id(&self) -> &ShapeId<'static> {
        self.sdk.protocol_id()
    }

    fn serialize_request(
        &self,
        input: &dyn SerializableStruct,
        schema: &Schema<'_>,
        endpoint: &str,
        config: &ConfigBag,
    ) -> Result<Request, SerdeError> {
        self.sdk.serialize_request(input, schema, endpoint, config)
    }

    fn deserialize_response<'a>(
        &self,
        response: &'a Response,
        schema: &Schema<'_>,
        config: &'a ConfigBag,
    ) -> Result<Box<dyn ShapeDeserializer + 'a>, SerdeError> {
        match response.body().bytes() {
            Some(body) if schema.shape_id().shape_name() == RECORDS && !self.fallback.is_active() => {
                Ok(Box::new(Reader::new(body, self.fallback.clone())))
            }
            _ => self.sdk.deserialize_response(response, schema, config),
        }
    }

    fn parse_error_metadata(&self, response: &Response, config: &ConfigBag) -> Result<Builder, SerdeError> {
        self.sdk.parse_error_metadata(response, config)
    }

    fn deserialize_error_response<'a>(
        &self,
        response: &'a Response,
        config: &'a ConfigBag,
    ) -> Result<Box<dyn ShapeDeserializer + 'a>, SerdeError> {
        self.sdk.deserialize_error_response(response, config)
    }

    fn update_endpoint(
        &self,
        request: &mut Request,
        endpoint: &Endpoint,
        config: &ConfigBag,
    ) -> Result<(), SerdeError> {
        self.sdk.update_endpoint(request, endpoint, config)
    }

    fn payload_codec(&self) -> Option<&dyn DynCodec> {
        Some(self)
    }

    fn event_stream_media_type(&self) -> Option<&str> {
        self.sdk.event_stream_media_type()
    }

    fn parse_event_stream_error_metadata(&self, payload: &[u8]) -> Result<Builder, SerdeError> {
        self.sdk.parse_event_stream_error_metadata(payload)
    }
}

/// Parses events.
impl DynCodec for FastJson {
    fn create_deserializer<'a>(&self, event: &'a [u8]) -> Box<dyn ShapeDeserializer + 'a> {
        if self.fallback.is_active() {
            return DynCodec::create_deserializer(&self.codec, event);
        }
        Box::new(Reader::new(event, self.fallback.clone()))
    }

    fn create_serializer(&self) -> Box<dyn PayloadSerializer + '_> {
        DynCodec::create_serializer(&self.codec)
    }
}
