//! The SDK's protocol of Kinesis, with another parser for records.

use super::doubt::Doubt;
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

/// The answers that are worth it.
const RECORDS: &str = "GetRecordsOutput";

/// Everything as the SDK does it, but answers of GetRecords and events of SubscribeToShard, which are parsed by a [`Reader`].
///
/// When one is not understood, the call fails, and the SDK's own parser is used for a while ([`Doubt`]): the call is made again,
/// and what the SDK makes of the same bytes counts.
#[derive(Debug)]
pub(in crate::aws::kinesis) struct FastJson {
    sdk: AwsJsonRpcProtocol,
    codec: JsonCodec,
    doubt: Doubt,
}

impl FastJson {
    pub(in crate::aws::kinesis) fn new() -> Self {
        let settings = JsonCodecSettings::builder().use_json_name(false).default_timestamp_format(Format::EpochSeconds);
        FastJson {
            sdk: AwsJsonRpcProtocol::aws_json_1_1().with_default_namespace("com.amazonaws.kinesis"),
            codec: JsonCodec::new(settings.build()),
            doubt: Doubt::default(),
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
            Some(body) if schema.shape_id().shape_name() == RECORDS && !self.doubt.is_raised() => {
                Ok(Box::new(Reader::new(body, self.doubt.clone())))
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

/// Of events.
impl DynCodec for FastJson {
    fn create_deserializer<'a>(&self, event: &'a [u8]) -> Box<dyn ShapeDeserializer + 'a> {
        if self.doubt.is_raised() {
            return DynCodec::create_deserializer(&self.codec, event);
        }
        Box::new(Reader::new(event, self.doubt.clone()))
    }

    fn create_serializer(&self) -> Box<dyn PayloadSerializer + '_> {
        DynCodec::create_serializer(&self.codec)
    }
}
