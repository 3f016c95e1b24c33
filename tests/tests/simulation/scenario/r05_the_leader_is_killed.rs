//! R5. *Given* three workers; *when* the leader is killed; *then* another worker leads after
//! `failover_time` and one poll, and a new shard gets an owner; also when the whole fleet is
//! replaced at once.

use super::play;
use crate::world::Making;
use std::time::Duration;

#[test]
fn r05_the_leader_is_killed_and_another_one_plans() {
    play("r05_the_leader_is_killed", Making::new(5, 3), async |mut world| {
        world.fleet(&["ann", "ben", "cat"]).await;
        world.seconds(12).await;
        let leader = world.leader().unwrap();
        world.note(format!("when {leader}, which plans, is killed"));
        world.kill(&leader);
        let failover = world.settings().failover_time;
        let took =
            world.until("planned", failover + Duration::from_secs(2), |w| w.leader().as_ref() != Some(&leader)).await;
        assert!(took + Duration::from_secs(3) > failover, "{took:?}: too early to know");
        world.note("then another one plans, and a new shard is read");
        world.stream.split(0);
        world.stream.put(20);
        world.until_handled(Duration::from_secs(10)).await;
        world.note("when all are killed and as many start under other names");
        world.alive().iter().for_each(|name| world.kill(name));
        ["dan", "eve", "flo"].iter().for_each(|name| drop(world.start(name)));
        world.stream.put(20);
        let all = failover * 2 + Duration::from_secs(5);
        world.until_handled(all).await;
        world
    });
}
