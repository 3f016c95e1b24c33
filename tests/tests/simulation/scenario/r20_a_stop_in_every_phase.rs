//! R20. *Given* a worker in any phase of its start; *when* it is asked to stop, once or twice;
//! *then* it ends within its deadline, none of its tasks is left, and the table is consistent.

use super::{checked, play};
use crate::world::{Making, World, run};
use std::time::Duration;

/// The time between its start and the request to stop.
async fn stops(mut world: World, after: Duration, twice: bool) -> World {
    world.stream.put(5);
    let ann = world.start("ann");
    world.pass(after).await;
    world.stop(&ann, Duration::from_secs(25));
    if twice {
        world.stop(&ann, Duration::from_secs(25));
    }
    let took = world.until("ended", Duration::from_secs(8), |world| world.process("ann").has_ended()).await;
    assert!(!twice || took < Duration::from_secs(1), "the second call is immediate: {took:?}");
    world.seconds(2).await;
    assert_eq!(world.process("ann").host.tasks(), 0, "tasks are left after {after:?}");
    let rows = world.rows();
    // A worker that is asked twice does not wait until it knows whether its session was registered.
    let ended = rows.sessions.iter().all(|session| session.state.has_ended());
    assert!(twice || ended, "after {after:?}: {:?}", rows.sessions);
    world
}

#[test]
fn r20_a_stop_in_every_phase_of_a_start_ends_all_of_it() {
    for ms in 0..60 {
        for twice in [false, true] {
            let after = Duration::from_millis(ms);
            checked(&format!("{after:?} {twice}"), run(stops(World::new(Making::new(20, 2)), after, twice)));
        }
    }
    play("r20_a_stop_in_every_phase", Making::new(20, 2), |world| stops(world, Duration::from_millis(14), false));
}
