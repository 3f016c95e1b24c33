//! B6. *Given* a fleet; *when* the leader is told to stop; *then* its shards are read elsewhere
//! within a second, and another worker leads at once.

use crate::scenario::play;
use crate::world::Making;
use std::time::Duration;

#[test]
fn b6_a_leader_that_leaves_hands_its_leases_and_its_term_over_at_once() {
    play("review/b6_a_leader_that_leaves", Making::new(116, 6), async |mut world| {
        world.fleet(&["ann", "ben", "cat"]).await;
        assert_eq!(world.leader().as_deref(), Some("ann"));
        world.stop("ann", Duration::from_secs(25));
        world.stream.put(30);
        world.until_handled(Duration::from_millis(1_200)).await;
        let planned = |world: &crate::world::World| world.leader().is_some_and(|leader| leader != "ann");
        world.until("planned", Duration::from_secs(1), planned).await;
        world
    });
}
