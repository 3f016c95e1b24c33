//! A5. *Given* a checkpoint that is on its way for ten seconds; *when* later ones have been written
//! meanwhile; *then* it is refused, and the position stays.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Fate;
use kcl_core::record::Checkpoint;
use std::time::Duration;

#[test]
fn a5_a_checkpoint_that_arrives_late_does_not_move_the_position_back() {
    play("review/a5_a_late_checkpoint_does_not_go_back", Making::new(105, 1), async |mut world| {
        world.fleet(&["ann"]).await;
        let mut first = true;
        world.weather.rule(move |call| {
            let late = call.operation == "Checkpoint" && std::mem::take(&mut first);
            late.then_some(Fate::Late(Duration::from_secs(11)))
        });
        for _ in 0..6 {
            world.stream.put(5);
            world.seconds(3).await;
        }
        let before = world.lease("shardId-000000000000").unwrap();
        world.seconds(10).await;
        let after = world.lease("shardId-000000000000").unwrap();
        assert!(matches!(after.checkpoint, Checkpoint::At(_)) && !after.checkpoint.is_before(&before.checkpoint));
        assert!(world.unhandled().is_empty());
        world
    });
}
