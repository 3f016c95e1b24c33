//! B1. *Given* a leader that reads the table slowly; *when* a worker meanwhile ends a shard and
//! claims its children, which the assignment of that read does not contain; *then* the worker keeps
//! them.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn b1_what_a_plan_does_not_name_is_not_given_up() {
    play("review/b1_what_a_plan_does_not_name_stays", Making::new(111, 2), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.weather.rule(|call| (call.operation == "Scan").then_some(Fate::SlowAnswer(Duration::from_secs(3))));
        world.stream.put(10);
        world.stream.split(1);
        world.stream.put(10);
        world.until_handled(Duration::from_secs(3)).await;
        world.stream.split(2);
        world.stream.put(10);
        world.until_handled(Duration::from_secs(3)).await;
        world.seconds(10).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(3)).await;
        world
    });
}
