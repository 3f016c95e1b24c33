//! Writes settings into the fleet row once all workers of the fleet use them.

use super::sessions::Sessions;
use super::term::Term;
use crate::coordination::call::{CallId, LeaderCall};
use crate::coordination::effects::Effects;
use crate::lease::Write;
use crate::lease::row::{Fleet, FleetSettings, SharedSettings};

impl Term {
    /// Writes the settings that all workers use into the fleet row, if it contains others.
    pub(super) fn agree_on_settings(&self, fleet: Option<&Fleet>, effects: &mut Effects) {
        let (Some(fleet), true, Some(shared)) = (fleet, self.read_at.is_some(), agreed(&self.sessions)) else { return };
        let seen = fleet.settings.clone();
        if seen.as_ref().is_none_or(|seen| seen.shared != shared || seen.until_ms != self.config.until_ms) {
            let to = FleetSettings { shared, until_ms: self.config.until_ms, set_by: self.me.to_string() };
            effects.write(CallId::Leader(LeaderCall::Settings), Write::ChangeSettings { seen, to });
        }
    }
}

/// The settings that all sessions use that have not ended, except those that adopted the fleet's.
/// `None` while they differ, or while the row of an earlier version's worker does not contain any.
fn agreed(sessions: &Sessions) -> Option<SharedSettings> {
    let mut agreed = None;
    for session in sessions.live().filter(|session| !session.profile.adopted) {
        let settings = session.profile.settings?;
        if *agreed.get_or_insert(settings) != settings {
            return None;
        }
    }
    agreed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::config::BalanceBy;
    use crate::lease::row::{Session, SessionState, WorkerId, WorkerProfile};
    use std::time::Duration;

    fn session(id: &str, failover: Option<u64>, adopted: bool, state: SessionState) -> Session {
        let shared =
            |seconds| SharedSettings { failover_time: Duration::from_secs(seconds), balance_by: BalanceBy::Leases };
        Session {
            worker: WorkerId::from_row(id),
            number: 3,
            tag: 0,
            heartbeat: 7,
            state,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
            profile: WorkerProfile { settings: failover.map(shared), adopted, process: None },
        }
    }

    fn agreed_seconds(rows: Vec<Session>) -> Option<u64> {
        let second = Duration::from_secs(1);
        let mut sessions = Sessions::new(WorkerId::from_row("me"), second);
        sessions.observe_table(rows, Time::ZERO, Time::ZERO);
        agreed(&sessions).map(|agreed| agreed.failover_time.as_secs())
    }

    #[test]
    fn settings_become_the_fleets_once_all_workers_with_settings_of_their_own_use_them() {
        use SessionState::{Active, Draining, Fenced};
        let new = || session("new", Some(60), false, Active);
        assert_eq!(agreed_seconds(vec![new()]), Some(60));
        assert_eq!(agreed_seconds(vec![new(), session("old", Some(10), false, Active)]), None);
        assert_eq!(agreed_seconds(vec![new(), session("old", Some(10), false, Draining)]), None, "it still lives");
        assert_eq!(agreed_seconds(vec![new(), session("old", Some(10), false, Fenced)]), Some(60));
        assert_eq!(agreed_seconds(vec![new(), session("adopter", Some(10), true, Active)]), Some(60));
        assert_eq!(agreed_seconds(vec![new(), session("earlier version", None, false, Active)]), None);
    }
}
