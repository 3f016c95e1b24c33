//! Writes of the fleet row.

use super::attributes::{self, balance_text, checkpoint_text, flag, millis, number, text};
use super::{Expression, Request, name};
use crate::lease::{FleetSettings, FleetStart, RowKey, SessionNumber, WorkerId, next};
use std::time::Duration;

type Planner = (WorkerId, SessionNumber);

/// The row is there, and is a fleet's.
fn exists() -> Expression {
    Expression::default().equals(name::ENTITY_TYPE, attributes::text(name::FLEET))
}

/// The row still shows what was seen.
fn seen(term: u64, beat: u64) -> Expression {
    exists().equals(name::TERM, number(term)).equals(name::BEAT, number(beat))
}

fn planned_by(expression: Expression, planner: Option<&Planner>) -> Expression {
    expression
        .equals_or_absent(name::PLANNER, planner.map(|(worker, _)| text(worker.as_str())))
        .equals_or_absent(name::PLANNER_SESSION, planner.map(|(_, session)| number(session)))
}

pub(super) fn add(counter: &str) -> Request {
    exists().add_one(counter).update(&RowKey::Fleet)
}

pub(super) fn draw_above(last: SessionNumber) -> Request {
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
    beat: u64,
    planner: Option<&Planner>,
    me: &Planner,
    failover_time: Duration,
) -> Request {
    planned_by(seen(term, beat), planner)
        .set(name::TERM, number(next(term)))
        .set(name::BEAT, number(next(beat)))
        .set(name::PLANNER, text(me.0.as_str()))
        .set(name::PLANNER_SESSION, number(me.1))
        .set(name::PLANNER_FAILOVER_TIME, millis(failover_time))
        .remove(name::MIRROR)
        .update(&RowKey::Fleet)
}

pub(super) fn beat(term: u64, beat: u64, mirror: u64, plan_version: u64) -> Request {
    seen(term, beat)
        .set(name::BEAT, number(next(beat)))
        .set(name::MIRROR, number(mirror))
        .set(name::PLAN_VERSION, number(plan_version))
        .update(&RowKey::Fleet)
}

pub(super) fn resign(term: u64, me: &Planner) -> Request {
    planned_by(exists().equals(name::TERM, number(term)), Some(me))
        .remove(name::PLANNER)
        .remove(name::PLANNER_SESSION)
        .remove(name::PLANNER_FAILOVER_TIME)
        .update(&RowKey::Fleet)
}

pub(super) fn delete(term: u64, beat: u64, wake: u64, sessions: SessionNumber) -> Request {
    seen(term, beat).equals(name::WAKE, number(wake)).equals(name::SESSIONS, number(sessions)).delete(&RowKey::Fleet)
}
