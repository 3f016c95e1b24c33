//! The sessions as the leader knows them: who lives, who is silent, who has ended.

use crate::clock::Time;
use crate::coordination::fleet_poll::StaleLeader;
use crate::coordination::staleness::{Contact, StalenessTimer};
use crate::lease::row::{Owner, RowKey, Session, SessionNumber, SessionState, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most sessions that are read at once: those seen longest ago, so that each has its turn.
const MOST_READ: usize = 2_000;
/// The most that are ended at once. Those that own leases come first.
const MOST_ENDED: usize = 500;

#[derive(Debug)]
pub(crate) struct Sessions {
    me: WorkerId,
    /// This worker's own, and that of rows which do not name one.
    failover_time: Duration,
    /// The longest that any session named, also one whose row is gone.
    longest_failover_time: Duration,
    known: BTreeMap<WorkerId, Session>,
    staleness: BTreeMap<WorkerId, StalenessTimer<(SessionNumber, u64)>>,
}

/// What is known of a lease's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerIs {
    Live,
    Draining,
    /// For ever: fenced, left, or replaced by a later session.
    Ended,
    /// There is no row for it.
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

    /// What is already known of a leader whose staleness made room for this term.
    pub(crate) fn seed(&mut self, before: &StaleLeader, now: Time) {
        if let Some(heartbeat) = before.leader_session_heartbeat {
            let staleness = StalenessTimer::since((before.session, heartbeat), before.since, now);
            self.staleness.insert(before.worker.clone(), staleness);
        }
    }

    /// A row, from whichever answer showed it. Tells whether it shows an end that was not known.
    pub(crate) fn see(&mut self, session: Session, received: Time) -> bool {
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

    /// What a row says, whenever it was read.
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

    /// A full read, asked for at `asked`, showed these rows and no others. Tells whether it shows an end that was not known.
    pub(crate) fn see_all(&mut self, rows: Vec<Session>, asked: Time, received: Time) -> bool {
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
            // A row may have been read long before the read ended: its page was evidence then, and is none now.
            end_seen |= if self.staleness.contains_key(&row.worker) { self.note(row) } else { self.see(row, received) };
        }
        end_seen
    }

    /// Some of the rows of a full read that is under way. Tells whether they show an end that was not known.
    pub(crate) fn see_page(&mut self, rows: &[Session], received: Time) -> bool {
        let mut end_seen = false;
        for row in rows {
            end_seen |= !self.known.contains_key(&row.worker) && row.state.has_ended();
            end_seen |= self.see(row.clone(), received);
        }
        end_seen
    }

    /// A full read is never stale: a row that is older than what was known before it was removed by another hand and
    /// made again, perhaps by a request that outlived its sender. Its staleness counts from now on.
    fn forget_if_made_again(&mut self, row: &Session, asked: Time) {
        let mark = (row.number, row.heartbeat);
        let newest = self.staleness.get(&row.worker).map(|staleness| (*staleness.value(), staleness.first_shown()));
        if newest.is_some_and(|(known, shown)| known > mark && shown <= asked) {
            self.staleness.remove(&row.worker);
            self.known.remove(&row.worker);
        }
    }

    /// The rows to look at: this worker's own among them, so that there is always one.
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

    /// For how long a worker of which nothing is known may still rely on its last heartbeat.
    pub(crate) fn longest_failover_time(&self) -> Duration {
        self.longest_failover_time
    }

    /// The fleet row names this one.
    pub(crate) fn note_failover_time(&mut self, failover_time: Duration) {
        self.longest_failover_time = self.longest_failover_time.max(failover_time);
    }

    /// Sessions whose heartbeat did not move for their own `failover_time`: worker, number, heartbeat. `owns`: whether a lease
    /// names it.
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

    /// When the next look could prove a staleness.
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

    /// The session of a lease's owner, if it lives.
    pub(crate) fn of(&self, owner: &Owner) -> Option<&Session> {
        let known = self.known.get(&owner.worker);
        known.filter(|session| Some(session.number) == owner.session && !session.state.has_ended())
    }

    /// This worker drains, whatever its row says yet.
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

    /// Those that have ended, by their rows.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Session> {
        self.known.values().filter(|session| session.state.has_ended())
    }

    /// Those that have not ended.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Session> {
        self.known.values().filter(|session| !session.state.has_ended())
    }

    /// Who has this session number, if it lives.
    pub(crate) fn by_number(&self, number: SessionNumber) -> Option<&Session> {
        self.live().find(|session| session.number == number)
    }

    /// Whether somebody else lives.
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

    /// The table was never out of reach.
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
    fn only_silence_of_the_whole_failover_time_is_proof() {
        let mut sessions = sessions();
        for at in 0..10 {
            sessions.see(session("a", 3, 7, SessionState::Active), t(at));
        }
        assert_eq!(silent(&sessions), []);
        assert_eq!(sessions.next_proof(&contact()), Some(t(10)));
        sessions.see(session("a", 3, 7, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), [(worker("a"), 3, 7)]);
        sessions.see(session("a", 3, 8, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), []);
    }

    #[test]
    fn silence_is_held_against_the_failover_time_of_the_sessions_own_worker() {
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
                sessions.see(row.clone(), t(at));
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
            "an orphaned lease may be the slow one's"
        );
    }

    #[test]
    fn a_silent_leader_whose_mirrored_heartbeat_still_stands_is_silent_at_once() {
        let mut sessions = sessions();
        let before = StaleLeader { worker: worker("p"), session: 2, leader_session_heartbeat: Some(9), since: t(0) };
        sessions.seed(&before, t(10));
        sessions.see(session("p", 2, 9, SessionState::Active), t(10));
        assert_eq!(silent(&sessions), [(worker("p"), 2, 9)]);
        let mut alive = self::sessions();
        alive.seed(&before, t(10));
        alive.see(session("p", 2, 10, SessionState::Active), t(10));
        assert_eq!(silent(&alive), []);
    }

    #[test]
    fn a_row_that_was_made_again_with_an_older_heartbeat_is_silent_too() {
        let mut sessions = sessions();
        sessions.see(session("a", 3, 7, SessionState::Active), t(0));
        let again = session("a", 3, 0, SessionState::Active);
        for at in 1..=5 {
            sessions.see(again.clone(), t(at));
        }
        assert_eq!(silent(&sessions), [], "a stale read says nothing");
        sessions.see_all(vec![again.clone()], t(5), t(6));
        for at in 7..=16 {
            assert_eq!(silent(&sessions), []);
            sessions.see(again.clone(), t(at));
        }
        assert_eq!(silent(&sessions), [(worker("a"), 3, 0)]);
    }

    #[test]
    fn a_heartbeat_that_comes_during_a_full_read_is_newer_than_what_that_shows() {
        let mut sessions = sessions();
        sessions.see(session("a", 3, 7, SessionState::Active), t(0));
        sessions.see(session("a", 3, 8, SessionState::Active), t(2));
        sessions.see_all(vec![session("a", 3, 7, SessionState::Active)], t(1), t(3));
        assert_eq!(sessions.row(&worker("a")).map(|session| session.heartbeat), Some(8));
    }

    #[test]
    fn ended_is_for_ever_and_a_lower_number_proves_nothing() {
        let mut sessions = sessions();
        sessions.see(session("a", 3, 7, SessionState::Active), t(0));
        assert_eq!(sessions.owner_is(&owner("a", 3)), OwnerIs::Live);
        assert_eq!(sessions.owner_is(&owner("a", 2)), OwnerIs::Ended);
        assert_eq!(sessions.owner_is(&owner("a", 4)), OwnerIs::Missing);
        assert_eq!(sessions.owner_is(&owner("b", 1)), OwnerIs::Missing);
        assert!(sessions.see(session("a", 3, 7, SessionState::Fenced), t(1)));
        assert!(!sessions.see(session("a", 3, 7, SessionState::Active), t(2)), "a stale read");
        assert_eq!(sessions.owner_is(&owner("a", 3)), OwnerIs::Ended);
    }
}
