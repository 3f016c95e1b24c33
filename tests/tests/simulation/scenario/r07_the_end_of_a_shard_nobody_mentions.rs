//! R7. *Given* a split, and a handler without code for the ends of shards; *when* the parent is
//! read and acknowledged; *then* its SHARD_END is stored, and both children are read from their
//! beginnings.

use super::play;
use crate::world::Making;
use kcl_core::record::Checkpoint;
use std::time::Duration;

#[test]
fn r07_the_end_of_a_shard_that_nobody_mentions_is_written() {
    play("r07_the_end_of_a_shard_nobody_mentions", Making::new(7, 1), async |mut world| {
        world.fleet(&["ann"]).await;
        world.stream.put(10);
        world.stream.split(0);
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        let parent = world.lease("shardId-000000000000").unwrap();
        assert_eq!((parent.checkpoint, parent.owner), (Checkpoint::ShardEnd, None));
        assert_eq!(parent.children.len(), 2);
        for child in ["shardId-000000000001", "shardId-000000000002"] {
            let child = world.lease(child).unwrap();
            assert_eq!(child.parents.len(), 1);
            assert!(child.owner.is_some(), "{child:?}");
        }
        world
    });
}
