//! A6. *Given* a leader that is frozen with a fence on its way; *when* another worker has taken the
//! term and fenced the same dead session; *then* that session ends once, and the former leader does
//! no harm when it resumes.

use crate::scenario::play;
use crate::world::Making;
use crate::world::history::Fact;
use crate::world::weather::Fate;
use kcl_core::lease::{Row, RowKey, SessionState};
use std::time::Duration;

#[test]
fn a6_a_fence_by_a_leader_that_was_deposed_meanwhile_is_harmless() {
    play("review/a6_a_deposed_leaders_fence", Making::new(106, 3), async |mut world| {
        world.fleet(&["ann", "ben", "cat"]).await;
        let mut first = true;
        world.weather.rule(move |call| {
            let frozen = call.operation == "Fence" && std::mem::take(&mut first);
            frozen.then_some(Fate::Freeze(Duration::from_secs(25)))
        });
        world.kill("cat");
        world.stream.put(12);
        world.seconds(45).await;
        world.until_handled(Duration::from_secs(5)).await;
        let state = |row: &Option<Row>| row.as_ref().and_then(Row::as_session).map(|session| session.state);
        let fenced_cat = |fact: &Fact| match fact {
            Fact::Changed { key: RowKey::Session(worker), before, after, .. } if worker.as_str() == "cat" => {
                state(before) != state(after) && state(after) == Some(SessionState::Fenced)
            }
            _ => false,
        };
        assert_eq!(world.count(fenced_cat), 1);
        world
    });
}
