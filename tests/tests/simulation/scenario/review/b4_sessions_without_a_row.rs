//! B4. *Given* a fleet; *when* the session row of a live worker is deleted, and then that of a dead
//! one; *then* the live one registers again, and the leases of the dead one are free when they were
//! stale for long enough.

use crate::scenario::play;
use crate::world::Making;
use kcl_core::lease::{RowKey, WorkerId};
use std::time::Duration;

#[test]
fn b4_sessions_whose_rows_are_removed_strand_no_lease() {
    play("review/b4_sessions_without_a_row", Making::new(114, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        let row = |id: &str| RowKey::Session(WorkerId::parse(id).unwrap());
        world.tamper(row("ben"), None);
        world.stream.put(20);
        world.until_handled(Duration::from_secs(2 * 10 + 5)).await;
        world.note("when ben dies, and its row is removed");
        world.kill("ben");
        world.tamper(row("ben"), None);
        world.stream.put(20);
        world.until_handled(Duration::from_secs(60 + 2 * 10 + 5)).await;
        world
    });
}
