//! A4. *Given* a leader whose reads of the table take nine seconds; *when* a worker joins, so that
//! the leader has to read; *then* its own shards are read meanwhile, and no worker declares it
//! dead.

use crate::scenario::play;
use crate::world::Making;
use crate::world::history::Fact;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn a4_a_slow_cycle_stops_none_of_the_leaders_own_shards() {
    play("review/a4_a_slow_cycle_stops_no_shard", Making::new(104, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.weather.rule(|call| (call.operation == "Scan").then_some(Fate::SlowAnswer(Duration::from_secs(9))));
        world.start("cat");
        for _ in 0..40 {
            world.stream.put(4);
            world.until_handled(Duration::from_secs(2)).await;
        }
        world.seconds(20).await;
        assert_eq!(world.count(|fact| matches!(fact, Fact::LeaseLost { .. })), 0);
        world
    });
}
