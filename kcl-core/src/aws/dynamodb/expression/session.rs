//! Builds the writes of session and assignment rows.

use super::attributes::{number, state_text, streams_text, text};
use super::{Expression, Request, name};
use crate::lease::{Assignment, Row, RowKey, Session, SessionNumber, SessionState, Weights, WorkerId, next};
use crate::record::StreamId;
use std::collections::BTreeSet;

/// The row contains this session.
fn is_session(number_seen: SessionNumber) -> Expression {
    Expression::default().equals(name::NUMBER, number(number_seen))
}

/// The row contains this session with this heartbeat, and it has not ended.
fn lives(number_seen: SessionNumber, heartbeat: u64) -> Expression {
    is_session(number_seen)
        .equals(name::HEARTBEAT, number(heartbeat))
        .one_of(name::STATE, [state_text(SessionState::Active), state_text(SessionState::Draining)])
}

fn row(worker: &WorkerId) -> RowKey {
    RowKey::Session(worker.clone())
}

pub(super) fn register(session: Session, over: Option<SessionNumber>) -> Request {
    let ended = "#state IN (:left, :fenced)";
    let (replaceable, over) = match over {
        Some(over) => (format!("({ended} OR #number = :over)"), vec![(":over", number(over))]),
        None => (ended.to_owned(), Vec::new()),
    };
    let values = [
        (":number", number(session.number)),
        (":left", state_text(SessionState::Left)),
        (":fenced", state_text(SessionState::Fenced)),
    ];
    Expression::default()
        .holds(
            &format!("(attribute_not_exists(#leaseKey) OR (#number < :number AND {replaceable}))"),
            [name::KEY, name::NUMBER, name::STATE],
            values.into_iter().chain(over),
        )
        .put(&Row::Session(session))
}

pub(super) fn heartbeat(
    worker: &WorkerId,
    mine: SessionNumber,
    heartbeat: u64,
    state: SessionState,
    load: u32,
    weights: Option<&Weights>,
    streams: Option<&BTreeSet<StreamId>>,
) -> Request {
    let expression = lives(mine, heartbeat)
        .set(name::HEARTBEAT, number(next(heartbeat)))
        .set(name::STATE, state_text(state))
        .set(name::LOAD, number(load));
    let expression = match weights {
        Some(weights) => expression.set(name::WEIGHTS, text(weights.to_text())),
        None => expression,
    };
    match streams {
        Some(streams) => expression.set(name::STREAMS, streams_text(streams)),
        None => expression,
    }
    .update(&row(worker))
}

pub(super) fn fence(worker: &WorkerId, silent: SessionNumber, heartbeat: u64) -> Request {
    lives(silent, heartbeat).set(name::STATE, state_text(SessionState::Fenced)).update(&row(worker))
}

pub(super) fn end(worker: &WorkerId, mine: SessionNumber) -> Request {
    is_session(mine)
        .differs(name::STATE, state_text(SessionState::Fenced))
        .set(name::STATE, state_text(SessionState::Left))
        .update(&row(worker))
}

pub(super) fn delete(worker: &WorkerId, seen: SessionNumber, own: bool) -> Request {
    let expression = is_session(seen);
    let expression = if own {
        expression
    } else {
        expression.one_of(name::STATE, [state_text(SessionState::Left), state_text(SessionState::Fenced)])
    };
    expression.delete(&row(worker))
}

pub(super) fn assignment(assignment: &Assignment) -> Request {
    Expression::default()
        .holds(
            "(attribute_not_exists(#leaseKey) OR #term < :term OR (#term = :term AND #version < :version))",
            [name::KEY, name::TERM, name::VERSION],
            [(":term", number(assignment.term)), (":version", number(assignment.version))],
        )
        .put(&Row::Assignment(assignment.clone()))
}

pub(super) fn delete_assignment(worker: &WorkerId, term: u64) -> Request {
    Expression::default()
        .holds(
            "(attribute_not_exists(#leaseKey) OR #term <= :term)",
            [name::KEY, name::TERM],
            [(":term", number(term))],
        )
        .delete(&RowKey::Assignment(worker.clone()))
}
