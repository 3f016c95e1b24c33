//! What must go, and in which order, until a table is plain KCL again. Pure.

use crate::lease::row::{RowKey, SessionNumber, WorkerId};
use crate::lease::{Table, Write};

/// The deletions that leave a plain KCL table, for when nobody lives but, perhaps, the one who makes them.
///
/// Plan rows go first, then streams', then sessions, then the fleet row, which says whether somebody joined meanwhile: a write that is
/// refused by a row means that, and nothing more may be deleted. The caller's own session is last.
pub(crate) fn clearing(table: &Table, own: Option<&(WorkerId, SessionNumber)>) -> Vec<Write> {
    let is_own = |worker: &WorkerId, number| own.is_some_and(|own| (worker, number) == (&own.0, own.1));
    let discard = |of: fn(&RowKey) -> bool| {
        let ours = table.damaged.iter().filter(|damaged| damaged.is_ours());
        ours.filter(move |damaged| of(&damaged.key)).cloned().map(Write::Discard)
    };
    let plans = table.plans.iter().map(|plan| Write::DeletePlan { worker: plan.worker.clone(), term: plan.term });
    let ended = table.sessions.iter().filter(|session| !is_own(&session.worker, session.number));
    let ended = ended.map(|s| Write::DeleteSession { worker: s.worker.clone(), number: s.number, own: false });
    let fleet = table.fleet.iter().map(|fleet| Write::DeleteFleet {
        term: fleet.term,
        beat: fleet.beat,
        wake: fleet.wake,
        sessions: fleet.sessions,
    });
    let last = own.map(|(worker, number)| Write::DeleteSession { worker: worker.clone(), number: *number, own: true });
    let streams = table.streams.iter().cloned().map(Write::DeleteStream);
    plans
        .chain(discard(|key| matches!(key, RowKey::Plan(_))))
        .chain(streams)
        .chain(discard(|key| matches!(key, RowKey::Stream(_))))
        .chain(ended)
        .chain(discard(|key| matches!(key, RowKey::Session(_))))
        .chain(fleet)
        .chain(discard(|key| *key == RowKey::Fleet))
        .chain(last)
        .collect()
}
