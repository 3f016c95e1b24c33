//! Tracks the workers' sessions for the leader: which are live, which are stale, which have ended.

use crate::clock::Time;
use crate::coordination::fleet_poll::StaleLeader;
use crate::coordination::staleness::{Contact, StalenessTimer};
use crate::lease::row::{Owner, RowKey, Session, SessionNumber, SessionState, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most sessions that are read at once: those that were read longest ago, so that each gets its
/// turn.
const MOST_READ: usize = 2_000;
/// The most sessions that are fenced at once. Those that own leases come first.
const MOST_ENDED: usize = 500;

#[derive(Debug)]
pub(crate) struct Sessions {
    me: WorkerId,
    /// This worker's own, also used for rows that do not contain one.
    failover_time: Duration,
    /// The longest that any session had, including those whose row is gone.
    longest_failover_time: Duration,
    known: BTreeMap<WorkerId, Session>,
    staleness: BTreeMap<WorkerId, StalenessTimer<(SessionNumber, u64)>>,
}

/// The state of a lease's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerIs {
    Live,
    Draining,
    /// Ended forever: fenced, left, or replaced by a later session.
    Ended,
    /// It has no session row.
    Missing,
}

impl Sessions {
    pub(crate) fn new(me: WorkerId, failover_time: Duration) -> Self {
        Sessions {
            me,
            failover_time,
            longest_failover_time: failover_time,
            known: BTreeMap::new(),
            staleness: BTreeMap::new(),
        }
    }

    /// Takes over the staleness of the previous leader, which this worker observed before it took
    /// the term (docs/protocol/leader.md, rule 4).
    pub(crate) fn observe_stale_leader(&mut self, before: &StaleLeader, now: Time) {
        if let Some(heartbeat) = before.leader_session_heartbeat {
            let staleness = StalenessTimer::since((before.session, heartbeat), before.since, now);
            self.staleness.insert(before.worker.clone(), staleness);
        }
    }

    /// Observes a row in any answer. Returns whether it shows an end that was not known.
    pub(crate) fn observe(&mut self, session: Session, received: Time) -> bool {
        self.longest_failover_time = self.longest_failover_time.max(session.failover_time(self.failover_time));
        let mark = (session.number, session.heartbeat);
        match self.staleness.get_mut(&session.worker) {
            Some(staleness) => staleness.look(&mark, received),
            None => {
                self.staleness.insert(session.worker.clone(), StalenessTimer::new(mark, received));
            }
        }
        #[cfg(kcl_mutants)]
        if mutated!(ComparesClocks) {
            let said = Time::from_origin(Duration::from_secs(session.load.into()));
            if received.since(said) >= self.failover_time {
                self.staleness.insert(session.worker.clone(), StalenessTimer::since(mark, said, received));
            }
        }
        self.note(session)
    }

    /// Applies a row, if it is not older than the known one. Numbers and heartbeats only grow, so a
    /// lower one is a stale read (docs/protocol/sessions.md).
    fn note(&mut self, session: Session) -> bool {
        let order = |s: &Session| (s.number, s.state.has_ended(), s.heartbeat);
        match self.known.get_mut(&session.worker) {
            Some(known) if order(known) > order(&session) => false,
            Some(known) => {
                let news = session.number > known.number || (session.state.has_ended() && !known.state.has_ended());
                *known = session;
                news
            }
            None => {
                self.known.insert(session.worker.clone(), session);
                false
            }
        }
    }

    /// Applies a full read, sent at `asked`, which showed exactly these rows. Returns whether it
    /// shows an end that was not known.
    pub(crate) fn observe_table(&mut self, rows: Vec<Session>, asked: Time, received: Time) -> bool {
        for row in &rows {
            self.forget_if_made_again(row, asked);
        }
        let workers: BTreeSet<&WorkerId> = rows.iter().map(|row| &row.worker).collect();
        self.known.retain(|worker, _| workers.contains(worker));
        self.staleness.retain(|worker, _| workers.contains(worker));
        let mut end_seen = false;
        for row in rows {
            let unknown = !self.known.contains_key(&row.worker);
            end_seen |= unknown && row.state.has_ended();
            // A row may have been read long before the read ended. Its page was evidence of
            // staleness when it came; the whole read is not.
            end_seen |=
                if self.staleness.contains_key(&row.worker) { self.note(row) } else { self.observe(row, received) };
        }
        end_seen
    }

    /// Observes some rows of a full read in progress. Returns whether they show an end that was not
    /// known.
    pub(crate) fn observe_page(&mut self, rows: &[Session], received: Time) -> bool {
        let mut end_seen = false;
        for row in rows {
            end_seen |= !self.known.contains_key(&row.worker) && row.state.has_ended();
            end_seen |= self.observe(row.clone(), received);
        }
        end_seen
    }

    /// Forgets a row that a full read shows older than it is known. Full reads are strongly
    /// consistent, so an external writer has removed the row and it was created again, perhaps by a
    /// late request. Its staleness is counted from now on.
    fn forget_if_made_again(&mut self, row: &Session, asked: Time) {
        let mark = (row.number, row.heartbeat);
        let newest = self.staleness.get(&row.worker).map(|staleness| (*staleness.value(), staleness.first_shown()));
        if newest.is_some_and(|(known, shown)| known > mark && shown <= asked) {
            self.staleness.remove(&row.worker);
            self.known.remove(&row.worker);
        }
    }

