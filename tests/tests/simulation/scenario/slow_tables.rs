//! *Given* a table whose full read takes seconds or minutes; *when* owners vanish, a Java fleet has
//! stopped, workers die and join; *then* every lease is acquired, within a bound that grows with
//! the time of a read.

use crate::invariant::{self, Facts};
use crate::world::weather::Fate;
use crate::world::{Making, World, run};
use kcl_core::lease::{Lease, LeaseKey, Owner, Row, RowKey, Session, SessionState, WorkerId};
use kcl_core::record::{Checkpoint, ShardId};
use std::time::Duration;

/// The time between a read that shows a change and its effect.
const MORE: Duration = Duration::from_secs(10);

/// Plays this on tables where a page of one row takes so long that a full read takes about 3, 11
/// and 100 seconds.
fn on_slow_tables(seed: u64, scenario: impl AsyncFn(World, Duration) -> World) {
    for page_ms in [450, 1_600, 12_000] {
        let world = run(async {
            let world = World::new(Making::new(seed, 4));
            world.weather.pages(1);
            world.weather.slow_pages(page_ms, page_ms + page_ms / 10);
            // Four leases, a fleet row, and a session and an assignment of each of three workers.
            let read = world.weather.read_time(11);
            scenario(world, read).await
        });
        let broken = invariant::check(&Facts::of(&world));
        assert!(broken.is_empty(), "{page_ms} ms a page: {broken:#?}");
    }
}

fn failover(world: &World) -> Duration {
    world.settings().failover_time
}

#[test]
fn a_dead_workers_leases_are_taken_and_a_new_worker_registers_however_slow_a_full_read_is() {
    on_slow_tables(401, async |mut world, read| {
        let f = failover(&world);
        world.start("ann");
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], read * 6 + f + MORE).await;
        world.kill("ben");
        world.start("cid");
        world.until_shared(&[("ann", 2), ("cid", 2)], f * 2 + read * 4 + MORE).await;
        world.stream.put(10);
        world.until_handled(Duration::from_secs(10)).await;
        world
    });
}

#[test]
fn a_leader_that_dies_is_followed_by_one_that_completes_a_slow_read() {
    on_slow_tables(402, async |mut world, read| {
        let f = failover(&world);
        world.start("ann");
        world.until_shared(&[("ann", 4)], read * 6 + f + MORE).await;
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], read * 4 + f + MORE).await;
        let term = world.rows().fleet.unwrap().term;
        world.kill("ann");
        world.until_shared(&[("ben", 4)], f * 2 + read * 4 + MORE).await;
        // A read of minutes does not cost the leader its term.
        world.pass(read * 4).await;
        assert_eq!(world.rows().fleet.unwrap().term, term + 1);
        world
    });
}

#[test]
fn leases_of_owners_without_a_session_are_taken_however_slow_a_full_read_is() {
    on_slow_tables(403, async |mut world, read| {
        let f = failover(&world);
        world.start("ann");
        world.until_shared(&[("ann", 4)], read * 6 + f + MORE).await;
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], read * 4 + f + MORE).await;
        world.kill("ben");
        world.tamper(RowKey::Session(WorkerId::from_row("ben")), None);
        // Nothing requests a read: the periodic one finds the leases.
        let unasked = Duration::from_secs(60).max(read * 10);
        world.until_shared(&[("ann", 4)], unasked + f * 2 + read * 4 + MORE).await;
        world
    });
}

#[test]
fn leases_of_a_stopped_java_fleet_are_taken_however_slow_a_full_read_is() {
    on_slow_tables(404, async |mut world, read| {
        for n in 0..4 {
            let owner = Some(Owner { worker: WorkerId::from_row("java"), session: None });
            let lease = Lease::unowned(ShardId::from(format!("shardId-{n:012}").as_str()), Checkpoint::TrimHorizon);
            let lease = Lease { owner, counter: 4_711, kcl_counter: None, ..lease };
            world.tamper(RowKey::Lease(lease.key.clone()), Some(Row::Lease(lease)));
        }
        world.start("ann");
        let java = world.settings().java_failover_time;
        world.until_shared(&[("ann", 4)], java + read * 6 + MORE).await;
        world
    });
}

