//! R22. *Given* a worker that reads by fan-out; *when* it is replaced while a subscription of the
//! former deployment is open and too young to be taken over; *then* the new one is refused, waits,
//! and requests at most one subscription a second for each shard; no lease moves because of it and
//! nothing is logged as an error. If polling is allowed no record is late; otherwise records wait
//! for as long as Kinesis protects the old subscription.
//!
//! (Over the real SDK: `fleet/fan_out.rs`.)

use super::play;
use crate::world::history::Fact;
use crate::world::stream::STREAM;
use crate::world::{APPLICATION, Making, World};
use kcl_core::{Retrieval, Settings};
use kcl_local::kinesis::model::{
    DescribeStreamConsumerInput, DescribeStreamSummaryInput, Request, Response, StartingPositionInput,
    SubscribeToShardInput,
};
use kcl_tests::said::Said;
use std::collections::HashMap;
use std::time::Duration;

const SHARDS: u32 = 2;

#[test]
fn r22_a_redeploy_is_no_gap_while_the_old_subscription_lives() {
    redeploy("r22_a_redeploy_that_polls_meanwhile", Retrieval::Auto, Duration::from_secs(1));
}

#[test]
fn r22_without_polling_a_redeploy_waits_for_the_old_subscription_and_no_longer() {
    redeploy("r22_a_redeploy_that_waits", Retrieval::FanOut, Duration::from_secs(7));
}

/// The worst delay of a record must be less than `worst`.
fn redeploy(name: &str, retrieval: Retrieval, worst: Duration) {
    let settings = Settings::default().retrieval(retrieval);
    let said = Said::default();
    tracing::subscriber::with_default(said.at_least(tracing::Level::WARN), || {
        play(name, Making { settings, ..Making::new(22, SHARDS) }, async |mut world| {
            world.start("ann");
            world.until_shared(&[("ann", 2)], Duration::from_secs(10)).await;
            put_for(&world, 5, Duration::from_secs(2)).await;
            world.note("when ann is replaced, and subscriptions of the deployment before are open still");
            world.stop("ann", Duration::from_secs(10));
            world.until("ended", Duration::from_secs(10), |world| world.process("ann").has_ended()).await;
            subscribe_as_before(&world);
            world.start("ann");
            world.until_shared(&[("ann", 2)], Duration::from_secs(5)).await;
            let moves = world.moves();
            assert!(put_for(&world, 15, worst).await >= worst / 8, "the scenario shows nothing");
            world.note("then it is pushed as before");
            let refused = world.count(|fact| matches!(fact, Fact::PushRefused { .. }));
            assert_eq!(refused, 2, "each shard once: the next call is made when it can succeed");
            let polled = world.count(|fact| matches!(fact, Fact::Polls { .. }));
            assert_eq!(polled > 0, retrieval == Retrieval::Auto);
            put_for(&world, 5, Duration::from_millis(100)).await;
            assert_eq!(world.count(|fact| matches!(fact, Fact::Polls { .. })), polled);
            assert_eq!(world.moves(), moves, "no lease moves");
            at_most_once_a_second(&world);
            world
        });
    });
    assert_eq!(said.text(), "", "nothing here is an error, or worth a warning");
}

/// Puts a record each second and waits until it is handled; returns the worst delay.
async fn put_for(world: &World, seconds: u64, within: Duration) -> Duration {
    let mut worst = Duration::ZERO;
    for _ in 0..seconds {
        world.stream.put(1);
        let took = world.until_handled(within).await;
        worst = worst.max(took);
        world.pass(Duration::from_secs(1).saturating_sub(took)).await;
    }
    worst
}

/// The limit of Kinesis for each shard and consumer, whatever the answers.
fn at_most_once_a_second(world: &World) {
    let mut last: HashMap<String, Duration> = HashMap::new();
    world.history.with(|events| {
        for event in events {
            let Fact::AsksToBePushed { shard, .. } = &event.fact else { continue };
            if let Some(before) = last.insert(shard.clone(), event.at) {
                let apart = event.at.checked_sub(before).unwrap();
                assert!(apart >= Duration::from_secs(1), "{shard} twice within {apart:?}");
            }
        }
    });
    assert_eq!(last.len() as u32, SHARDS);
}

/// An unknown process subscribes to every shard in the application's name.
fn subscribe_as_before(world: &World) {
    let ask = |request: Request| world.stream.try_ask(request).unwrap();
    let summary = DescribeStreamSummaryInput { stream_name: Some(STREAM.to_owned()), ..Default::default() };
    let Response::DescribeStreamSummary(summary) = ask(summary.into()) else { panic!("no summary") };
    let consumer = DescribeStreamConsumerInput {
        stream_arn: Some(summary.stream_description_summary.stream_arn),
        consumer_name: Some(APPLICATION.to_owned()),
        ..Default::default()
    };
    let Response::DescribeStreamConsumer(consumer) = ask(consumer.into()) else { panic!("no consumer") };
    for shard in world.stream.open() {
        let latest = StartingPositionInput { r#type: Some("LATEST".to_owned()), ..Default::default() };
        let subscribe = SubscribeToShardInput {
            consumer_arn: Some(consumer.consumer_description.consumer_arn.clone()),
            shard_id: Some(shard.shard_id.to_string()),
            starting_position: Some(latest),
            ..Default::default()
        };
        ask(subscribe.into());
    }
}
