//! Applies writes to session and assignment rows.

use super::{Session, SessionState, Write, next};
use crate::lease::row::Assignment;

/// Returns the row after the write (inner `None`: deleted), or `None` if its condition does not
/// hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply(write: &Write, old: Option<&Session>) -> Option<Option<Session>> {
    if let Write::Register { worker, number, tag, capacity, streams, profile, over } = write {
        // A live session of another process is never replaced, so two processes with one worker id
        // cannot replace each other in turn (docs/protocol/sessions.md).
        let free = old.is_none_or(|old| {
            let is_later = old.number < *number || mutated!(RegistersOverLater);
            is_later && (old.state.has_ended() || Some(old.number) == *over)
        });
        return free.then(|| {
            Some(Session {
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
            })
        });
    }
    let old = old?;
    let mut new = old.clone();
    match write {
        Write::Heartbeat { number, heartbeat, state, load, weights, streams, .. }
            if old.number == *number && old.heartbeat == *heartbeat && !old.state.has_ended() =>
        {
            new.heartbeat = next(new.heartbeat);
            new.state = *state;
            new.load = *load;
            if weights.is_some() {
                new.weights.clone_from(weights);
            }
            if streams.is_some() {
                new.streams.clone_from(streams);
            }
        }
        // The condition on the heartbeat makes a fence fail if the session sent another heartbeat
        // first (docs/protocol/sessions.md).
        Write::Fence { number, heartbeat, .. }
            if old.number == *number && old.heartbeat == *heartbeat && !old.state.has_ended() =>
        {
            new.state = SessionState::Fenced;
        }
        Write::EndSession { number, .. } if old.number == *number && old.state != SessionState::Fenced => {
            new.state = SessionState::Left;
        }
        Write::DeleteSession { number, own, .. } if old.number == *number && (*own || old.state.has_ended()) => {
            return Some(None);
        }
        _ => return None,
    }
    Some(Some(new))
}

/// Like [`apply`], for assignment rows.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply_assignment(write: &Write, old: Option<&Assignment>) -> Option<Option<Assignment>> {
    match write {
        Write::Assignment(assignment) => {
            let newer = old.is_none_or(|old| (old.term, old.version) < (assignment.term, assignment.version));
            newer.then(|| Some(assignment.clone()))
        }
        Write::DeleteAssignment { term, .. } => old.is_none_or(|old| old.term <= *term).then_some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{LeaseKey, Row, Weights, WorkerId};
    use crate::lease::write::Written;

    #[test]
    fn a_heartbeat_without_weights_and_streams_keeps_those_of_the_row() {
        let streams = Some([crate::record::StreamId::new("1:orders:2")].into());
        let worker = WorkerId::parse("a").unwrap();
        let weights_in_row = Weights::of(&[(LeaseKey::new("shard"), 5_000.0)].into());
        let register = Write::Register {
            worker: worker.clone(),
            number: 1,
            tag: 7,
            capacity: None,
            streams: streams.clone(),
            profile: crate::lease::WorkerProfile::default(),
            over: None,
        };
        let heartbeat = |heartbeat, weights| Write::Heartbeat {
            worker: worker.clone(),
            number: 1,
            heartbeat,
            state: SessionState::Active,
            load: 1,
            weights,
            streams: None,
        };
        let mut row = None;
        for write in [register, heartbeat(0, Some(weights_in_row.clone())), heartbeat(1, None)] {
            let Written::Applied(after) = write.apply(row.as_ref()) else { panic!("refused") };
            row = after;
        }
        let session = row.as_ref().and_then(Row::as_session).unwrap();
        assert_eq!((&session.weights, &session.streams), (&Some(weights_in_row), &streams));
    }
}