    /// The session rows to read. Contains this worker's own one if there are no others, because a
    /// read needs a key.
    pub(crate) fn keys(&self) -> Vec<RowKey> {
        let mut live: Vec<&WorkerId> = self.live().map(|session| &session.worker).collect();
        if live.len() > MOST_READ {
            let shown = |worker: &&WorkerId| self.staleness.get(*worker).map_or(Time::ZERO, StalenessTimer::last_shown);
            live.select_nth_unstable_by_key(MOST_READ, shown);
            live.truncate(MOST_READ);
        }
        if live.is_empty() {
            live.push(&self.me);
        }
        live.into_iter().cloned().map(RowKey::Session).collect()
    }

    /// The longest time for which any worker, even an unknown one, may still rely on its last
    /// heartbeat.
    pub(crate) fn longest_failover_time(&self) -> Duration {
        self.longest_failover_time
    }

    /// Records the failover time that the fleet row contains.
    pub(crate) fn note_failover_time(&mut self, failover_time: Duration) {
        self.longest_failover_time = self.longest_failover_time.max(failover_time);
    }

    /// Returns the sessions whose heartbeat was unchanged for their own `failover_time`: worker,
    /// number and heartbeat. `owns` says whether a lease names the session.
    pub(crate) fn silent(
        &self,
        contact: &Contact,
        owns: impl Fn(&Session) -> bool,
    ) -> Vec<(WorkerId, SessionNumber, u64)> {
        let is_silent = |session: &&Session| {
            let long = session.failover_time(self.failover_time);
            let long = if mutated!(FencesTooEarly) { long / 3 } else { long };
            let staleness = self.staleness.get(&session.worker);
            staleness.is_some_and(|staleness| {
                *staleness.value() == (session.number, session.heartbeat) && staleness.lasted(contact) >= long
            })
        };
        let mut silent: Vec<&Session> =
            self.live().filter(|session| session.worker != self.me).filter(is_silent).collect();
        if silent.len() > MOST_ENDED {
            silent.sort_by_cached_key(|session| !owns(session));
            silent.truncate(MOST_ENDED);
        }
        silent.into_iter().map(|session| (session.worker.clone(), session.number, session.heartbeat)).collect()
    }

    /// When the next read could prove that a session is stale.
    pub(crate) fn next_proof(&self, contact: &Contact) -> Option<Time> {
        let others = self.live().filter(|session| session.worker != self.me);
        others
            .filter_map(|session| {
                let long = session.failover_time(self.failover_time);
                Some(self.staleness.get(&session.worker)?.proves_at(long, contact))
            })
            .min()
    }

    pub(crate) fn owner_is(&self, owner: &Owner) -> OwnerIs {
        let (Some(session), Some(number)) = (self.known.get(&owner.worker), owner.session) else {
            return OwnerIs::Missing;
        };
        match session.state {
            _ if session.number > number => OwnerIs::Ended,
            _ if session.number < number => OwnerIs::Missing,
            SessionState::Active => OwnerIs::Live,
            SessionState::Draining => OwnerIs::Draining,
            SessionState::Left | SessionState::Fenced => OwnerIs::Ended,
        }
    }

    /// The session of a lease's owner, if it is live.
    pub(crate) fn of(&self, owner: &Owner) -> Option<&Session> {
        let known = self.known.get(&owner.worker);
        known.filter(|session| Some(session.number) == owner.session && !session.state.has_ended())
    }

    /// Marks this worker as draining, before its row shows it.
    pub(crate) fn drain_me(&mut self) {
        if let Some(mine) = self.known.get_mut(&self.me).filter(|mine| mine.state == SessionState::Active) {
            mine.state = SessionState::Draining;
        }
    }

    /// The worker's row.
    pub(crate) fn row(&self, worker: &WorkerId) -> Option<&Session> {
        self.known.get(worker)
    }

    /// Whether the worker has a row.
    pub(crate) fn is_known(&self, worker: &WorkerId) -> bool {
        self.known.contains_key(worker)
    }

