//! R6. *Given* a leader whose every cycle fails while its session heartbeats go on; *when* that
//! lasts; *then* it stops the fleet heartbeat, keeps its own leases, and another worker leads.

use super::play;
use crate::world::Making;
use crate::world::weather::Fate;
use std::time::Duration;

#[test]
fn r06_a_leader_that_cannot_plan_loses_the_term_and_nothing_else() {
    play("r06_a_leader_that_cannot_plan", Making::new(6, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        assert_eq!(world.leader().as_deref(), Some("ann"));
        world.note("given ann, which plans, and cannot read the whole table any more");
        world.weather.rule(|call| (&**call.process == "ann" && call.operation == "Scan").then_some(Fate::Throttled));
        world.start("cat");
        let failover = world.settings().failover_time;
        world.until("planned", failover * 5, |world| world.leader().as_deref() == Some("ben")).await;
        world.note("then ben plans, cat has its share, and ann has lost nothing but the term");
        world.until("shared", Duration::from_secs(10), |world| world.shares().len() == 3).await;
        world.stream.put(20);
        world.until_handled(Duration::from_secs(5)).await;
        let lost =
            |fact: &_| matches!(fact, crate::world::history::Fact::LeaseLost { process, .. } if &**process == "ann");
        assert_eq!(world.count(lost), 0);
        world
    });
}
