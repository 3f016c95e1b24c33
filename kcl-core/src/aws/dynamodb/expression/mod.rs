//! Writes as DynamoDB requests: what [`Write::apply`] means, said in conditions and updates.
//!
//! Pure. Updates set the attributes they name and leave all others, whoever wrote them.

mod build;
mod discard;
mod fleet;
mod lease;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use build::{Action, Request};

use super::attributes::{self, Item, name};
use crate::lease::{Row, Session, SessionState, Write};
use build::Expression;

/// The request that makes a write.
pub(super) fn request(write: &Write) -> Request {
    match write {
        Write::CreateFleet(fleet) => Expression::default().absent(name::KEY).put(&Row::Fleet(fleet.clone())),
        Write::Draw => fleet::add(name::SESSIONS),
        Write::DrawAbove(last) => fleet::draw_above(*last),
        Write::Wake => fleet::add(name::WAKE),
        Write::PinStart(start) => fleet::pin_start(start),
        Write::Filled => fleet::filled(),
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
        Write::StreamFilled(stream) => stream::filled(stream),
        Write::DeleteStream(seen) => stream::delete(seen),
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
        Write::Leave { worker, number } => session::leave(worker, *number),
        Write::DeleteSession { worker, number, own } => session::delete(worker, *number, *own),
        Write::Assignment(plan) => session::plan(plan),
        Write::DeleteAssignment { worker, term } => session::delete_plan(worker, *term),
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
        Write::QuarantineRequest { lease, counter, parked } => lease::wish(lease, *counter, parked),
        Write::ShardEnd { lease, me, counter, children } => lease::shard_end(lease, me, *counter, children),
        Write::Discard(damaged) => discard::discard(damaged),
        Write::Disown { lease, counter, from } => lease::disown(lease, *counter, from),
        Write::DeleteLease { lease, counter } => lease::delete(lease, *counter),
    }
}
