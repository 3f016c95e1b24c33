//! Parses one text with our parser or the SDK's, so that tests and fuzzing can compare them.

use super::parser_fallback::ParserFallback;
use super::reader::Reader;
use crate::config::Parser;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::SubscribeToShardEvent;
use aws_smithy_json::codec::{JsonCodec, JsonCodecSettings};
use aws_smithy_schema::codec::Codec;
use aws_smithy_schema::serde::{SerdeError, ShapeDeserializer};
use aws_smithy_types::date_time::Format;

type Read<T> = fn(&mut dyn ShapeDeserializer) -> Result<T, SerdeError>;

fn parsed<T>(text: &[u8], by: Parser, read: Read<T>) -> Result<T, SerdeError> {
    match by {
        Parser::Fast => read(&mut Reader::new(text, ParserFallback::default())),
        Parser::Sdk => {
            let settings = JsonCodecSettings::builder().use_json_name(false);
            let codec = JsonCodec::new(settings.default_timestamp_format(Format::EpochSeconds).build());
            read(&mut codec.create_deserializer(text))
        }
    }
}

/// Parses a response of GetRecords.
pub(crate) fn parse_response(text: &[u8], by: Parser) -> Result<GetRecordsOutput, SerdeError> {
    parsed(text, by, |from| GetRecordsOutput::deserialize(from))
}

/// Parses an event of SubscribeToShard.
pub(crate) fn parse_event(text: &[u8], by: Parser) -> Result<SubscribeToShardEvent, SerdeError> {
    parsed(text, by, |from| SubscribeToShardEvent::deserialize(from))
}
