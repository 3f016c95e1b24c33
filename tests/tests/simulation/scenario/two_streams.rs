//! Two streams. *Given* a worker of two streams of one name; *when* one of them is deleted and
//! created again while the worker cannot see it, or the worker stops serving it while another
//! worker continues; *then* the new stream is read under leases of its own from its beginning, the
//! former one's leases stay as they were, and the other stream is read as before.

use super::play;
use crate::world::weather::{Cut, Fate};
use crate::world::{Making, SecondStream, World};
use kcl_core::lease::Lease;
use kcl_core::{Retrieval, Settings};
use std::time::Duration;

fn making(seed: u64, retrieval: Retrieval) -> Making {
    let second = Some(SecondStream { shards: 2, retrieval: [Retrieval::Polling, retrieval] });
    let settings = Settings::default().shard_sync_interval(Duration::from_secs(20));
    Making { second, settings, ..Making::new(seed, 2) }
}

/// The leases of the second stream, of the first stream that had the name, or of all.
fn leases(world: &World) -> Vec<Lease> {
    let mut leases = world.rows().leases;
    leases.retain(|lease| lease.key.as_str().starts_with("111111111111"));
    leases
}

/// Both streams have records, which are handled.
async fn read(world: &World) {
    world.streams().into_iter().for_each(|stream| stream.put(10));
    world.until_handled(Duration::from_secs(60)).await;
}

#[test]
fn a_stream_recreated_while_no_poll_is_answered_is_found() {
    play("a_stream_made_again_while_no_look_is_answered", making(301, Retrieval::Polling), async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 4)], Duration::from_secs(5)).await;
        read(&world).await;
        let second = world.second.clone().unwrap();
        second.delete();
        world.until_shared(&[("ann", 2)], Duration::from_secs(5)).await;
        world.note("when looks for it are never answered");
        world.weather.rule(|call| (call.operation == "DescribeStreamSummary").then_some(Fate::LostRequest));
        world.seconds(50).await;
        world.weather.calm();
        second.make(1);
        read(&world).await;
        assert_eq!(leases(&world).len(), 3);
        world
    });
}

#[test]
fn a_stream_recreated_behind_a_worker_that_is_cut_off_is_another_stream() {
    for (seed, retrieval) in [(302, Retrieval::Polling), (303, Retrieval::FanOut)] {
        let name = format!("a_stream_made_again_behind_a_worker_{seed}");
        play(&name, making(seed, retrieval), async |mut world| {
            world.start("ann");
            world.until_shared(&[("ann", 4)], Duration::from_secs(5)).await;
            world.seconds(5).await;
            let (second, before) = (world.second.clone().unwrap(), leases(&world));
            world.cut("ann", Cut::Stream);
            second.delete();
            world.seconds(2).await;
            second.make(2);
            world.seconds(2).await;
            world.mend("ann");
            read(&world).await;
            let after = leases(&world);
            assert_eq!(after.len(), 4);
            for before in before {
                let lease = after.iter().find(|lease| lease.key == before.key).unwrap();
                assert_eq!((&lease.checkpoint, &lease.owner), (&before.checkpoint, &None), "{retrieval:?}");
            }
            world
        });
    }
}

#[test]
fn a_stream_that_a_worker_stops_serving_is_read_by_another() {
    play("a_stream_that_a_worker_leaves", making(304, Retrieval::Auto), async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 4)], Duration::from_secs(5)).await;
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(10)).await;
        read(&world).await;
        world.note("when ann is told to serve the second stream no more, and later again");
        world.process("ann").toggle(1);
        read(&world).await;
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(10)).await;
        let owners: Vec<_> = leases(&world).into_iter().map(|lease| lease.owner.unwrap().worker.to_string()).collect();
        assert_eq!(owners, ["ben", "ben"]);
        world.process("ann").toggle(1);
        read(&world).await;
        world
    });
}
