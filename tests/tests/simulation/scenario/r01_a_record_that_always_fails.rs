//! R1. *Given* records of which one always fails, and a policy that gives a record up after three
//! attempts; *when* the worker runs; *then* the records before it are done, it goes to the dead
//! letters once, the records after it are done after it, and the checkpoint passes it only then.

use super::play;
use crate::world::Making;
use crate::world::handler::Mood;
use crate::world::history::Fact;
use crate::world::manner::Manner;
use kcl_core::record::Checkpoint;
use std::time::Duration;

#[test]
fn r01_a_record_that_always_fails_is_given_up_and_nothing_else() {
    let manner = Manner::DeadLetters { names: false, lanes: 1 };
    play("r01_a_record_that_always_fails", Making { manner, ..Making::new(1, 1) }, async |mut world| {
        world.fleet(&["ann"]).await;
        // Of ten records, from the second on, one is poison: number 5.
        world.stream.put(1);
        world.until_handled(Duration::from_secs(5)).await;
        world.mood(Mood { poison: 5, ..Mood::default() });
        world.stream.put(9);
        world.until_handled(Duration::from_secs(20)).await;
        let given_up =
            |number: u32| world.count(|fact| matches!(fact, Fact::GivenUp { number: n, .. } if *n == number));
        assert_eq!((0..10).map(given_up).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        world.seconds(6).await;
        assert!(matches!(world.lease("shardId-000000000000").unwrap().checkpoint, Checkpoint::At(_)));
        world
    });
}
