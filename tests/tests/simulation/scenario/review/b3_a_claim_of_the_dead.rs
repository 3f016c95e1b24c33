//! B3. *Given* a worker that dies with claims on their way; *when* they arrive after its death, and
//! after the table was read; *then* the leases are found to have a dead owner, and are read by
//! another worker.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn b3_a_claim_that_arrives_after_its_senders_end_is_found_and_undone() {
    play("review/b3_a_claim_of_the_dead", Making::new(113, 4), async |mut world| {
        world.fleet(&["ann"]).await;
        world.weather.rule(|call| {
            (&**call.process == "ben" && call.operation == "Claim").then_some(Fate::Late(Duration::from_secs(4)))
        });
        world.start("ben");
        world.until("released", Duration::from_secs(5), |world| world.shares() == [("ann".to_owned(), 2)].into()).await;
        world.pass(Duration::from_millis(500)).await;
        world.note("when ben dies with its claims on their way");
        world.kill("ben");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(2 * 10 + 5)).await;
        world.seconds(30).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(3)).await;
        assert_eq!(world.shares(), [("ann".to_owned(), 4)].into());
        world
    });
}
