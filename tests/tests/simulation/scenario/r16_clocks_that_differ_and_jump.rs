//! R16. *Given* workers whose clocks are unrelated, drift apart, and jump ahead; *when* one of them
//! dies; *then* leases behave as usual: clock readings are never compared.

use super::play;
use crate::world::{Making, Setup};
use std::time::Duration;

#[test]
fn r16_clocks_that_differ_drift_and_jump_change_nothing() {
    play("r16_clocks_that_differ_and_jump", Making { clock_seed: 99, ..Making::new(16, 4) }, async |mut world| {
        world.start_with("ann", Setup { drift: 20_000, ..Setup::default() });
        world.start_with("ben", Setup { drift: -20_000, ..Setup::default() });
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(5)).await;
        world.note("when ben's clock is suddenly an hour ahead");
        world.jump_clock("ben", Duration::from_secs(3_600));
        world.stream.put(20);
        world.until_handled(Duration::from_secs(10)).await;
        world.seconds(30).await;
        assert_eq!(world.shares(), [("ann".to_owned(), 2), ("ben".to_owned(), 2)].into(), "nobody lost anything by it");
        world.note("and when ben dies, it is found out as ever");
        world.kill("ben");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(12)).await;
        world
    });
}
