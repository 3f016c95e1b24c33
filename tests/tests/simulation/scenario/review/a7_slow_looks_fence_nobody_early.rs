//! A7. *Given* a leader whose reads take two seconds; *when* a worker sends no heartbeat for a
//! little less than `failover_time`; *then* it is not fenced, and delivers nothing in between.

use crate::scenario::play;
use crate::world::Making;
use crate::world::history::Fact;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn a7_a_worker_that_was_silent_for_less_than_the_failover_time_is_not_fenced() {
    play("review/a7_slow_looks_fence_nobody_early", Making::new(107, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        let slow = Fate::SlowAnswer(Duration::from_millis(1_900));
        world.weather.rule(move |call| (&**call.process == "ann" && call.operation == "Read").then_some(slow));
        world.seconds(10).await;
        let moves = world.moves();
        world.freeze("ben");
        world.pass(Duration::from_millis(7_000)).await;
        world.thaw("ben");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        world.seconds(20).await;
        assert_eq!(world.moves(), moves, "no lease has moved");
        assert_eq!(world.count(|fact| matches!(fact, Fact::LeaseLost { .. })), 0);
        world
    });
}
