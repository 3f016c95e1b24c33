//! R2. *Given* a policy that stops the worker; *when* its handler panics; *then* the worker ends
//! with an error, its lease is released at its position, and no record after the failing one was
//! delivered; another worker continues from there.

use super::play;
use crate::world::handler::Mood;
use crate::world::history::Fact;
use crate::world::manner::Manner;
use crate::world::{Making, Setup};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn r02_a_policy_that_stops_the_worker_passes_nothing_over() {
    play("r02_a_policy_that_stops", Making { manner: Manner::Stops, ..Making::new(2, 1) }, async |mut world| {
        let moods = Arc::new(Mutex::new(Mood::default()));
        let ann = world.start_with("ann", Setup { moods: Some(moods.clone()), ..Setup::default() });
        world.until_shared(&[("ann", 1)], Duration::from_secs(5)).await;
        world.stream.put(5);
        world.until_handled(Duration::from_secs(5)).await;
        world.may_fail("ann");
        world.note("from now on ann's handler panics");
        *moods.lock().unwrap() = Mood { panics: 100, ..Mood::default() };
        world.stream.put(1);
        world.until("ended", Duration::from_secs(10), |world| world.process(&ann).has_ended()).await;
        world.stream.put(4);
        let lease = world.lease("shardId-000000000000").unwrap();
        assert_eq!(lease.owner, None);
        assert!(world.error_of("ann").unwrap().contains("KCL-0014"));
        world.start("ben");
        world.until_handled(Duration::from_secs(10)).await;
        let handed = world.count(|fact| matches!(fact, Fact::Handed { process, .. } if **process == *"ann"));
        assert_eq!(handed, 2, "the five, and the one that failed");
        world
    });
}
