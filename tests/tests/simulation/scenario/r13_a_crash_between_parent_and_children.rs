//! R13. *Given* a parent that is read to its end; *when* its worker dies at any call between that
//! and the claim of its children; *then* no child is missing and no record is skipped, whichever
//! worker continues.

use super::{checked, play};
use crate::world::weather::Fate;
use crate::world::{Making, World, run};
use kcl_core::lease::Lease;
use std::time::Duration;

/// The worker dies at its n-th call after the split, before or after that call has its effect.
async fn dies(mut world: World, nth: u64, effect: bool) -> World {
    world.fleet(&["ann"]).await;
    world.stream.put(10);
    world.stream.split(0);
    world.stream.put(10);
    let from = world.weather.calls();
    world.weather.rule(move |call| (call.number == from + nth).then_some(Fate::Crash { effect }));
    world.seconds(3).await;
    world.start("ben");
    let f = world.settings().failover_time;
    world.until_handled(f * 2 + Duration::from_secs(5)).await;
    world
}

/// A worker that does not lead the fleet dies at its n-th call after the split.
async fn follower_dies(mut world: World, nth: u64, effect: bool) -> World {
    world.fleet(&["ann", "ben"]).await;
    world.seconds(5).await;
    assert_eq!(world.leader().as_deref(), Some("ann"));
    let of_ben = |lease: &Lease| lease.owner.as_ref().is_some_and(|owner| owner.worker.as_str() == "ben");
    let place = world.rows().leases.iter().position(of_ben).unwrap();
    world.stream.put(10);
    world.stream.split(place);
    world.stream.put(10);
    let mut calls = 0;
    world.weather.rule(move |call| {
        calls += u64::from(&**call.process == "ben");
        (&**call.process == "ben" && calls == nth).then_some(Fate::Crash { effect })
    });
    let f = world.settings().failover_time;
    world.until_handled(f * 2 + Duration::from_secs(5)).await;
    world
}

/// The leader knows nothing of the children, and nothing wakes it: it reads the table because a session has ended.
#[test]
fn r13_a_crash_of_a_follower_at_any_call_between_a_parents_end_and_its_children_delays_nothing() {
    for nth in 1..=30 {
        for effect in [true, false] {
            let world = World::new(Making::new(13, 2));
            checked(&format!("call {nth} of ben, {effect}"), run(follower_dies(world, nth, effect)));
        }
    }
}

#[test]
fn r13_a_crash_at_any_call_between_a_parents_end_and_its_children_loses_nothing() {
    for nth in 1..=40 {
        for effect in [true, false] {
            checked(&format!("call {nth}, {effect}"), run(dies(World::new(Making::new(13, 1)), nth, effect)));
        }
    }
    play("r13_a_crash_between_parent_and_children", Making::new(13, 1), |world| dies(world, 9, true));
}
