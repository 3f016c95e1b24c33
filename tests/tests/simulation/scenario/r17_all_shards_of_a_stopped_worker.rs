//! R17. *Given* 40 shards on `ann`; *when* `ann` gets SIGTERM and `ben` is idle; *then* all 40
//! resume on `ben` in less than 3 s from exactly the acknowledged positions, `ann` is assigned no
//! leases any more, and nothing is repeated.

use super::play;
use crate::world::Making;
use std::time::Duration;

#[test]
fn r17_all_shards_of_a_stopped_worker_resume_on_another_at_once() {
    play("r17_all_shards_of_a_stopped_worker", Making::new(17, 40), async |mut world| {
        world.note("given 40 shards on ann, all read, and ben with none");
        let ann = world.start("ann");
        world.until_shared(&[("ann", 40)], Duration::from_secs(5)).await;
        world.stream.put(100);
        world.until_handled(Duration::from_secs(5)).await;
        world.note("when ann is told to stop just after ben has joined");
        world.start("ben");
        world.stop(&ann, Duration::from_secs(25));
        let took = world.until_shared(&[("ben", 40)], Duration::from_secs(3)).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        world.note("then ben has all 40 within 3 s, and goes on from where ann was");
        world.stream.put(100);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}
