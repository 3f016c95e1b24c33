//! R14. *Given* 2,500 shards, which take three pages to list; *when* a page fails; *then* that page
//! is requested again, and while it keeps failing the partial list is not used. (Later pages are
//! requested by their token alone: Kinesis refuses a stream name beside it.)

use super::play;
use crate::world::weather::Fate;
use crate::world::{Making, run};
use kcl_core::aws::KinesisStream;
use kcl_core::record::StreamRef;
use kcl_core::shard::{ListWhich, StreamApi};
use kcl_local::{Fault, LocalAws};
use std::time::Duration;

#[test]
fn r14_a_page_that_fails_makes_no_partial_list() {
    run(async {
        let aws = LocalAws::builder().in_process();
        let client = aws.kinesis();
        client.create_stream().stream_name("many").shard_count(2_500).send().await.unwrap();
        let stream = KinesisStream::new(&client, StreamRef::from("many"));
        let mut pages = 0;
        aws.faults().rule(move |call| {
            pages += u32::from(call.operation == "ListShards");
            // The second page of the first list, as often as it is requested; and once of the
            // second list.
            ((2..=7).contains(&pages) || pages == 9)
                .then(|| Fault::Error("InternalFailure".to_owned()))
                .filter(|_| call.operation == "ListShards")
        });
        stream.list_shards(ListWhich::All).await.unwrap_err();
        let all = stream.list_shards(ListWhich::All).await.unwrap().shards;
        let ids: std::collections::BTreeSet<_> = all.iter().map(|shard| &shard.id).collect();
        assert_eq!((all.len(), ids.len()), (2_500, 2_500));
    });
}

#[test]
fn r14_a_fleet_whose_lists_fail_waits_for_a_whole_one() {
    play("r14_a_list_that_fails_midway", Making::new(14, 5), async |mut world| {
        world.note("given lists of shards that fail for ten seconds");
        let (history, until) = (world.history.clone(), Duration::from_secs(10));
        world
            .weather
            .rule(move |call| (call.operation == "ListShards" && history.now() < until).then_some(Fate::Unavailable));
        world.start("ann");
        world.seconds(9).await;
        assert_eq!(world.rows().leases, [], "nothing is done without a list");
        world.until_shared(&[("ann", 5)], Duration::from_secs(5)).await;
        world
    });
}
