//! Workers of one application that are configured with different values of `failover_time`.

use super::checked;
use crate::world::history::Fact;
use crate::world::{Making, Setup, World, run};
use kcl_core::Settings;
use kcl_core::lease::{Row, RowKey, Session, SessionState, WorkerId};
use kcl_core::settings::OnFleetSettings;
use std::collections::BTreeSet;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(25);

fn seconds(failover: u64) -> Settings {
    Settings::default().failover_time(Duration::from_secs(failover))
}

fn with(settings: Settings) -> Setup {
    Setup { settings: Some(settings), ..Setup::default() }
}

fn changing(failover: u64) -> Setup {
    with(seconds(failover).on_fleet_settings(OnFleetSettings::Change))
}

/// The `failover_time` in the fleet row, in seconds.
fn of_fleet(world: &World) -> Option<u64> {
    Some(world.rows().fleet?.settings?.shared.failover_time.as_secs())
}

fn fenced(world: &World) -> usize {
    let is_fenced = |row: &Option<Row>| {
        row.as_ref().and_then(Row::as_session).is_some_and(|session: &Session| session.state == SessionState::Fenced)
    };
    world.count(|fact| matches!(fact, Fact::Changed { key: RowKey::Session(_), before, after, .. } if is_fenced(after) && !is_fenced(before)))
}

/// The number of records that handlers received more than once.
fn repeated(world: &World) -> usize {
    world.history.with(|events| {
        let handed = events.iter().filter_map(|event| match &event.fact {
            Fact::Handed { records, .. } => Some(records.iter().map(|record| record.number)),
            _ => None,
        });
        let handed: Vec<u32> = handed.flatten().collect();
        handed.len() - handed.iter().collect::<BTreeSet<_>>().len()
    })
}

/// Stops every worker: a plain table must remain, and no invariant may be violated.
async fn ends_plainly(name: &str, world: World) {
    for process in world.alive() {
        world.stop(&process, DEADLINE);
    }
    let gone = |world: &World| {
        let rows = world.rows();
        world.alive().is_empty() && rows.sessions.is_empty() && rows.assignments.is_empty() && rows.fleet.is_none()
    };
    world.until("stopped, with a plain table left", DEADLINE, gone).await;
    checked(name, world);
}

#[test]
fn workers_with_different_failover_times_fence_nobody_that_lives_and_repeat_nothing() {
    run(async {
        let mut world = World::new(Making::new(81, 6));
        world.fleet(&["ann", "ben"]).await;
        let slow = world.start_with("cat", changing(60));
        world.until_shared(&[("ann", 2), ("ben", 2), ("cat", 2)], Duration::from_secs(20)).await;
        for _ in 0..60 {
            world.stream.put(5);
            world.seconds(5).await;
        }
        world.until_handled(Duration::from_secs(10)).await;
        assert_eq!((fenced(&world), repeated(&world)), (0, 0));
        assert_eq!(of_fleet(&world), Some(10), "the others have not changed");
        // Each worker is timed by its own value: the slow one is dead after a minute, and its
        // leases stay with it until then.
        world.kill(&slow);
        world.stream.put(60);
        let took = world.until_shared(&[("ann", 3), ("ben", 3)], Duration::from_secs(66)).await;
        assert!(took >= Duration::from_secs(44), "{took:?}: it may have sent a heartbeat up to 15 s before");
        world.until_handled(Duration::from_secs(10)).await;
        assert_eq!(fenced(&world), 1);
        ends_plainly("different failover times", world).await;
    });
}

#[test]
fn a_slow_worker_that_leads_is_not_deposed_by_faster_ones() {
    run(async {
        let mut world = World::new(Making::new(82, 6));
        world.start_with("cat", with(seconds(60)));
        world.until_shared(&[("cat", 6)], Duration::from_secs(10)).await;
        for fast in ["ann", "ben"] {
            world.start_with(fast, changing(10));
        }
        world.until_shared(&[("ann", 2), ("ben", 2), ("cat", 2)], Duration::from_secs(40)).await;
        for _ in 0..60 {
            world.stream.put(5);
            world.seconds(5).await;
        }
        world.until_handled(Duration::from_secs(10)).await;
        assert_eq!((fenced(&world), repeated(&world)), (0, 0));
        let term = world.rows().fleet.map(|fleet| fleet.term);
        assert_eq!((term, world.leader().as_deref()), (Some(2), Some("cat")));
        ends_plainly("a slow leader", world).await;
    });
}

