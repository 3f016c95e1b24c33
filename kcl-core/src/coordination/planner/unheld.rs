//! Leases that rows give to a worker who does not hold them: another hand put the row back as it once was. Whoever holds
//! leases says with each beat how many; who stays short of what the rows say is told to take what is his.

use super::sessions::Sessions;
use crate::clock::Time;
use crate::lease::row::{Lease, LeaseKey, SessionNumber, SessionState, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is short of leases, by which session, since when, and whether that lasted.
#[derive(Debug, Default)]
pub(crate) struct Unheld(BTreeMap<WorkerId, Short>);

#[derive(Debug, Clone, Copy)]
struct Short {
    session: SessionNumber,
    since: Time,
    lasts: bool,
}

impl Unheld {
    /// After a full read, asked for at `asked`. Tells whether another one is to say if it lasts: a beat is older than the
    /// read, and leases come and go.
    pub(crate) fn look(
        &mut self,
        leases: &BTreeMap<LeaseKey, Lease>,
        sessions: &Sessions,
        asked: Time,
        failover_time: Duration,
    ) -> bool {
        let before = std::mem::take(&mut self.0);
        let mut counts: BTreeMap<&WorkerId, u32> = BTreeMap::new();
        for lease in leases.values().filter(|lease| !lease.checkpoint.is_shard_end() && !lease.is_foreign()) {
            if let Some(session) = lease.owner.as_ref().and_then(|owner| sessions.of(owner)) {
                *counts.entry(&session.worker).or_default() += 1;
            }
        }
        for session in sessions.live().filter(|session| session.state == SessionState::Active) {
            if session.load < counts.get(&session.worker).copied().unwrap_or(0) {
                let known = before.get(&session.worker).filter(|short| short.session == session.number);
                let since = known.map_or(asked, |short| short.since);
                let lasts = asked.since(since) >= failover_time;
                self.0.insert(session.worker.clone(), Short { session: session.number, since, lasts });
            }
        }
        self.0.values().any(|short| !short.lasts)
    }

    /// The leases to remind their owners of.
    pub(crate) fn of<'a>(&self, leases: impl Iterator<Item = &'a Lease>) -> Vec<(&'a Lease, WorkerId)> {
        let reminded = leases.filter_map(|lease| {
            let owner = lease.owner.as_ref()?;
            let short = self.0.get(&owner.worker)?;
            (short.lasts && owner.session == Some(short.session)).then(|| (lease, owner.worker.clone()))
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

    fn sessions(load: u32) -> Sessions {
        let mut sessions = Sessions::new(WorkerId::from_row("me"), F, F / 3);
        let (state, number) = (SessionState::Active, 3);
        let session = Session { worker: worker(), number, beat: 7, state, capacity: None, load, weights: None };
        sessions.see(session, t(0));
        sessions
    }

    #[test]
    fn an_owner_who_stays_short_of_what_the_rows_say_is_reminded() {
        let (leases, mut unheld) = (leases(2), Unheld::default());
        assert!(unheld.look(&leases, &sessions(1), t(0), F), "another read is to tell");
        assert!(unheld.of(leases.values()).is_empty(), "it may have just claimed it");
        assert!(!unheld.look(&leases, &sessions(1), t(10), F));
        assert_eq!(unheld.of(leases.values()).len(), 2);
        assert!(!unheld.look(&leases, &sessions(2), t(20), F));
        assert!(unheld.of(leases.values()).is_empty(), "it holds both");
    }

    #[test]
    fn an_owner_who_holds_what_the_rows_say_and_one_whose_shortage_passes_are_left_alone() {
        let (leases, mut unheld) = (leases(2), Unheld::default());
        assert!(!unheld.look(&leases, &sessions(2), t(0), F));
        unheld.look(&leases, &sessions(1), t(10), F);
        unheld.look(&leases, &sessions(2), t(20), F);
        assert!(unheld.look(&leases, &sessions(1), t(30), F), "it begins anew");
        assert!(unheld.of(leases.values()).is_empty());
    }
}