    /// The ended sessions.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Session> {
        self.known.values().filter(|session| session.state.has_ended())
    }

    /// The sessions that have not ended.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Session> {
        self.known.values().filter(|session| !session.state.has_ended())
    }

    /// The live session with this number.
    pub(crate) fn by_number(&self, number: SessionNumber) -> Option<&Session> {
        self.live().find(|session| session.number == number)
    }

    /// Whether another session is live.
    pub(crate) fn has_others(&self) -> bool {
        self.live().any(|session| session.worker != self.me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{SharedSettings, WorkerProfile};

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    fn session(id: &str, number: u64, heartbeat: u64, state: SessionState) -> Session {
        Session {
            worker: worker(id),
            number,
            tag: 0,
            heartbeat,
            state,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
        }
    }

    /// Contact with a table that was never unreachable.
    fn contact() -> Contact {
        Contact::new(Duration::from_secs(3))
    }

    fn silent(sessions: &Sessions) -> Vec<(WorkerId, SessionNumber, u64)> {
        sessions.silent(&contact(), |_| false)
    }

    fn sessions() -> Sessions {
        Sessions::new(worker("me"), Duration::from_secs(10))
    }

    fn owner(id: &str, number: u64) -> Owner {
        Owner { worker: worker(id), session: Some(number) }
    }

    #[test]
    fn a_session_is_stale_only_after_its_whole_failover_time() {
        let mut sessions = sessions();
        for at in 0..10 {
            sessions.observe(session("a", 3, 7, SessionState::Active), t(at));
        }
        assert_eq!(silent(&sessions), []);
        assert_eq!(sessions.next_proof(&contact()), Some(t(10)));
        sessions.observe(session("a", 3, 7, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), [(worker("a"), 3, 7)]);
        sessions.observe(session("a", 3, 8, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), []);
    }

    #[test]
    fn staleness_is_timed_by_the_sessions_own_failover_time() {
        let with = |id: &str, seconds| {
            let shared = SharedSettings {
                failover_time: Duration::from_secs(seconds),
                balance_by: crate::config::BalanceBy::Leases,
            };
            let profile = WorkerProfile { settings: Some(shared), ..WorkerProfile::default() };
            Session { profile, ..session(id, 3, 7, SessionState::Active) }
        };
        let mut sessions = sessions();
        let rows = [with("slow", 60), with("fast", 4), session("of_an_earlier_version", 3, 7, SessionState::Active)];
        let silent_at = |sessions: &mut Sessions, at| {
            for row in &rows {
                sessions.observe(row.clone(), t(at));
            }
            silent(sessions).into_iter().map(|(worker, ..)| worker.to_string()).collect::<Vec<_>>()
        };
        let mut proven = BTreeMap::new();
        for at in 0..=60 {
            for worker in silent_at(&mut sessions, at) {
                proven.entry(worker).or_insert(at);
            }
        }
        let expected = [("fast", 4), ("of_an_earlier_version", 10), ("slow", 60)];
        assert_eq!(proven, expected.map(|(worker, at)| (worker.to_owned(), at)).into());
        assert_eq!(
            sessions.longest_failover_time(),
            Duration::from_secs(60),
            "an orphaned lease may belong to the slow one"
        );
    }

    #[test]
    fn a_leader_whose_copied_heartbeat_is_unchanged_is_stale_at_once() {
        let mut sessions = sessions();
        let before = StaleLeader { worker: worker("p"), session: 2, leader_session_heartbeat: Some(9), since: t(0) };
        sessions.observe_stale_leader(&before, t(10));
        sessions.observe(session("p", 2, 9, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), [(worker("p"), 2, 9)]);
        let mut alive = self::sessions();
        alive.observe_stale_leader(&before, t(10));
        alive.observe(session("p", 2, 10, SessionState::Active), t(10));
        assert_eq!(silent(&alive), []);
    }

    #[test]
    fn a_row_that_was_created_again_with_an_older_heartbeat_becomes_stale() {
        let mut sessions = sessions();
        sessions.observe(session("a", 3, 7, SessionState::Active), t(0));
        let again = session("a", 3, 0, SessionState::Active);
        for at in 1..=5 {
            sessions.observe(again.clone(), t(at));
        }
        assert_eq!(silent(&sessions), [], "a stale read proves nothing");
        sessions.observe_table(vec![again.clone()], t(5), t(6));
        for at in 7..=16 {
            assert_eq!(silent(&sessions), []);
            sessions.observe(again.clone(), t(at));
        }
        assert_eq!(silent(&sessions), [(worker("a"), 3, 0)]);
    }

    #[test]
    fn a_heartbeat_during_a_full_read_is_newer_than_the_reads_row() {
        let mut sessions = sessions();
        sessions.observe(session("a", 3, 7, SessionState::Active), t(0));
        sessions.observe(session("a", 3, 8, SessionState::Active), t(2));
        sessions.observe_table(vec![session("a", 3, 7, SessionState::Active)], t(1), t(3));
        assert_eq!(sessions.row(&worker("a")).map(|session| session.heartbeat), Some(8));
    }

    #[test]
    fn an_end_is_forever_and_a_lower_number_proves_nothing() {
        let mut sessions = sessions();
        sessions.observe(session("a", 3, 7, SessionState::Active), t(0));
        assert_eq!(sessions.owner_is(&owner("a", 3)), OwnerIs::Live);
        assert_eq!(sessions.owner_is(&owner("a", 2)), OwnerIs::Ended);
        assert_eq!(sessions.owner_is(&owner("a", 4)), OwnerIs::Missing);
        assert_eq!(sessions.owner_is(&owner("b", 1)), OwnerIs::Missing);
        assert!(sessions.observe(session("a", 3, 7, SessionState::Fenced), t(1)));
        assert!(!sessions.observe(session("a", 3, 7, SessionState::Active), t(2)), "a stale read");
        assert_eq!(sessions.owner_is(&owner("a", 3)), OwnerIs::Ended);
    }
}