#[test]
fn a_rolling_deploy_changes_the_failover_time_and_another_one_changes_it_back() {
    run(async {
        let mut world = World::new(Making::new(83, 6));
        world.fleet(&["ann-1", "ben-1", "cat-1"]).await;
        assert_eq!(of_fleet(&world), Some(10));
        for (generation, failover, before) in [(2, 60, 10), (3, 10, 60)] {
            for worker in ["ann", "ben", "cat"] {
                assert_eq!(of_fleet(&world), Some(before), "before the last old worker has gone");
                world.start_with(&format!("{worker}-{generation}"), changing(failover));
                world.stream.put(30);
                world.seconds(20).await;
                world.stop(&format!("{worker}-{}", generation - 1), DEADLINE);
                world.stream.put(30);
                world.seconds(20).await;
            }
            world.until("changed", Duration::from_secs(70), |world| of_fleet(world) == Some(failover)).await;
        }
        world.until_handled(Duration::from_secs(10)).await;
        assert_eq!((fenced(&world), repeated(&world)), (0, 0));
        assert_eq!(world.rows().sessions.iter().filter(|session| !session.state.has_ended()).count(), 3);
        ends_plainly("a rolling deploy", world).await;
    });
}

#[test]
fn a_worker_with_another_failover_time_refuses_to_join_a_live_fleet() {
    run(async {
        let mut world = World::new(Making::new(84, 4));
        world.fleet(&["ann", "ben"]).await;
        let refused = world.start_with("cat", with(seconds(60)));
        world.may_fail(&refused);
        world.stream.put(50);
        world.until("refused", Duration::from_secs(10), |world| world.error_of("cat").is_some()).await;
        let error = world.error_of("cat").unwrap();
        for part in ["`failover_time` = 10s, set by worker `ann`", "configured with `failover_time` = 1m", "[KCL-0025]"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(world.row(&RowKey::Session(WorkerId::from_row("cat"))).is_none(), "it has written nothing");
        world.until_handled(Duration::from_secs(10)).await;
        assert_eq!((fenced(&world), repeated(&world)), (0, 0));
        ends_plainly("a worker that differs", world).await;
    });
}

#[test]
fn a_worker_that_adopts_uses_the_fleets_failover_time() {
    run(async {
        let mut world = World::new(Making::new(85, 4));
        world.fleet(&["ann"]).await;
        world.start_with("ben", with(seconds(60).on_fleet_settings(OnFleetSettings::Adopt)));
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(20)).await;
        world.seconds(120).await;
        assert_eq!((fenced(&world), of_fleet(&world)), (0, Some(10)));
        world.kill("ben");
        world.until_shared(&[("ann", 4)], Duration::from_secs(14)).await;
        ends_plainly("a worker that adopts", world).await;
    });
}

#[test]
fn another_failover_time_may_be_used_once_the_whole_fleet_was_killed() {
    run(async {
        let mut world = World::new(Making::new(86, 4));
        world.fleet(&["ann", "ben"]).await;
        ["ann", "ben"].iter().for_each(|name| world.kill(name));
        world.start_with("cat", with(seconds(20)));
        world.until_shared(&[("cat", 4)], Duration::from_secs(60)).await;
        world.until("changed", Duration::from_secs(10), |world| of_fleet(world) == Some(20)).await;
        ends_plainly("after a kill of all", world).await;
    });
}

#[test]
fn rows_of_an_earlier_version_are_timed_by_the_observers_failover_time() {
    run(async {
        let mut world = World::new(Making::new(87, 4));
        world.fleet(&["ann", "ben"]).await;
        // Rows of an earlier version, without settings.
        let rows = world.rows();
        for session in rows.sessions {
            let key = RowKey::Session(session.worker.clone());
            world.tamper(key, Some(Row::Session(Session { profile: Default::default(), ..session })));
        }
        // Waits until the leader has read them; otherwise it would store the settings that it knew
        // before.
        world.seconds(3).await;
        let fleet = world.rows().fleet.unwrap();
        let before = kcl_core::lease::Fleet { settings: None, leader_failover_time: None, ..fleet };
        world.tamper(RowKey::Fleet, Some(Row::Fleet(before)));
        world.start_with("cat", with(seconds(20)));
        world.until("shared by three", Duration::from_secs(20), |world| world.shares().len() == 3).await;
        world.seconds(60).await;
        assert_eq!((fenced(&world), of_fleet(&world)), (0, None), "not all workers say what they use");
        world.kill("ben");
        world.until_shared(&[("ann", 2), ("cat", 2)], Duration::from_secs(25)).await;
        world.kill("ann");
        world.until_shared(&[("cat", 4)], Duration::from_secs(45)).await;
        world.until("settled", Duration::from_secs(10), |world| of_fleet(world) == Some(20)).await;
        ends_plainly("rows of an earlier version", world).await;
    });
}
