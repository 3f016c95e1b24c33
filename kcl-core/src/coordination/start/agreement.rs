//! Whether the fleet of a table uses other settings than this worker, and what follows. Pure.

use crate::clock::Time;
use crate::config::{OnFleetSettings, Settings};
use crate::coordination::liveness::{Liveness, Pulse};
use crate::error::{Code, Error};
use crate::lease::Table;
use crate::lease::row::{Fleet, FleetSettings, Session, SharedSettings, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Compares settings with the fleet's, over as many reads of the table as that acquires.
#[derive(Debug)]
pub(super) struct Agreement {
    table: String,
    me: WorkerId,
    mine: SharedSettings,
    until_ms: Option<i64>,
    policy: OnFleetSettings,
    seen: BTreeMap<WorkerId, Liveness>,
    /// What the fleet row showed, and since when: one that was made a moment ago is of a worker that registers next.
    row: Option<((u64, u64, u64), Time)>,
}

/// What one read of the table showed.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The settings are the fleet's, or may be used beside the fleet's.
    Fits,
    /// The fleet's are to be used.
    Adopt(FleetSettings),
    /// Somebody used others, and may still be alive: to be looked at again then.
    Look(Duration),
    Refused(Error),
}

impl Agreement {
    pub(super) fn new(table: String, me: WorkerId, settings: &Settings) -> Self {
        Agreement {
            table,
            me,
            mine: shared(settings),
            until_ms: settings.until_ms(),
            policy: settings.on_fleet_settings,
            seen: BTreeMap::new(),
            row: None,
        }
    }

    /// A full read, asked for at `asked`, showed the table.
    pub(super) fn look(&mut self, table: &Table, asked: Time) -> Verdict {
        // Without a fleet row, or with one of an earlier version, there is nothing to compare with.
        let Some((fleet, settings)) = table.fleet.as_ref().and_then(|fleet| Some((fleet, fleet.settings.as_ref()?)))
        else {
            return Verdict::Fits;
        };
        let same_end = settings.until_ms == self.until_ms;
        if settings.shared == self.mine && same_end {
            return Verdict::Fits;
        }
        match self.policy {
            OnFleetSettings::Adopt if same_end => return Verdict::Adopt(settings.clone()),
            OnFleetSettings::Change if same_end => return Verdict::Fits,
            OnFleetSettings::Match | OnFleetSettings::Adopt | OnFleetSettings::Change => {}
        }
        let live = || table.sessions.iter().filter(|session| !session.state.has_ended());
        let agrees = |session: &Session| same_end && session.profile.settings == Some(self.mine);
        let (mut next, mut agreeing) = (None::<Duration>, false);
        for session in live() {
            if agrees(session) {
                agreeing = true;
                continue;
            }
            let failover_time = session.failover_time(settings.shared.failover_time);
            let seen = self.seen.entry(session.worker.clone()).or_insert_with(|| Liveness::new(session, asked));
            match seen.look(session, asked, failover_time) {
                Pulse::Alive => return Verdict::Refused(self.refusal(settings, session)),
                Pulse::Silent => {}
                Pulse::Unknown => {
                    let wait = seen.next_look(asked, failover_time).since(asked);
                    next = Some(next.map_or(wait, |next| next.min(wait)));
                }
            }
        }
        if next.is_none() && !agreeing && !self.has_stood(fleet, settings.shared.failover_time, asked) {
            next = Some(settings.shared.failover_time / 8);
        }
        next.map_or(Verdict::Fits, |next| Verdict::Look(next.clamp(Duration::from_millis(50), Duration::from_secs(2))))
    }

    /// Whether nobody has drawn a session number, or led, for so long.
    fn has_stood(&mut self, fleet: &Fleet, long: Duration, asked: Time) -> bool {
        let mark = (fleet.term, fleet.heartbeat, fleet.sessions);
        match self.row {
            Some((seen, since)) if seen == mark => asked.since(since) >= long,
            Some(_) | None => {
                self.row = Some((mark, asked));
                false
            }
        }
    }

