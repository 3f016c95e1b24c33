//! R19. *Given* a checkpoint that is on its way; *when* the shard's SHARD_END is stored before it
//! arrives; *then* it is refused.

use super::play;
use crate::world::Making;
use crate::world::weather::Fate;
use kcl_core::lease::LeaseKey;
use kcl_core::record::Checkpoint;
use std::time::Duration;

#[test]
fn r19_a_checkpoint_that_arrives_after_the_end_is_refused() {
    play("r19_a_checkpoint_after_the_end", Making::new(19, 1), async |mut world| {
        world.fleet(&["ann"]).await;
        let (mut first, key) = (true, LeaseKey::new("shardId-000000000000"));
        world.weather.rule(move |call| {
            let late = call.operation == "Checkpoint" && std::mem::take(&mut first);
            late.then_some(Fate::Late(Duration::from_secs(11)))
        });
        world.stream.put(10);
        world.seconds(6).await;
        world.note("when the shard ends while a checkpoint of it is on its way");
        world.stream.split(0);
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        let ended = |world: &crate::world::World| world.lease(key.as_str()).unwrap().checkpoint == Checkpoint::ShardEnd;
        world.until("ended", Duration::from_secs(5), &ended).await;
        world.seconds(12).await;
        assert!(ended(&world), "what arrived later has changed nothing");
        world
    });
}
