//! Detects leases whose rows name a live worker that does not hold them, because an external writer
//! restored an older row. Every heartbeat contains the number of leases that the worker holds; a
//! worker that holds fewer than the rows say is instructed to claim its leases.

use super::sessions::Sessions;
use crate::clock::Time;
use crate::lease::next;
use crate::lease::row::{Lease, LeaseKey, SessionNumber, SessionState, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The workers that hold fewer leases than their rows say.
#[derive(Debug, Default)]
pub(crate) struct UnclaimedOwnership(BTreeMap<WorkerId, Shortfall>);

#[derive(Debug, Clone, Copy)]
struct Shortfall {
    session: SessionNumber,
    heartbeat: u64,
    since: Time,
    /// When its owner was last reminded.
    reminded_at: Option<Time>,
}

impl UnclaimedOwnership {
    /// Updates from the sessions. A session's heartbeat may be older or newer than the known
    /// leases, so a worker counts only if it holds too few for `failover_time` and has sent
    /// heartbeats meanwhile. Returns the workers to remind now.
    pub(crate) fn update(
        &mut self,
        leases: &BTreeMap<LeaseKey, Lease>,
        sessions: &Sessions,
        now: Time,
        failover_time: Duration,
    ) -> Vec<WorkerId> {
        let (before, mut tell) = (std::mem::take(&mut self.0), Vec::new());
        if mutated!(ForgetsClaims) {
            return tell;
        }
        if mutated!(NeverReminds) {
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
                let new =
                    Shortfall { session: session.number, heartbeat: session.heartbeat, since: now, reminded_at: None };
                let mut short = known.copied().unwrap_or(new);
                let lasts = now.since(short.since) >= failover_time && session.heartbeat > next(short.heartbeat);
                if lasts && short.reminded_at.is_none_or(|reminded_at| now.since(reminded_at) >= failover_time) {
                    short.reminded_at = Some(now);
                    tell.push(session.worker.clone());
                }
                self.0.insert(session.worker.clone(), short);
            }
        }
        tell
    }

    /// The leases that their owners are to claim.
    pub(crate) fn of<'a>(&self, leases: impl Iterator<Item = &'a Lease>) -> Vec<(&'a Lease, WorkerId)> {
        let reminded = leases.filter_map(|lease| {
            let owner = lease.owner.as_ref()?;
            let short = self.0.get(&owner.worker)?;
            (short.reminded_at.is_some() && owner.session == Some(short.session)).then(|| (lease, owner.worker.clone()))
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
        sessions.observe(session, t(0));
        sessions
    }

    #[test]
    fn an_owner_that_holds_too_few_leases_for_failover_time_is_reminded() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        for second in 0..10 {
            unclaimed_ownership.update(&leases, &sessions(1, second), t(second), F);
            assert!(unclaimed_ownership.of(leases.values()).is_empty(), "the owner may have just claimed the lease");
        }
        assert_eq!(unclaimed_ownership.update(&leases, &sessions(1, 10), t(10), F), [worker()]);
        assert!(
            unclaimed_ownership.update(&leases, &sessions(1, 11), t(11), F).is_empty(),
            "the owner was just reminded"
        );
        assert_eq!(unclaimed_ownership.of(leases.values()).len(), 2);
        assert_eq!(
            unclaimed_ownership.update(&leases, &sessions(1, 20), t(20), F),
            [worker()],
            "its row may have been restored once more"
        );
        unclaimed_ownership.update(&leases, &sessions(2, 21), t(21), F);
        assert!(unclaimed_ownership.of(leases.values()).is_empty(), "it holds both");
    }

    #[test]
    fn a_shortfall_that_ends_counts_from_zero_again() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        for (second, load) in [(0, 1), (5, 2), (6, 1), (15, 1)] {
            unclaimed_ownership.update(&leases, &sessions(load, second), t(second), F);
            assert!(unclaimed_ownership.of(leases.values()).is_empty());
        }
    }

    #[test]
    fn an_owner_without_heartbeats_is_not_reminded() {
        let (leases, mut unclaimed_ownership) = (leases(2), UnclaimedOwnership::default());
        assert!((0..20).all(|second| unclaimed_ownership.update(&leases, &sessions(1, 7), t(second), F).is_empty()));
        assert!(unclaimed_ownership.of(leases.values()).is_empty());
    }
}