    fn refusal(&self, theirs: &FleetSettings, alive: &Session) -> Error {
        let Agreement { table, me, mine, until_ms, .. } = self;
        let process = alive.profile.process.as_ref().map_or_else(String::new, |process| format!(" ({process})"));
        let alive = format!("worker `{}`{process} is alive", alive.worker);
        if theirs.until_ms != *until_ms {
            let end = |until: Option<i64>| until.map_or_else(|| "none".to_owned(), crate::config::timestamp);
            let message = format!(
                "the fleet of table `{table}` has `until` = {}, set by worker `{}`, and worker `{me}` has `until` = {}; {alive}. \
                 Use another application name, or the same `until`",
                end(theirs.until_ms),
                theirs.set_by,
                end(*until_ms)
            );
            return Error::new(Code::OtherRange, message);
        }
        Error::new(
            Code::FleetSettings,
            format!(
                "the fleet of table `{table}` uses {}, set by worker `{}`, and worker `{me}` is configured with {}; {alive}. Use \
                 the same values, or set `on_fleet_settings`: `adopt` uses the fleet's values, `change` introduces the new \
                 ones in a rolling deploy",
                shown(&theirs.shared, mine),
                theirs.set_by,
                shown(mine, &theirs.shared)
            ),
        )
    }
}

/// The settings of a worker that its fleet must agree on.
pub(in crate::coordination) fn shared(settings: &Settings) -> SharedSettings {
    SharedSettings { failover_time: settings.failover_time, balance_by: settings.balance_by }
}

