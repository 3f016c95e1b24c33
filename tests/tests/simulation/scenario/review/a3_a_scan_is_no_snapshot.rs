//! A3. *Given* a read of the whole table that shows a worker's old session and, on a later page, a
//! lease of its new one; *when* the leader assigns by it; *then* it does not treat the new session
//! as ended.

use crate::scenario::play;
use crate::world::Making;
use crate::world::history::Name;
use std::time::Duration;

#[test]
fn a3_a_session_that_was_replaced_during_a_scan_is_not_taken_for_ended() {
    play("review/a3_a_scan_is_no_snapshot", Making::new(103, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.note("given reads of the table of one row a page");
        world.weather.pages(1);
        let mut ben: Name = "ben".into();
        for _ in 0..3 {
            world.stop(&ben, Duration::from_secs(5));
            world.until("stopped", Duration::from_secs(5), |world| !world.alive().contains(&ben)).await;
            ben = world.start("ben");
            world.stream.put(10);
            world.seconds(9).await;
        }
        world.weather.pages(usize::MAX);
        world.until_handled(Duration::from_secs(30)).await;
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(30)).await;
        world
    });
}
