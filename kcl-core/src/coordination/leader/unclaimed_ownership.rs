//! Leases that rows give to a worker who does not hold them: another hand put the row back as it once was. Whoever holds
//! leases says with each heartbeat how many; who stays short of what the rows say is told to take what is his.

use super::sessions::Sessions;
use crate::clock::Time;
use crate::lease::next;
use crate::lease::row::{Lease, LeaseKey, SessionNumber, SessionState, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is short of leases, by which session, since when, and whether that lasted.
#[derive(Debug, Default)]
pub(crate) struct UnclaimedOwnership(BTreeMap<WorkerId, Short>);

#[derive(Debug, Clone, Copy)]
struct Short {
    session: SessionNumber,
    heartbeat: u64,
    since: Time,
    /// When its owner was last told, once it lasts.
    told: Option<Time>,
}

impl UnclaimedOwnership {
    /// After a look at the sessions. A heartbeat may be older than what is known of the leases, or younger; whoever is short for
    /// `failover_time`, and heartbeats, will not hold them. Tells who is to be told now, be it again.
    pub(crate) fn look(
        &mut self,
        leases: &BTreeMap<LeaseKey, Lease>,
        sessions: &Sessions,
        now: Time,
        failover_time: Duration,
    ) -> Vec<WorkerId> {
        let (before, mut tell) = (std::mem::take(&mut self.0), Vec::new());
        if mutated!(ForgetsClaims) || mutated!(NeverReminds) {
            return tell;
        }
        let mut counts: BTreeMap<&WorkerId, u32> = BTreeMap::new();
        for lease in leases.values().filter(|lease| !lease.checkpoint.is_shard_end() && !lease.was_written_externally())
        {
            if let Some(session) = lease.owner.as_ref().and_then(|owner| sessions.of(owner)) {
                *counts.entry(&session.worker).or_default() += 1;
            }
        }
        for session in sessions.live().filter(|session| session.state == SessionState::Active) {
            if session.load < counts.get(&session.worker).copied().unwrap_or(0) {
                let known = before.get(&session.worker).filter(|short| short.session == session.number);
                let new = Short { session: session.number, heartbeat: session.heartbeat, since: now, told: None };
                let mut short = known.copied().unwrap_or(new);
                let lasts = now.since(short.since) >= failover_time && session.heartbeat > next(short.heartbeat);
                if lasts && short.told.is_none_or(|told| now.since(told) >= failover_time) {
                    short.told = Some(now);
                    tell.push(session.worker.clone());
                }
                self.0.insert(session.worker.clone(), short);
            }
        }
        tell
    }

    /// The leases to remind their owners of.
    pub(crate) fn of<'a>(&self, leases: impl Iterator<Item = &'a Lease>) -> Vec<(&'a Lease, WorkerId)> {
        let reminded = leases.filter_map(|lease| {
            let owner = lease.owner.as_ref()?;
            let short = self.0.get(&owner.worker)?;
            (short.told.is_some() && owner.session == Some(short.session)).then(|| (lease, owner.worker.clone()))
        });
        reminded.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{Owner, Session};
    use crate::record::{Checkpoint, ShardId};

    const F: Duration = Duration::from_secs(10);

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn worker() -> WorkerId {
        WorkerId::from_row("a")
    }

    fn leases(of: usize) -> BTreeMap<LeaseKey, Lease> {
        let owner = Owner { worker: worker(), session: Some(3) };
        let lease = |n: usize| {
            let lease = Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
            (lease.key.clone(), Lease { owner: Some(owner.clone()), ..lease })
        };
        (0..of).map(lease).collect()
    }

    fn sessions(load: u32, heartbeat: u64) -> Sessions {
        let mut sessions = Sessions::new(WorkerId::from_row("me"), F);
        let (state, number) = (SessionState::Active, 3);
        let session = Session {
            worker: worker(),
            number,
            tag: 0,
            heartbeat,
            state,
            capacity: None,
            load,
            weights: None,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
        };
        sessions.see(session, t(0));
        sessions
    }

    #[test]
    fn an_owner_who_stays_short_of_what_the_rows_say_is_reminded() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        for second in 0..10 {
            unclaimed_ownership.look(&leases, &sessions(1, second), t(second), F);
            assert!(unclaimed_ownership.of(leases.values()).is_empty(), "it may have just claimed it");
        }
        assert_eq!(unclaimed_ownership.look(&leases, &sessions(1, 10), t(10), F), [worker()]);
        assert!(unclaimed_ownership.look(&leases, &sessions(1, 11), t(11), F).is_empty(), "it was just told");
        assert_eq!(unclaimed_ownership.of(leases.values()).len(), 2);
        assert_eq!(
            unclaimed_ownership.look(&leases, &sessions(1, 20), t(20), F),
            [worker()],
            "its row may have been put back once more"
        );
        unclaimed_ownership.look(&leases, &sessions(2, 21), t(21), F);
        assert!(unclaimed_ownership.of(leases.values()).is_empty(), "it holds both");
    }

    #[test]
    fn a_shortage_that_passes_begins_anew() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        for (second, load) in [(0, 1), (5, 2), (6, 1), (15, 1)] {
            unclaimed_ownership.look(&leases, &sessions(load, second), t(second), F);
            assert!(unclaimed_ownership.of(leases.values()).is_empty());
        }
    }

    #[test]
    fn an_owner_who_does_not_heartbeat_is_not_reminded() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        assert!((0..20).all(|second| unclaimed_ownership.look(&leases, &sessions(1, 7), t(second), F).is_empty()));
        assert!(unclaimed_ownership.of(leases.values()).is_empty());
    }
}