/// Those values that differ from the other ones.
fn shown(settings: &SharedSettings, other: &SharedSettings) -> String {
    let mut shown = Vec::new();
    if settings.failover_time != other.failover_time {
        shown.push(format!("`failover_time` = {}", humantime::format_duration(settings.failover_time)));
    }
    if settings.balance_by != other.balance_by {
        shown.push(format!("`balance_by` = {}", settings.balance_by.as_str()));
    }
    shown.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BalanceBy;
    use crate::lease::row::{ProcessId, SessionState, WorkerProfile};

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn settings(failover: u64) -> Settings {
        Settings::default().failover_time(Duration::from_secs(failover))
    }

    fn session(id: &str, failover: u64, heartbeat: u64) -> Session {
        let process = ProcessId { host: "pod-7".to_owned(), id: 17, started_at_ms: 1_767_225_600_000, kernel: None };
        Session {
            worker: WorkerId::from_row(id),
            number: 3,
            tag: 0,
            heartbeat,
            state: SessionState::Active,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
            profile: WorkerProfile {
                settings: Some(shared(&settings(failover))),
                adopted: false,
                process: Some(process),
            },
        }
    }

    fn table(failover: u64, sessions: Vec<Session>) -> Table {
        let settings =
            FleetSettings { shared: shared(&settings(failover)), until_ms: None, set_by: "worker-a".to_owned() };
        let fleet = Fleet { settings: Some(settings), ..Fleet::above(0, 3, true) };
        Table { fleet: Some(fleet), sessions, ..Table::default() }
    }

    fn agreement(settings: &Settings) -> Agreement {
        Agreement::new("clicks".to_owned(), WorkerId::from_row("me"), settings)
    }

    #[test]
    fn another_failover_time_is_refused_once_a_worker_of_the_fleet_is_seen_alive() {
        let mut agreement = agreement(&settings(60));
        for (at, heartbeat) in [(0, 7), (2, 7), (4, 8)] {
            let verdict = agreement.look(&table(10, vec![session("worker-b", 10, heartbeat)]), t(at));
            assert!(matches!(verdict, Verdict::Look(_)), "{verdict:?}");
        }
        let verdict = agreement.look(&table(10, vec![session("worker-b", 10, 9)]), t(6));
        let Verdict::Refused(error) = verdict else { panic!("{verdict:?}") };
        assert_eq!(error.code(), Code::FleetSettings);
        for part in [
            "table `clicks` uses `failover_time` = 10s, set by worker `worker-a`",
            "worker `me` is configured with `failover_time` = 1m",
            "worker `worker-b` (process 17 on host `pod-7`, started at 2026-01-01T00:00:00Z) is alive",
        ] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn what_a_balances_by_is_agreed_on_too() {
        let mut agreement = agreement(&settings(10).balance_by(BalanceBy::Bytes));
        agreement.look(&table(10, vec![session("worker-b", 10, 7)]), t(0));
        agreement.look(&table(10, vec![session("worker-b", 10, 8)]), t(2));
        let verdict = agreement.look(&table(10, vec![session("worker-b", 10, 9)]), t(4));
        let Verdict::Refused(error) = verdict else { panic!("{verdict:?}") };
        assert!(error.to_string().contains("uses `balance_by` = leases, set by"), "{error}");
        assert!(error.to_string().contains("configured with `balance_by` = bytes"), "{error}");
    }

    #[test]
    fn a_fleet_that_died_has_no_say() {
        let mut agreement = agreement(&settings(60));
        let dead = table(10, vec![session("worker-b", 10, 7)]);
        for at in [0, 4, 9] {
            assert!(matches!(agreement.look(&dead, t(at)), Verdict::Look(_)));
        }
        assert!(matches!(agreement.look(&dead, t(10)), Verdict::Look(_)), "the fleet row was not watched that long");
        assert!(matches!(agreement.look(&dead, t(20)), Verdict::Fits));
    }

    #[test]
    fn a_fleet_row_that_was_just_made_is_of_a_worker_that_registers_next() {
        let mut agreement = agreement(&settings(60));
        assert!(matches!(agreement.look(&table(10, vec![]), t(0)), Verdict::Look(_)));
        for (at, heartbeat) in [(1, 0), (3, 1)] {
            assert!(matches!(
                agreement.look(&table(10, vec![session("worker-b", 10, heartbeat)]), t(at)),
                Verdict::Look(_)
            ));
        }
        let verdict = agreement.look(&table(10, vec![session("worker-b", 10, 2)]), t(6));
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }

    #[test]
    fn a_fleet_that_changes_takes_workers_of_the_old_and_of_the_new_settings() {
        let changing = table(10, vec![session("worker-b", 60, 7)]);
        assert!(matches!(agreement(&settings(10)).look(&changing, t(0)), Verdict::Fits), "the row says 10 s still");
        let new = settings(60).on_fleet_settings(OnFleetSettings::Change);
        assert!(matches!(agreement(&new).look(&changing, t(0)), Verdict::Fits));
        assert!(matches!(agreement(&settings(60)).look(&changing, t(0)), Verdict::Fits), "all others use it already");
    }

    #[test]
    fn a_worker_that_adopts_takes_the_fleets_values_at_once() {
        let adopts = settings(60).on_fleet_settings(OnFleetSettings::Adopt);
        let verdict = agreement(&adopts).look(&table(10, vec![session("worker-b", 10, 7)]), t(0));
        let Verdict::Adopt(settings) = verdict else { panic!("{verdict:?}") };
        assert_eq!(settings.shared.failover_time, Duration::from_secs(10));
    }

    #[test]
    fn the_end_of_a_replay_is_neither_adopted_nor_changed() {
        for policy in [OnFleetSettings::Match, OnFleetSettings::Adopt, OnFleetSettings::Change] {
            let mut agreement = agreement(&settings(10).until(crate::record::system_time(5)).on_fleet_settings(policy));
            agreement.look(&table(10, vec![session("worker-b", 10, 7)]), t(0));
            agreement.look(&table(10, vec![session("worker-b", 10, 8)]), t(2));
            let verdict = agreement.look(&table(10, vec![session("worker-b", 10, 9)]), t(4));
            let Verdict::Refused(error) = verdict else { panic!("{verdict:?}") };
            assert_eq!(error.code(), Code::OtherRange);
        }
    }

    #[test]
    fn a_fleet_row_of_an_earlier_version_says_nothing() {
        let mut of_before = table(10, vec![session("worker-b", 10, 7)]);
        of_before.fleet = of_before.fleet.map(|fleet| Fleet { settings: None, ..fleet });
        assert!(matches!(agreement(&settings(60)).look(&of_before, t(0)), Verdict::Fits));
        of_before.fleet = None;
        assert!(matches!(agreement(&settings(60)).look(&of_before, t(0)), Verdict::Fits));
    }
}
