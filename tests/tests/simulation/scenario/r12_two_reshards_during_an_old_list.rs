//! R12. *Given* a list of shards that is on its way; *when* the stream is resharded twice
//! meanwhile; *then* every shard that is open in the end is read, and every hash key has a reader.

use super::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn r12_two_reshards_while_an_old_list_is_on_its_way_leave_no_hole() {
    play("r12_two_reshards_during_an_old_list", Making::new(12, 2), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.note("given lists of shards that take three seconds to arrive");
        world.weather.rule(|call| (call.operation == "ListShards").then_some(Fate::SlowAnswer(Duration::from_secs(3))));
        let lists = |world: &crate::world::World| world.weather.calls();
        assert!(lists(&world) > 0);
        world.seconds(59).await;
        world.stream.split(0);
        world.seconds(2).await;
        world.stream.split(1);
        world.stream.merge(2);
        world.stream.put(40);
        world.until_handled(Duration::from_secs(60)).await;
        let open = world.stream.open().len();
        assert_eq!(world.shares().values().sum::<usize>(), open, "every open shard has an owner");
        world
    });
}
