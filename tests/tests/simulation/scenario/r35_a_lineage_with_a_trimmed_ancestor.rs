//! R35. *Given* shards that were merged and split again before they were read, and an ancestor that
//! is past its retention; *when* a fleet starts; *then* each key's records come in order, and the
//! missing ancestor does not block the rest.

use super::play;
use crate::world::Making;
use std::time::Duration;

#[test]
fn r35_a_trimmed_ancestor_does_not_block_and_order_holds() {
    play("r35_a_lineage_with_a_trimmed_ancestor", Making::new(35, 3), async |mut world| {
        world.stream.split(1);
        world.note("given a shard that was split more than a day ago, and is gone, ...");
        world.seconds(25 * 3_600).await;
        world.stream.put(20);
        world.stream.merge(2);
        world.stream.put(20);
        world.stream.split(2);
        world.stream.put(20);
        world.note("... and one of its children merged with a neighbour, and split again, before anybody reads");
        assert!(world.stream.shards().iter().all(|shard| shard.shard_id.to_string() != "shardId-000000000001"));
        world.start("ann");
        world.start("ben");
        world.until_handled(Duration::from_secs(20)).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}