/// A page of a table with little read capacity is throttled every other time; calls for single rows
/// are answered.
#[test]
fn pages_that_are_throttled_half_of_the_time_do_not_keep_a_fleet_from_failing_over() {
    let world = run(async {
        let mut world = World::new(Making::new(405, 4));
        world.weather.pages(1);
        let mut n = 0;
        world.weather.rule(move |call| {
            let throttled = call.operation == "Scan" && {
                n += 1;
                n % 2 == 0
            };
            throttled.then_some(Fate::Throttled)
        });
        world.start("ann");
        world.start("ben");
        let read = Duration::from_secs(30);
        world.until_shared(&[("ann", 2), ("ben", 2)], read * 4).await;
        world.kill("ben");
        world.until_shared(&[("ann", 4)], failover(&world) * 2 + read * 3).await;
        world
    });
    let broken = invariant::check(&Facts::of(&world));
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Waits for a condition, in steps that suit a table of thousands of rows.
async fn until(world: &World, within: Duration, is_so: impl Fn(&World) -> bool) {
    let began = world.history.now();
    while !is_so(world) {
        let waited = world.history.now() - began;
        assert!(waited < within, "not within {within:?}: {:#?}", world.shares());
        world.seconds(2).await;
    }
}

fn shared(world: &World, wanted: &[(&str, usize)]) -> bool {
    world.shares() == wanted.iter().map(|(worker, n)| ((*worker).to_owned(), *n)).collect()
}

/// As many rows as a crash loop leaves behind, or an attacker writes. None of their sessions ever
/// sends a heartbeat. Reading them in sequential batches would take longer than a call may.
#[test]
fn thousands_of_dead_sessions_are_ended_and_delay_no_failover() {
    const DEAD: u64 = 3_000;
    let world = run(async {
        let mut world = World::new(Making::new(406, 4));
        world.fleet(&["ann", "ben"]).await;
        for n in 0..DEAD {
            let worker = WorkerId::from_row(&format!("dead-{n}"));
            let row = Session {
                worker: worker.clone(),
                number: n,
                tag: 0,
                heartbeat: 7,
                state: SessionState::Active,
                capacity: Some(0),
                load: 0,
                weights: None,
                streams: None,
                profile: kcl_core::lease::WorkerProfile::default(),
            };
            world.tamper(RowKey::Session(worker), Some(Row::Session(row)));
        }
        let slow = Fate::SlowAnswer(Duration::from_millis(100));
        world.weather.rule(move |call| (call.operation == "Read").then_some(slow));
        // The next full read shows them.
        world.seconds(65).await;
        world.kill("ben");
        until(&world, failover(&world) * 2 + MORE, |world| shared(world, &[("ann", 4)])).await;
        let alive = |world: &World| world.rows().sessions.iter().filter(|s| !s.state.has_ended()).count();
        until(&world, Duration::from_secs(60), |world| alive(world) == 1).await;
        // The leader deletes some of their rows in each cycle.
        until(&world, Duration::from_secs(400), |world| world.rows().sessions.len() == 1).await;
        world
    });
    let broken = invariant::check(&Facts::of(&world));
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Ten thousand leases, of which four can be read: the others wait for a parent that does not end.
#[test]
fn ten_thousand_leases_in_slow_pages_do_not_keep_a_fleet_from_failing_over() {
    let world = run(async {
        let mut world = World::new(Making::new(407, 4));
        world.fleet(&["ann"]).await;
        let like = world.lease("shardId-000000000000").unwrap();
        for n in 0..10_000 {
            let shard = ShardId::from(format!("shardId-1{n:011}").as_str());
            let (key, parents) = (LeaseKey::new(shard.as_str()), vec![like.shard.clone()]);
            let (owner, counter, kcl_counter) = (None, 0, None);
            let lease = Lease { key: key.clone(), shard, owner, counter, kcl_counter, parents, ..like.clone() };
            world.tamper(RowKey::Lease(key), Some(Row::Lease(lease)));
        }
        world.weather.slow_pages(100, 10_000);
        // Six pages of two thousand rows; a page may time out once before it is answered.
        let read = Duration::from_secs(6 * 20);
        world.start("ben");
        until(&world, read * 6, |world| world.shares().get("ben") == Some(&2)).await;
        world.kill("ann");
        world.start("cid");
        let within = failover(&world) * 2 + read * 4 + MORE;
        until(&world, within, |world| world.shares().get("cid") == Some(&2)).await;
        assert_eq!(world.shares().values().sum::<usize>(), 4);
        world
    });
    let broken = invariant::check(&Facts::of(&world));
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The calls of an idle worker in an hour: at most two polls a second of the fleet row and of each
/// shard, and fewer of everything else.
#[test]
fn an_idle_worker_makes_few_calls() {
    let world = run(async {
        let mut world = World::new(Making::new(408, 2));
        world.fleet(&["ann"]).await;
        let before = world.weather.calls();
        world.seconds(3_600).await;
        let calls = world.weather.calls() - before;
        assert!(calls < 3_600 * 8, "{calls} calls in an hour");
        eprintln!("{calls} calls in an hour");
        world
    });
    let broken = invariant::check(&Facts::of(&world));
    assert!(broken.is_empty(), "{broken:#?}");
}
