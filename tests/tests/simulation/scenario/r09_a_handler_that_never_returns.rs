//! R9. *Given* a handler that does not return for ten failover times; *when* other workers could
//! take its leases; *then* it keeps them, with one consumer per shard, and continues where it was.
//! (Blocked threads and busy cores are tested on real ones.)

use super::play;
use crate::world::handler::Mood;
use crate::world::{Making, Setup};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn r09_a_handler_that_takes_ten_failover_times_keeps_its_lease() {
    play("r09_a_handler_that_never_returns", Making::new(9, 2), async |mut world| {
        let slow = Mood { longest: Duration::from_secs(100), ..Mood::default() };
        let moods = Arc::new(Mutex::new(slow));
        world.start_with("ann", Setup { moods: Some(moods.clone()), ..Setup::default() });
        world.until_shared(&[("ann", 2)], Duration::from_secs(5)).await;
        world.start("ben");
        world.until_shared(&[("ann", 1), ("ben", 1)], Duration::from_secs(5)).await;
        world.note("given ann, whose handlers take up to ten failover times");
        let moves = world.moves();
        world.stream.put(20);
        world.until_handled(Duration::from_secs(110)).await;
        world.note("then ann has handled its records, and no lease has moved");
        assert_eq!(world.moves(), moves);
        *moods.lock().unwrap() = Mood::default();
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}
