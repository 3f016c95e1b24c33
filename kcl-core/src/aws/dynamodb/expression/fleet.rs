//! Writes of the fleet row.

use super::attributes::{self, checkpoint_text, flag, number, text};
use super::{Expression, Request, name};
use crate::lease::{FleetStart, RowKey, SessionNumber, WorkerId};

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
        .set(name::SESSIONS, number(last + 1))
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

pub(super) fn take_term(term: u64, beat: u64, planner: Option<&Planner>, me: &Planner) -> Request {
    planned_by(seen(term, beat), planner)
        .set(name::TERM, number(term + 1))
        .set(name::BEAT, number(beat + 1))
        .set(name::PLANNER, text(me.0.as_str()))
        .set(name::PLANNER_SESSION, number(me.1))
        .remove(name::MIRROR)
        .update(&RowKey::Fleet)
}

pub(super) fn beat(term: u64, beat: u64, mirror: u64, plan_version: u64) -> Request {
    seen(term, beat)
        .set(name::BEAT, number(beat + 1))
        .set(name::MIRROR, number(mirror))
        .set(name::PLAN_VERSION, number(plan_version))
        .update(&RowKey::Fleet)
}

pub(super) fn resign(term: u64, me: &Planner) -> Request {
    planned_by(exists().equals(name::TERM, number(term)), Some(me))
        .remove(name::PLANNER)
        .remove(name::PLANNER_SESSION)
        .update(&RowKey::Fleet)
}

pub(super) fn delete(term: u64, beat: u64, wake: u64, sessions: SessionNumber) -> Request {
    seen(term, beat).equals(name::WAKE, number(wake)).equals(name::SESSIONS, number(sessions)).delete(&RowKey::Fleet)
}
