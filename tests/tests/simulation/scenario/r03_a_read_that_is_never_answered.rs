//! R3. *Given* two workers, one of which gets no answers to its reads; *when* `fetch_deadline`
//! passes repeatedly; *then* the fetch is restarted twice, then the consumer, then the lease is
//! given up and the other worker reads it; the first worker does not end, and is assigned no leases
//! for a while.

use super::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn r03_a_read_that_is_never_answered_is_restarted_and_the_lease_given_up() {
    play("r03_a_read_that_is_never_answered", Making::new(3, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.note("given ben, whose reads are never answered from now on");
        world
            .weather
            .rule(|call| (&**call.process == "ben" && call.operation == "GetRecords").then_some(Fate::LostRequest));
        world.stream.put(20);
        world.until_handled(Duration::from_secs(30 * 5)).await;
        world.until_shared(&[("ann", 4)], Duration::from_secs(30 * 5)).await;
        world.note("then, after four deadlines, ann reads everything");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        world.note("and ben, which could read nothing, has not ended and is spared");
        assert!(!world.process("ben").has_ended());
        world
    });
}
