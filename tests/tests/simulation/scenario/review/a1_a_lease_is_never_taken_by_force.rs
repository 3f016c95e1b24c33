//! A1. *Given* an owner that sends heartbeats but reads neither the fleet row nor its assignment;
//! *when* its leases should move, and `handoff_timeout` passes; *then* no worker takes them; when
//! it can read again, it releases them.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn a1_a_lease_is_never_taken_by_force_from_an_owner_that_did_not_hear() {
    play("review/a1_a_lease_is_never_taken_by_force", Making::new(101, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        let (history, until) = (world.history.clone(), Duration::from_secs(75));
        world.weather.rule(move |call| {
            let deaf = &**call.process == "ben" && call.operation == "Read" && history.now() < until;
            deaf.then_some(Fate::LostRequest)
        });
        world.note("given ben, which heartbeats and hears nothing; when ann is told to leave and cat joins");
        world.start("cat");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        world.seconds(60).await;
        assert_eq!(world.shares().get("ben"), Some(&2), "nobody took anything from ben");
        world.note("then, once ben hears again, all have their share");
        world
            .until("shared", Duration::from_secs(50), |world| {
                world.shares().len() == 3 && world.shares().values().all(|n| *n < 3)
            })
            .await;
        world
    });
}
