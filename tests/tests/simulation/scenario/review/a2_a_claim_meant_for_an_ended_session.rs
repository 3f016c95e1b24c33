//! A2. *Given* a slow claim of the lease of a worker's ended session; *when* that worker has
//! restarted under its id with a new session, and holds the lease again; *then* the claim is
//! refused.

use crate::scenario::play;
use crate::world::history::Fact;
use crate::world::weather::Fate;
use crate::world::{Making, World};
use kcl_core::lease::SessionState;
use std::time::Duration;

#[test]
fn a2_a_claim_meant_for_an_ended_session_does_not_hit_the_next_one() {
    play("review/a2_a_claim_meant_for_an_ended_session", Making::new(102, 3), async |mut world| {
        world.fleet(&["cat", "ann", "ben"]).await;
        let mut first = true;
        world.weather.rule(move |call| {
            let late = &**call.process == "ben" && call.operation == "Claim" && std::mem::take(&mut first);
            late.then_some(Fate::Late(Duration::from_secs(11)))
        });
        world.seconds(5).await;
        world.kill("ann");
        let fenced = |world: &World| world.rows().sessions.iter().any(|session| session.state == SessionState::Fenced);
        world.until("fenced", Duration::from_secs(13), fenced).await;
        world.pass(Duration::from_millis(700)).await;
        world.note("when ann is back under its id while ben's claim of its lease is on its way");
        world.start("ann");
        world.stream.put(20);
        world.until_handled(Duration::from_secs(12)).await;
        let sent =
            |fact: &Fact| matches!(fact, Fact::Befell { process, operation: "Claim", .. } if &**process == "ben");
        assert_eq!(world.count(sent), 1, "the claim that is late");
        world.seconds(15).await;
        assert_eq!(world.shares().len(), 3, "{:?}", world.shares());
        world
    });
}
