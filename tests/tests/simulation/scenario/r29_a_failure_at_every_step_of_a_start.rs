//! R29. *Given* a start; *when* any one of its calls fails for a while, or is not answered; *then*
//! the call is retried, exactly one set of consumers starts, and records are read.

use super::{checked, play};
use crate::world::weather::Fate;
use crate::world::{Making, World, run};
use std::time::Duration;

async fn starts(mut world: World, nth: u64, fate: Fate) -> World {
    world.weather.rule(move |call| (call.number == nth).then_some(fate));
    world.stream.put(10);
    world.start("ann");
    world.until_handled(Duration::from_secs(25)).await;
    world
}

#[test]
fn r29_a_failure_at_any_call_of_a_start_is_tried_again() {
    for nth in 1..=24 {
        for fate in [Fate::Unavailable, Fate::Throttled, Fate::LostRequest, Fate::LostResponse] {
            checked(&format!("{fate:?} at call {nth}"), run(starts(World::new(Making::new(29, 2)), nth, fate)));
        }
    }
    play("r29_a_failure_at_every_step_of_a_start", Making::new(29, 2), |world| starts(world, 5, Fate::LostResponse));
}
