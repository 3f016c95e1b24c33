//! R11. *Given* a worker that sends heartbeats while it stores a checkpoint; *when* the answer to
//! the checkpoint is lost; *then* it reads the row, and the next checkpoint succeeds.

use super::play;
use crate::world::Making;
use crate::world::weather::Fate;

#[test]
fn r11_a_checkpoint_whose_answer_was_lost_is_settled_and_the_next_succeeds() {
    play("r11_a_checkpoint_without_an_answer", Making::new(11, 1), async |mut world| {
        world.fleet(&["ann"]).await;
        let mut first = true;
        world.weather.rule(move |call| {
            let lost = call.operation == "Checkpoint" && std::mem::take(&mut first);
            lost.then_some(Fate::LostResponse)
        });
        world.stream.put(10);
        world.seconds(10).await;
        let row = world.lease("shardId-000000000000").unwrap();
        assert_eq!((row.counter, row.kcl_counter), (2, Some(2)), "the claim, and one checkpoint");
        world.stream.put(10);
        world.seconds(6).await;
        let row = world.lease("shardId-000000000000").unwrap();
        assert_eq!((row.counter, row.kcl_counter), (3, Some(3)), "the next one, at once");
        assert!(world.unhandled().is_empty());
        world
    });
}
