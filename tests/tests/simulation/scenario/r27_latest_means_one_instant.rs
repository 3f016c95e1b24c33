//! R27. *Given* an application that starts at LATEST and has read nothing yet; *when* it pauses
//! until its iterators have expired, crashes, or its leases move, and records arrive meanwhile;
//! *then* all of them are delivered.

use super::play;
use crate::world::Making;
use kcl_core::{Settings, Start};
use std::time::Duration;

#[test]
fn r27_latest_means_the_instant_of_the_first_start_for_good() {
    let settings = Settings::default().start(Start::Latest);
    play("r27_latest_means_one_instant", Making { settings, ..Making::new(27, 2) }, async |mut world| {
        world.fleet(&["ann"]).await;
        world.seconds(5).await;
        world.note("when ann, which has read nothing yet, is frozen for six minutes");
        world.freeze("ann");
        world.stream.put(10);
        world.seconds(360).await;
        world.thaw("ann");
        world.until_handled(Duration::from_secs(30)).await;
        world.note("when it is killed, and another one comes");
        world.kill("ann");
        world.stream.put(10);
        world.seconds(5).await;
        world.start("ben");
        world.until_handled(Duration::from_secs(26)).await;
        world.note("when a third one gets its share");
        world.stream.put(10);
        world.start("cat");
        world.until_handled(Duration::from_secs(10)).await;
        world
    });
}
