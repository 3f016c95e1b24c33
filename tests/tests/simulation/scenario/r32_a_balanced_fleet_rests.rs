//! R32. *Given* a balanced fleet without traffic; *when* an hour passes; *then* no lease moves;
//! *when* one more worker joins; *then* only its share moves, and each lease once. (Varying loads
//! are covered by properties of the leader's assignment.)

use super::play;
use crate::world::Making;
use kcl_core::Settings;
use std::time::Duration;

#[test]
fn r32_a_balanced_fleet_moves_nothing_in_an_hour_and_little_at_a_join() {
    let settings =
        Settings::default().idle_poll_interval(Duration::from_secs(30)).poll_interval(Duration::from_secs(1));
    play("r32_a_balanced_fleet_rests", Making { settings, ..Making::new(32, 10) }, async |mut world| {
        world.fleet(&["ann", "ben", "cat"]).await;
        world.seconds(5).await;
        let before = world.moves();
        world.note("when an hour passes");
        world.seconds(3_600).await;
        assert_eq!(world.moves(), before, "in an hour");
        world.note("when dan joins");
        world.start("dan");
        world.until("shared", Duration::from_secs(10), |world| world.shares().get("dan") == Some(&2)).await;
        world.seconds(30).await;
        let moved = (world.moves() - before) / 2;
        assert!(moved <= 3, "{moved} leases moved, each by a release and a claim");
        world
    });
}
