//! The parser of answers by itself, for this project's own fuzzing and counts of allocations. No part of the promised interface.

use crate::aws::kinesis::fast::alone;
use crate::config::Parser;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::SubscribeToShardEvent;

/// What that parser makes of an answer of GetRecords; nothing where it refuses.
#[must_use]
pub fn answer(text: &[u8], by: Parser) -> Option<GetRecordsOutput> {
    alone::answer(text, by).ok()
}

/// What that parser makes of an event of SubscribeToShard; nothing where it refuses.
#[must_use]
pub fn event(text: &[u8], by: Parser) -> Option<SubscribeToShardEvent> {
    alone::event(text, by).ok()
}
