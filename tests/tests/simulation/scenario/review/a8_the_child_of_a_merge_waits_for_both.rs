//! A8. *Given* two shards that are merged, read by two workers, of which one is slow; *when* the
//! fast one has finished its parent; *then* the child is not read before the slow one has finished
//! the other.

use crate::scenario::play;
use crate::world::handler::Mood;
use crate::world::history::Fact;
use crate::world::{Making, Setup};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a8_the_child_of_a_merge_waits_for_both_parents() {
    play("review/a8_the_child_of_a_merge_waits_for_both", Making::new(108, 2), async |mut world| {
        let slow = Mood { longest: Duration::from_secs(12), ..Mood::default() };
        world.start("ann");
        world.until_shared(&[("ann", 2)], Duration::from_secs(5)).await;
        world.start_with("ben", Setup { moods: Some(Arc::new(Mutex::new(slow))), ..Setup::default() });
        world.until_shared(&[("ann", 1), ("ben", 1)], Duration::from_secs(5)).await;
        world.stream.put(20);
        world.pass(Duration::from_millis(600)).await;
        world.stream.put(20);
        world.stream.merge(0);
        world.stream.put(20);
        world.until_handled(Duration::from_secs(60)).await;
        let child = "shardId-000000000002";
        assert!(world.count(|fact| matches!(fact, Fact::Handed { shard, .. } if shard == child)) > 0);
        world
    });
}
