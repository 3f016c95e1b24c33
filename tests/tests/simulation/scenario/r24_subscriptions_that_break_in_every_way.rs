//! R24. *Given* a worker that reads by fan-out; *when* its calls are not answered, or its
//! subscriptions are reset, stop sending, or open and send nothing; *then* each is detected within
//! its deadline (10 s for a call, 8 s for the first event, 20 s for each other) and replaced after
//! the last record; if that does not help the shard is polled. A rotation delays nothing.
//!
//! (Real connections, with `GOAWAY`, one that the server closes while it is idle, and 300 subscriptions where a connection has
//! room for 100: `tests/connections.rs`.)

use super::play;
use crate::world::history::Fact;
use crate::world::weather::Fate;
use crate::world::{Making, World};
use kcl_core::{Retrieval, Settings};
use std::time::Duration;

const CALL: Duration = Duration::from_secs(10);
const FIRST_EVENT: Duration = Duration::from_secs(8);
const EVENT: Duration = Duration::from_secs(20);

/// Puts a record, then leaves the one shard idle; returns how long the record took.
async fn put(world: &World, within: Duration) -> Duration {
    world.stream.put(1);
    let took = world.until_handled(within).await;
    world.seconds(2).await;
    took
}

/// Waits until this happened that often.
async fn until_pushed(world: &World, times: usize, within: Duration) {
    let pushed = |world: &World| world.count(|fact| matches!(fact, Fact::Pushed { .. })) >= times;
    world.until("pushed", within, pushed).await;
}

/// The next calls, or events, of that kind meet this fault.
fn next(world: &World, operation: &'static str, times: u32, fate: Fate) {
    let mut left = times;
    world.weather.rule(move |call| {
        let meets = call.operation == operation && left > 0;
        left -= u32::from(meets);
        meets.then_some(fate)
    });
}

fn making(retrieval: Retrieval) -> Making {
    let settings = Settings::default().retrieval(retrieval);
    Making { settings, ..Making::new(24, 1) }
}

#[test]
fn r24_whatever_breaks_a_subscription_the_shard_goes_on_in_time() {
    play("r24_subscriptions_that_break_in_every_way", making(Retrieval::Auto), async |mut world| {
        world.note("given calls that are not answered");
        next(&world, "SubscribeToShard", 2, Fate::LostRequest);
        world.start("ann");
        world.until_shared(&[("ann", 1)], Duration::from_secs(10)).await;
        world.stream.put(1);
        world.until_handled(Duration::from_secs(1)).await;
        world.note("then the shard is polled until one is answered");
        until_pushed(&world, 1, 2 * CALL + Duration::from_secs(2)).await;
        put(&world, Duration::from_millis(100)).await;
        world.note("when the subscription is reset");
        next(&world, "an event", 1, Fate::Unavailable);
        put(&world, Duration::from_millis(1_500)).await;
        until_pushed(&world, 2, Duration::from_secs(2)).await;
        world.note("when it falls silent");
        next(&world, "an event", 1, Fate::LostRequest);
        put(&world, EVENT + Duration::from_secs(1)).await;
        until_pushed(&world, 3, Duration::from_secs(1)).await;
        world.note("when subscriptions open and say nothing at all");
        next(&world, "an event", u32::MAX, Fate::LostRequest);
        put(&world, EVENT + FIRST_EVENT + Duration::from_secs(1)).await;
        world.note("then the shard is polled, for minutes");
        put(&world, Duration::from_secs(1)).await;
        world.weather.calm();
        until_pushed(&world, 5, Duration::from_secs(230)).await;
        put(&world, Duration::from_millis(100)).await;
        world.note("when subscriptions live their time, none is missed");
        for _ in 0..28 {
            world.stream.put(1);
            world.until_handled(Duration::from_millis(600)).await;
            world.seconds(20).await;
        }
        until_pushed(&world, 7, Duration::ZERO).await;
        assert_eq!(world.moves(), 1, "no lease moves over any of it");
        world
    });
}

#[test]
fn r24_a_worker_whose_subscriptions_say_nothing_gives_the_shard_up_where_it_may_not_poll() {
    play("r24_a_worker_that_is_pushed_nothing", making(Retrieval::FanOut), async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 1)], Duration::from_secs(10)).await;
        put(&world, Duration::from_secs(2)).await;
        world.note("given ann, to which nothing is pushed any more");
        world.weather.rule(|call| {
            let hers = &**call.process == "ann" && call.operation == "an event";
            hers.then_some(Fate::LostRequest)
        });
        world.start("ben");
        world.stream.put(10);
        world.until_handled(Duration::from_secs(30 * 5)).await;
        world.note("then, after four deadlines, ben reads it");
        world
    });
}
