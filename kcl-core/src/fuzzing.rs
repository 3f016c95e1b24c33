//! Exposes the parser of Kinesis responses to this project's fuzzing and allocation counts. Not
//! part of the public interface.

use crate::aws::kinesis::fast::standalone;
use crate::config::Parser;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::SubscribeToShardEvent;

/// Parses a response of GetRecords with the given parser; `None` if the parser rejects it.
#[must_use]
pub fn parse_response(text: &[u8], by: Parser) -> Option<GetRecordsOutput> {
    standalone::parse_response(text, by).ok()
}

/// Parses an event of SubscribeToShard with the given parser; `None` if the parser rejects it.
#[must_use]
pub fn parse_event(text: &[u8], by: Parser) -> Option<SubscribeToShardEvent> {
    standalone::parse_event(text, by).ok()
}
