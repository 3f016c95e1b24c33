//! R8. *Given* a shard whose last hundred records are held by other tasks when its end is seen;
//! *then* SHARD_END is written only after the hundredth is acknowledged. An acknowledgement after
//! the lease was lost changes nothing.

use super::play;
use crate::world::Making;
use crate::world::handler::Mood;
use crate::world::manner::Manner;
use std::time::Duration;

#[test]
fn r08_the_end_of_a_shard_waits_for_records_in_flight() {
    let making = Making { manner: Manner::Handles, ..Making::new(8, 1) };
    play("r08_an_end_with_records_in_flight", making, async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 1)], Duration::from_secs(5)).await;
        world.mood(Mood { longest: Duration::from_secs(40), ..Mood::default() });
        world.stream.put(100);
        world.stream.split(0);
        world.seconds(15).await;
        let ended =
            |world: &crate::world::World| world.lease("shardId-000000000000").unwrap().checkpoint.is_shard_end();
        assert!(!ended(&world) && !world.unhandled().is_empty());
        world.note("ann is cut off and loses its lease; its tasks acknowledge on");
        world.cut("ann", crate::world::weather::Cut::Table);
        world.start("ben");
        world.seconds(15).await;
        assert!(!ended(&world), "what ann acknowledges does not count any more");
        world.mood(Mood::default());
        world.mend("ann");
        world.until_handled(Duration::from_secs(60)).await;
        world.until("the end is written", Duration::from_secs(60), ended).await;
        world
    });
}
