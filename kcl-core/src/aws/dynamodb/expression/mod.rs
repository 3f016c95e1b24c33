//! Converts writes to DynamoDB requests: their conditions and updates implement [`Write::apply`].
//!
//! Pure. Updates only set the attributes that they name and keep all others, including those of
//! other programs.

mod build;
mod fleet;
mod lease;
mod session;
#[cfg(test)]
mod tests;

pub(super) use build::{Action, Request};

use super::attributes::{self, Item, checkpoint_text, flag, name, number, text};
use crate::lease::row::{Damaged, SeenAttribute, SeenValue};
use crate::lease::{Row, RowKey, Session, SessionState, StreamRow, Write};
use crate::record::StreamId;
use aws_sdk_dynamodb::types::AttributeValue;
use build::Expression;

/// Returns the request for a write.
pub(super) fn request(write: &Write) -> Request {
    match write {
        Write::CreateFleet(fleet) => Expression::default().absent(name::KEY).put(&Row::Fleet(fleet.clone())),
        Write::NextSessionNumber => fleet::add(name::SESSIONS),
        Write::NextSessionNumberAbove(last) => fleet::next_session_above(*last),
        Write::Wake => fleet::add(name::WAKE),
        Write::PinStart(start) => fleet::pin_start(start),
        Write::MarkFilled => fleet::filled(),
        Write::ChangeSettings { seen, to } => fleet::change_settings(seen.as_ref(), to),
        Write::TakeTerm { term, heartbeat, leader, me, failover_time } => {
            fleet::take_term(*term, *heartbeat, leader.as_ref(), me, *failover_time)
        }
        Write::FleetHeartbeat { term, heartbeat, leader_session_heartbeat, assignment_version } => {
            fleet::heartbeat(*term, *heartbeat, *leader_session_heartbeat, *assignment_version)
        }
        Write::Resign { term, me } => fleet::resign(*term, me),
        Write::DeleteFleet { term, heartbeat, wake, sessions } => fleet::delete(*term, *heartbeat, *wake, *sessions),
        Write::PinStream(stream) => Expression::default().absent(name::KEY).put(&Row::Stream(stream.clone())),
        Write::MarkStreamFilled(stream) => mark_stream_filled(stream),
        Write::DeleteStream(seen) => delete_stream(seen),
        Write::Register { worker, number, tag, capacity, streams, profile, over } => {
            let session = Session {
                worker: worker.clone(),
                number: *number,
                tag: *tag,
                heartbeat: 0,
                state: SessionState::Active,
                capacity: *capacity,
                load: 0,
                weights: None,
                streams: streams.clone(),
                profile: profile.clone(),
            };
            session::register(session, *over)
        }
        Write::Heartbeat { worker, number, heartbeat, state, load, weights, streams } => {
            session::heartbeat(worker, *number, *heartbeat, *state, *load, weights.as_ref(), streams.as_ref())
        }
        Write::Fence { worker, number, heartbeat } => session::fence(worker, *number, *heartbeat),
        Write::EndSession { worker, number } => session::end(worker, *number),
        Write::DeleteSession { worker, number, own } => session::delete(worker, *number, *own),
        Write::Assignment(assignment) => session::assignment(assignment),
        Write::DeleteAssignment { worker, term } => session::delete_assignment(worker, *term),
        Write::CreateLease(lease) => Expression::default().absent(name::KEY).put(&Row::Lease((**lease).clone())),
        Write::Claim { lease, counter, from, me, stream, start_ms } => {
            lease::claim(lease, *counter, from, me, stream, *start_ms)
        }
        Write::Checkpoint { lease, me, counter, checkpoint, extras } => {
            lease::checkpoint(lease, me, *counter, checkpoint, extras)
        }
        Write::Release { lease, me, counter, checkpoint, extras } => {
            lease::release(lease, me, *counter, checkpoint, extras)
        }
        Write::QuarantineRequest { lease, counter, parked } => lease::quarantine_request(lease, *counter, parked),
        Write::ShardEnd { lease, me, counter, children } => lease::shard_end(lease, me, *counter, children),
        Write::Discard(damaged) => discard(damaged),
        Write::ClearOwner { lease, counter, from } => lease::clear_owner(lease, *counter, from),
        Write::DeleteLease { lease, counter } => lease::delete(lease, *counter),
        Write::DeleteUnread { lease, counter, checkpoint, start_ms } => {
            lease::delete_unread(lease, *counter, checkpoint, *start_ms)
        }
    }
}

/// The row exists and is a stream's.
fn stream_exists() -> Expression {
    Expression::default().equals(name::ENTITY_TYPE, text(name::STREAM))
}

fn mark_stream_filled(stream: &StreamId) -> Request {
    stream_exists().set(name::FILLED, flag(true)).update(&RowKey::Stream(stream.clone()))
}

fn delete_stream(seen: &StreamRow) -> Request {
    stream_exists()
        .equals(name::START, checkpoint_text(&seen.start.checkpoint))
        .equals_or_absent(name::START_AT, seen.start.at_ms.map(number))
        .equals(name::FILLED, flag(seen.filled))
        .delete(&RowKey::Stream(seen.id.clone()))
}

/// Deletes a damaged row if its fingerprint is unchanged.
fn discard(damaged: &Damaged) -> Request {
    let exists = Expression::default().holds("attribute_exists(#leaseKey)", [name::KEY], []);
    if !damaged.is_ours() {
        // A row of another kind is never deleted: this condition contradicts itself and always
        // fails.
        return exists.absent(name::KEY).delete(&damaged.key);
    }
    let unchanged = |expression: Expression, seen: &SeenAttribute| match &seen.value {
        SeenValue::Nothing => expression.absent(seen.attribute),
        SeenValue::Text(shown) => expression.equals(seen.attribute, text(shown.as_str())),
        SeenValue::Number(digits) => expression.equals(seen.attribute, AttributeValue::N(digits.clone())),
        SeenValue::Other(of_type) => expression.of_type(seen.attribute, of_type),
    };
    damaged.fingerprint.iter().fold(exists, unchanged).delete(&damaged.key)
}
