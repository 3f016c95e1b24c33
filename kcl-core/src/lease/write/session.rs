//! What the writes of session and plan rows mean.

use super::{Session, SessionState, Write, next};
use crate::lease::row::Assignment;

/// The row after the write (`None`: deleted), or no answer where the condition does not hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply(write: &Write, old: Option<&Session>) -> Option<Option<Session>> {
    if let Write::Register { worker, number, tag, capacity, streams, profile, over } = write {
        let free = old.is_none_or(|old| old.number < *number && (old.state.has_ended() || Some(old.number) == *over));
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
        Write::Fence { number, heartbeat, .. }
            if old.number == *number && old.heartbeat == *heartbeat && !old.state.has_ended() =>
        {
            new.state = SessionState::Fenced;
        }
        Write::Leave { number, .. } if old.number == *number && old.state != SessionState::Fenced => {
            new.state = SessionState::Left;
        }
        Write::DeleteSession { number, own, .. } if old.number == *number && (*own || old.state.has_ended()) => {
            return Some(None);
        }
        _ => return None,
    }
    Some(Some(new))
}

/// The same for plan rows.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply_plan(write: &Write, old: Option<&Assignment>) -> Option<Option<Assignment>> {
    match write {
        Write::Assignment(plan) => {
            let newer = old.is_none_or(|old| (old.term, old.version) < (plan.term, plan.version));
            newer.then(|| Some(plan.clone()))
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
    fn a_heartbeat_that_says_nothing_of_weights_and_streams_leaves_what_the_row_says() {
        let streams = Some([crate::record::StreamId::new("1:orders:2")].into());
        let worker = WorkerId::parse("a").unwrap();
        let said = Weights::of(&[(LeaseKey::new("shard"), 5_000.0)].into());
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
        for write in [register, heartbeat(0, Some(said.clone())), heartbeat(1, None)] {
            let Written::Applied(after) = write.apply(row.as_ref()) else { panic!("refused") };
            row = after;
        }
        let session = row.as_ref().and_then(Row::as_session).unwrap();
        assert_eq!((&session.weights, &session.streams), (&Some(said), &streams));
    }
}
