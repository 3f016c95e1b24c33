//! *Given* lists of shards that fail, are slow, or are wrong; *then* nothing waits for them:
//! neither the leases of a dead worker, nor the leader's term, nor a shutdown.

use crate::invariant::{self, Facts};
use crate::world::refusal::AwsError;
use crate::world::weather::Fate;
use crate::world::{Making, World, run};
use kcl_core::Settings;
use std::time::Duration;

fn check(world: &World) {
    let broken = invariant::check(&Facts::of(world));
    assert!(broken.is_empty(), "{broken:#?}");
}

fn lists_meet(world: &World, fate: Fate) {
    world.weather.rule(move |call| (call.operation == "ListShards").then_some(fate));
}

#[test]
fn leases_of_a_dead_worker_are_taken_in_time_while_lists_fail_or_crawl() {
    for (n, failover) in [10, 12, 15].into_iter().enumerate() {
        for fate in [Fate::Unavailable, Fate::SlowAnswer(Duration::from_millis(3_800)), Fate::LostResponse] {
            run(async {
                let failover = Duration::from_secs(failover);
                let settings = Settings::default().failover_time(failover).shard_sync_interval(Duration::from_secs(5));
                let mut world = World::new(Making { settings, ..Making::new(n as u64 + 1, 4) });
                world.fleet(&["ann", "ben"]).await;
                lists_meet(&world, fate);
                world.seconds(20).await;
                let (leader, term) = (world.leader().unwrap(), world.rows().fleet.unwrap().term);
                let victim = if leader == "ann" { "ben" } else { "ann" };
                world.kill(victim);
                world.until_shared(&[(leader.as_str(), 4)], failover + Duration::from_secs(4)).await;
                assert_eq!(world.rows().fleet.unwrap().term, term, "{fate:?}");
                check(&world);
            });
        }
    }
}

#[test]
fn a_list_that_takes_long_is_waited_for_at_a_first_start_and_costs_nobody_the_term() {
    run(async {
        let mut world = World::new(Making::new(1, 4));
        lists_meet(&world, Fate::SlowAnswer(Duration::from_secs(8)));
        world.start("ann");
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(40)).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(10)).await;
        world.seconds(300).await;
        assert_eq!(world.rows().fleet.unwrap().term, 2, "the first leader's");
        check(&world);
    });
}

#[test]
fn shards_that_are_listed_as_their_own_ancestors_stop_neither_the_leader_nor_a_shutdown() {
    // Wrong once, and wrong from then on.
    for wrong_lists in [1, u32::MAX] {
        run(async {
            let mut world = World::new(Making::new(1, 3));
            let mut lists = 0;
            world.weather.rule(move |call| {
                lists += u32::from(call.operation == "ListShards");
                // The second way is a shard that is its own parent. (The first list at a start only
                // reads the time.)
                (call.operation == "ListShards" && lists <= wrong_lists.saturating_add(1)).then_some(Fate::Wrong(3))
            });
            world.start("ann");
            world.until_shared(&[("ann", 3)], Duration::from_secs(20)).await;
            world.stream.put(20);
            world.until_handled(Duration::from_secs(10)).await;
            world.stop("ann", Duration::from_secs(25));
            world.until("stopped", Duration::from_secs(3), |world| world.alive().is_empty()).await;
            check(&world);
        });
    }
    run(async {
        let mut world = World::new(Making::new(2, 3));
        lists_meet(&world, Fate::Wrong(3));
        world.start("ann");
        world.seconds(2).await;
        world.stop("ann", Duration::from_secs(25));
        world.until("stopped", Duration::from_secs(3), |world| world.alive().is_empty()).await;
    });
}

#[test]
fn one_wrong_answer_ends_no_shard() {
    for way in 0..4 {
        run(async {
            let mut world = World::new(Making::new(1, 3));
            world.fleet(&["ann"]).await;
            world.stream.put(20);
            world.until_handled(Duration::from_secs(10)).await;
            let mut asked = (false, false);
            world.weather.rule(move |call| match call.operation {
                "GetRecords" if !asked.0 => {
                    asked.0 = true;
                    Some(Fate::Refused(AwsError::ResourceNotFound))
                }
                "ListShards" if !asked.1 => {
                    asked.1 = true;
                    Some(Fate::Wrong(way))
                }
                _ => None,
            });
            world.seconds(5).await;
            world.stream.put(60);
            world.until_handled(Duration::from_secs(20)).await;
            assert!(world.rows().leases.iter().all(|lease| !lease.checkpoint.is_shard_end()));
            check(&world);
        });
    }
}
