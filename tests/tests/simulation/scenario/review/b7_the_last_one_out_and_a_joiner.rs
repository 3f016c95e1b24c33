//! B7. *Given* the last worker of a fleet, which cleans up the table as it stops; *when* another
//! one joins at any moment of that; *then* the joiner loses nothing and reads.

use crate::scenario::{checked, play};
use crate::world::{Making, World, run};
use std::time::Duration;

async fn joins(mut world: World, after: Duration) -> World {
    world.fleet(&["ann"]).await;
    world.stop("ann", Duration::from_secs(25));
    world.pass(after).await;
    world.start("ben");
    world.stream.put(10);
    world.until_handled(Duration::from_secs(8)).await;
    world.until("ended", Duration::from_secs(30), |world| world.process("ann").has_ended()).await;
    world
}

#[test]
fn b7_a_joiner_survives_the_last_workers_cleanup() {
    for ms in (0..120).step_by(2) {
        let after = Duration::from_millis(ms);
        checked(&format!("{after:?}"), run(joins(World::new(Making::new(117, 2)), after)));
    }
    play("review/b7_the_last_one_out_and_a_joiner", Making::new(117, 2), |world| {
        joins(world, Duration::from_millis(50))
    });
}
