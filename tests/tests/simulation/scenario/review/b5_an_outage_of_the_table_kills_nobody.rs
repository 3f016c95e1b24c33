//! B5. *Given* a fleet; *when* the table answers no worker for longer than `failover_time`, and
//! then all; *then* no session is fenced, and no lease moves.

use crate::scenario::play;
use crate::world::Making;
use crate::world::weather::Cut;
use std::time::Duration;

#[test]
fn b5_an_outage_of_the_table_ends_no_session() {
    play("review/b5_an_outage_of_the_table_kills_nobody", Making::new(115, 4), async |mut world| {
        world.fleet(&["ann", "ben", "cat"]).await;
        world.seconds(10).await;
        let moves = world.moves();
        world.alive().iter().for_each(|name| world.cut(name, Cut::Table));
        world.seconds(14).await;
        world.alive().iter().for_each(|name| world.mend(name));
        world.stream.put(20);
        world.until_handled(Duration::from_secs(10)).await;
        world.seconds(20).await;
        assert_eq!(world.moves(), moves);
        world
    });
}
