//! Rows changed by hand. *Given* an idle fleet; *when* somebody deletes the row of a lease,
//! restores an earlier version of it, or damages a worker's assignment row; *then* the lease is
//! read again by exactly one worker, and the assignment is replaced, each within the time of a full
//! read.

use super::play;
use crate::world::Making;
use crate::world::history::Fact;
use kcl_core::lease::row::{Damaged, SeenAttribute, SeenValue};
use kcl_core::lease::{LeaseKey, Row, RowKey, WorkerId};
use std::time::Duration;

#[test]
fn a_lease_row_that_is_removed_under_an_idle_owner_is_noticed() {
    play("a_lease_row_that_is_removed", Making::new(201, 2), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.seconds(70).await;
        let lease = "shardId-000000000001";
        let owner = world.lease(lease).unwrap().owner.unwrap().worker.to_string();
        world.note(format!("when the row of #1, which {owner} reads, is removed"));
        world.tamper(RowKey::Lease(LeaseKey::new(lease)), None);
        world
            .until("taken", Duration::from_secs(130), |w| w.lease(lease).is_some_and(|lease| lease.owner.is_some()))
            .await;
        world.seconds(65).await;
        let (made, dropped) = (
            world.count(|fact| matches!(fact, Fact::ProcessorMade { shard, .. } if shard == lease)),
            world.count(|fact| matches!(fact, Fact::ProcessorDropped { shard, .. } if shard == lease)),
        );
        assert_eq!(made - dropped, 1, "one consumer of #1 in the whole fleet");
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}

#[test]
fn a_plan_row_that_cannot_be_read_is_replaced() {
    play("a_plan_row_that_cannot_be_read", Making::new(202, 4), async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.seconds(5).await;
        let key = RowKey::Assignment(WorkerId::parse("ben").unwrap());
        let fingerprint = vec![SeenAttribute { attribute: "acquires", value: SeenValue::Number("7".to_owned()) }];
        let damaged = Damaged { key: key.clone(), why: "`acquires` is a number".to_owned(), fingerprint };
        world.tamper(key.clone(), Some(Row::Damaged(damaged)));
        world.note("when ben's plan is damaged, and ann stops");
        world.stop("ann", Duration::from_secs(25));
        world.stream.put(20);
        world.until_handled(Duration::from_secs(8)).await;
        assert!(matches!(world.row(&key), Some(Row::Assignment(_))), "{:?}", world.row(&key));
        world
    });
}

#[test]
fn a_lease_row_that_is_put_back_to_a_former_owner_is_read_by_that_one() {
    play("a_lease_row_that_is_put_back", Making::new(203, 2), async |mut world| {
        world.start("ann");
        world.until("all taken", Duration::from_secs(5), |w| w.shares().get("ann") == Some(&2)).await;
        let lease = "shardId-000000000001";
        let former = world.lease(lease).unwrap();
        world.start("ben");
        world
            .until("shared", Duration::from_secs(5), |w| {
                w.lease(lease).unwrap().owner.is_some_and(|o| o.worker.as_str() == "ben")
            })
            .await;
        world.seconds(5).await;
        world.note("when the row of #1, which ben reads, is put back to when ann did");
        world.tamper(RowKey::Lease(former.key.clone()), Some(Row::Lease(former)));
        world.seconds(90).await;
        world.stream.put(10);
        world.until_handled(Duration::from_secs(5)).await;
        world
    });
}
