//! A9. *Given* a running fleet; *when* a Java worker takes one of its leases, as after a rollback
//! of a deploy, and renews it; *then* the fleet releases that lease and does not assign it until it
//! was unchanged for `java_failover_time`. A start on such a table is refused with the owner's
//! name.

use crate::scenario::play;
use crate::world::{Making, World};
use kcl_core::lease::{Lease, LeaseKey, Owner, Row, RowKey, WorkerId};
use std::time::Duration;

const LEASE: &str = "shardId-000000000000";

/// Takes or renews a lease like Java: owner and counter, and no attribute of ours.
fn java_writes(world: &World) {
    let lease = world.lease(LEASE).unwrap();
    let session = lease.owner.as_ref().and_then(|owner| owner.session);
    let owner = Some(Owner { worker: WorkerId::from_row("java"), session });
    let row = Lease { owner, counter: lease.counter + 1, ..lease };
    world.tamper(RowKey::Lease(LeaseKey::new(LEASE)), Some(Row::Lease(row)));
}

fn owner(world: &World) -> String {
    world.lease(LEASE).unwrap().owner.unwrap().worker.to_string()
}

#[test]
fn a9_a_java_worker_that_takes_a_lease_keeps_it_while_it_renews_it() {
    play("review/a9_a_java_fleet_that_comes_back", Making::new(109, 2), async |mut world| {
        world.fleet(&["ann"]).await;
        world.note("when a Java worker takes #0, and renews it every three seconds");
        for _ in 0..30 {
            java_writes(&world);
            world.seconds(3).await;
            assert_eq!(owner(&world), "java");
        }
        world.note("when it stops, and its lease stands still");
        let free = Duration::from_secs(20 + 60 + 5);
        world.until("taken", free, |world| owner(world) == "ann").await;
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}

#[test]
fn a9_a_start_beside_a_java_fleet_is_refused() {
    play("review/a9_a_start_beside_a_java_fleet", Making::new(109, 2), async |mut world| {
        world.fleet(&["ann"]).await;
        world.stop("ann", Duration::from_secs(25));
        world.seconds(5).await;
        java_writes(&world);
        world.start("ben");
        world.may_fail("ben");
        for _ in 0..4 {
            world.seconds(3).await;
            java_writes(&world);
        }
        let error = world.error_of("ben").unwrap();
        assert!(error.contains("`java`") && error.contains("KCL-0010"), "{error}");
        world
    });
}
