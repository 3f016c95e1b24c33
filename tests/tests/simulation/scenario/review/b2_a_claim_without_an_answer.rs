//! B2. *Given* a claim whose answer is lost, and one that arrives eight seconds late; *when* no
//! other worker wants the lease; *then* the claimant finds out that it holds it, and reads: there
//! is no owned lease without a reader.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn b2_a_claim_without_an_answer_is_settled_and_the_lease_is_read() {
    play("review/b2_a_claim_without_an_answer", Making::new(112, 2), async |mut world| {
        let mut claims = 0;
        world.weather.rule(move |call| {
            claims += u32::from(call.operation == "Claim");
            match (call.operation, claims) {
                ("Claim", 1) => Some(Fate::LostResponse),
                ("Claim", 2) => Some(Fate::Late(Duration::from_secs(8))),
                _ => None,
            }
        });
        world.stream.put(10);
        world.start("ann");
        world.until_handled(Duration::from_secs(8)).await;
        world.seconds(15).await;
        world.stream.put(10);
        world.until_handled(Duration::from_secs(3)).await;
        world
    });
}
