//! Who lists which of several streams. Pure.

use super::sessions::Sessions;
use crate::lease::row::{SessionState, WorkerId};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// For each worker the streams that it is to list: the leader all that it serves, as it reads the table anyway; the others
/// are listed by whoever serves them and joined first.
pub(super) fn lists(sessions: &Sessions, leader: &WorkerId) -> BTreeMap<WorkerId, Vec<StreamId>> {
    let mut active: Vec<_> = sessions.live().filter(|session| session.state == SessionState::Active).collect();
    active.sort_by_key(|session| (session.worker != *leader, session.number));
    let (mut lists, mut listed): (BTreeMap<WorkerId, Vec<StreamId>>, BTreeSet<&StreamId>) = Default::default();
    for session in active {
        for stream in session.streams.iter().flatten().filter(|stream| listed.insert(*stream)) {
            lists.entry(session.worker.clone()).or_default().push(stream.clone());
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::lease::row::Session;
    use std::time::Duration;

    #[test]
    fn each_stream_is_listed_by_one_worker_that_serves_it_the_leader_if_it_can() {
        let me = WorkerId::from_row("leader");
        let mut sessions = Sessions::new(me.clone(), Duration::from_secs(10));
        let mut see = |name: &str, number, state, streams: &[&str]| {
            let streams = Some(streams.iter().map(StreamId::new).collect());
            let worker = WorkerId::from_row(name);
            let session = Session {
                worker,
                number,
                tag: 0,
                heartbeat: 0,
                state,
                capacity: None,
                load: 0,
                weights: None,
                streams,
                profile: crate::lease::WorkerProfile::default(),
            };
            sessions.see(session, Time::ZERO);
        };
        see("leaving", 1, SessionState::Draining, &["1:d:2"]);
        see("first", 2, SessionState::Active, &["1:a:2", "1:c:2"]);
        see("leader", 3, SessionState::Active, &["1:a:2", "1:b:2"]);
        see("last", 4, SessionState::Active, &["1:b:2", "1:c:2"]);
        let ids = |names: &[&str]| names.iter().map(StreamId::new).collect::<Vec<_>>();
        let expected = [(WorkerId::from_row("first"), ids(&["1:c:2"])), (me.clone(), ids(&["1:a:2", "1:b:2"]))];
        assert_eq!(lists(&sessions, &me), BTreeMap::from(expected));
    }
}
