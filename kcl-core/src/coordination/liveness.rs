//! Decides from the rows of one session if its worker is alive. Pure.

use crate::clock::Time;
use crate::lease::row::{Session, SessionNumber};
use std::time::Duration;

/// A heartbeat that a worker sent before it was killed may still be applied, and only one is under
/// way at a time. So a heartbeat that changes twice was sent by a live worker.
const MOVES_OF_THE_LIVING: u32 = 2;

/// Watches one session's row, which a strongly consistent read or a refused write showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Liveness {
    mark: (SessionNumber, u64),
    /// When an answer first showed the mark.
    since: Time,
    moves: u32,
}

/// What is known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// It may be either.
    Unknown,
    Alive,
    /// Its heartbeat did not move for its own `failover_time`.
    Silent,
}

impl Liveness {
    pub(crate) fn new(session: &Session, received: Time) -> Self {
        Liveness { mark: (session.number, session.heartbeat), since: received, moves: 0 }
    }

    /// An answer that was received at `received` shows the session. `failover_time` is that of its worker.
    pub(crate) fn look(&mut self, session: &Session, received: Time, failover_time: Duration) -> Pulse {
        self.prove(session, received, received, Time::ZERO, failover_time)
    }

    /// The same with the evidence that fencing needs. The answer to a call that was sent at `asked` shows the session as it was
    /// then or later, and silence counts only while the table could be reached, which it could since `reachable`.
    pub(crate) fn prove(
        &mut self,
        session: &Session,
        asked: Time,
        received: Time,
        reachable: Time,
        failover_time: Duration,
    ) -> Pulse {
        let mark = (session.number, session.heartbeat);
        if mark != self.mark {
            // A new number: somebody has registered meanwhile.
            self.moves += if session.number == self.mark.0 { 1 } else { MOVES_OF_THE_LIVING };
            (self.mark, self.since) = (mark, received);
        }
        if self.moves >= MOVES_OF_THE_LIVING {
            Pulse::Alive
        } else if asked.since(self.since.max(reachable)) >= failover_time {
            Pulse::Silent
        } else {
            Pulse::Unknown
        }
    }

    /// When the next look should be made: soon enough to see each heartbeat, and once staleness would be proven.
    pub(crate) fn next_look(&self, now: Time, failover_time: Duration) -> Time {
        let soon = now + (failover_time / 8).min(Duration::from_secs(2));
        let proven = self.since + failover_time;
        if proven > now { soon.min(proven) } else { soon }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{SessionState, WorkerId, WorkerProfile};

    const FAILOVER: Duration = Duration::from_secs(10);

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn session(number: u64, heartbeat: u64) -> Session {
        Session {
            worker: WorkerId::from_row("a"),
            number,
            tag: 0,
            heartbeat,
            state: SessionState::Active,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
            profile: WorkerProfile::default(),
        }
    }

    #[test]
    fn a_session_whose_heartbeat_moves_twice_is_alive() {
        let mut liveness = Liveness::new(&session(3, 7), t(0));
        assert_eq!(liveness.look(&session(3, 7), t(2), FAILOVER), Pulse::Unknown);
        assert_eq!(liveness.look(&session(3, 8), t(3), FAILOVER), Pulse::Unknown, "a killed worker's last request");
        assert_eq!(liveness.look(&session(3, 8), t(12), FAILOVER), Pulse::Unknown);
        assert_eq!(liveness.look(&session(3, 9), t(12), FAILOVER), Pulse::Alive);
    }

    #[test]
    fn one_that_registers_meanwhile_is_alive() {
        let mut liveness = Liveness::new(&session(3, 7), t(0));
        assert_eq!(liveness.look(&session(4, 0), t(1), FAILOVER), Pulse::Alive);
    }

    #[test]
    fn one_that_does_not_move_for_its_failover_time_is_silent_and_looked_at_then() {
        let mut liveness = Liveness::new(&session(3, 7), t(0));
        assert_eq!(liveness.look(&session(3, 8), t(4), FAILOVER), Pulse::Unknown);
        assert_eq!(liveness.look(&session(3, 8), t(13), FAILOVER), Pulse::Unknown);
        assert_eq!(liveness.next_look(t(13), FAILOVER), t(14));
        assert_eq!(liveness.look(&session(3, 8), t(14), FAILOVER), Pulse::Silent);
    }
}
