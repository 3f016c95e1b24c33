//! Builds the writes of the fleet row.

use super::attributes::{self, balance_text, checkpoint_text, flag, millis, number, text};
use super::{Expression, Request, name};
use crate::lease::{FleetSettings, FleetStart, RowKey, SessionNumber, WorkerId, next};
use std::time::Duration;

type Leader = (WorkerId, SessionNumber);

/// The row exists and is the fleet row.
fn exists() -> Expression {
    Expression::default().equals(name::ENTITY_TYPE, attributes::text(name::FLEET))
}

/// Term and heartbeat are unchanged since they were read.
fn seen(term: u64, heartbeat: u64) -> Expression {
    exists().equals(name::TERM, number(term)).equals(name::HEARTBEAT, number(heartbeat))
}

fn led_by(expression: Expression, leader: Option<&Leader>) -> Expression {
    expression
        .equals_or_absent(name::LEADER, leader.map(|(worker, _)| text(worker.as_str())))
        .equals_or_absent(name::LEADER_SESSION, leader.map(|(_, session)| number(session)))
}

pub(super) fn add(counter: &str) -> Request {
    exists().add_one(counter).update(&RowKey::Fleet)
}

pub(super) fn next_session_above(last: SessionNumber) -> Request {
    let sessions = (":last", number(last));
    exists()
        .holds("#sessions < :last", [name::SESSIONS], [sessions])
        .set(name::SESSIONS, number(next(last)))
        .update(&RowKey::Fleet)
}

pub(super) fn pin_start(start: &FleetStart) -> Request {
    let expression = exists().absent(name::START).set(name::START, checkpoint_text(&start.checkpoint));
    match start.at_ms {
        Some(at_ms) => expression.set(name::START_AT, number(at_ms)),
        None => expression.remove(name::START_AT),
    }
    .update(&RowKey::Fleet)
}

pub(super) fn filled() -> Request {
    exists().set(name::FILLED, flag(true)).update(&RowKey::Fleet)
}

pub(super) fn change_settings(seen: Option<&FleetSettings>, to: &FleetSettings) -> Request {
    let shared = seen.map(|seen| seen.shared);
    exists()
        .equals_or_absent(name::FAILOVER_TIME, shared.map(|shared| millis(shared.failover_time)))
        .equals_or_absent(name::BALANCE_BY, shared.map(|shared| balance_text(shared.balance_by)))
        .equals_or_absent(name::UNTIL, seen.and_then(|seen| seen.until_ms).map(number))
        .equals_or_absent(name::SET_BY, seen.map(|seen| text(&seen.set_by)))
        .set(name::FAILOVER_TIME, millis(to.shared.failover_time))
        .set(name::BALANCE_BY, balance_text(to.shared.balance_by))
        .set_or_remove(name::UNTIL, to.until_ms.map(number))
        .set(name::SET_BY, text(&to.set_by))
        .update(&RowKey::Fleet)
}

pub(super) fn take_term(
    term: u64,
    heartbeat: u64,
    leader: Option<&Leader>,
    me: &Leader,
    failover_time: Duration,
) -> Request {
    led_by(seen(term, heartbeat), leader)
        .set(name::TERM, number(next(term)))
        .set(name::HEARTBEAT, number(next(heartbeat)))
        .set(name::LEADER, text(me.0.as_str()))
        .set(name::LEADER_SESSION, number(me.1))
        .set(name::LEADER_FAILOVER_TIME, millis(failover_time))
        .remove(name::LEADER_SESSION_HEARTBEAT)
        .update(&RowKey::Fleet)
}

pub(super) fn heartbeat(term: u64, heartbeat: u64, leader_session_heartbeat: u64, assignment_version: u64) -> Request {
    seen(term, heartbeat)
        .set(name::HEARTBEAT, number(next(heartbeat)))
        .set(name::LEADER_SESSION_HEARTBEAT, number(leader_session_heartbeat))
        .set(name::ASSIGNMENT_VERSION, number(assignment_version))
        .update(&RowKey::Fleet)
}

pub(super) fn resign(term: u64, me: &Leader) -> Request {
    led_by(exists().equals(name::TERM, number(term)), Some(me))
        .remove(name::LEADER)
        .remove(name::LEADER_SESSION)
        .remove(name::LEADER_FAILOVER_TIME)
        .update(&RowKey::Fleet)
}

pub(super) fn delete(term: u64, heartbeat: u64, wake: u64, sessions: SessionNumber) -> Request {
    seen(term, heartbeat)
        .equals(name::WAKE, number(wake))
        .equals(name::SESSIONS, number(sessions))
        .delete(&RowKey::Fleet)
}
