//! Tests subscriptions through direct calls: the times of the next step, and a reader that resumes
//! often.

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::kinesis::{HashKey, Reshard, ShardId, Step, SubscriptionId};

impl Bench {
    fn register(&mut self, consumer: &str) -> String {
        let input = RegisterStreamConsumerInput {
            stream_arn: arn(),
            consumer_name: Some(consumer.to_owned()),
            ..RegisterStreamConsumerInput::default()
        };
        match self.call(input) {
            Ok(Response::RegisterStreamConsumer(output)) => output.consumer.consumer_arn,
            other => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, consumer: &str, kind: &str, number: Option<String>) -> Result<SubscriptionId, ErrorCode> {
        let input = SubscribeToShardInput {
            consumer_arn: Some(consumer.to_owned()),
            shard_id: Some("0".to_owned()),
            starting_position: Some(StartingPositionInput {
                r#type: Some(kind.to_owned()),
                sequence_number: number,
                timestamp: None,
            }),
            dry_run: None,
        };
        match self.call(input) {
            Ok(Response::SubscribeToShard(id)) => Ok(id),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code),
        }
    }

    fn next(&mut self, subscription: SubscriptionId) -> Step {
        self.engine.next_event(subscription, self.now)
    }

    fn event(&mut self, subscription: SubscriptionId) -> SubscribeToShardEvent {
        match self.next(subscription) {
            Step::Event(event) => event,
            other @ (Step::Wait(_) | Step::Failed(_) | Step::Ended) => panic!("{other:?}"),
        }
    }

    /// The time until the next step.
    fn wait_of(&mut self, subscription: SubscriptionId) -> Duration {
        match self.next(subscription) {
            Step::Wait(until) => Duration::from_millis(u64::try_from(until.since(self.now)).unwrap()),
            other @ (Step::Event(_) | Step::Failed(_) | Step::Ended) => panic!("{other:?}"),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_subscription_waits_for_the_next_empty_event_its_end_or_a_state_transition() {
    let mut config = EngineConfig::in_process();
    config.transitions.update = 2 * SECOND;
    config.subscription_life = 12 * SECOND;
    let mut bench = Bench::with_stream(config, 1);
    let consumer = bench.register("app");
    let subscription = bench.subscribe(&consumer, "LATEST", None).unwrap();
    bench.event(subscription);
    assert_eq!(bench.wait_of(subscription), 5 * SECOND);
    bench.wait(SECOND);
    let encrypt = StartStreamEncryptionInput {
        stream_name: name(),
        encryption_type: Some("KMS".to_owned()),
        key_id: Some("key".to_owned()),
        ..StartStreamEncryptionInput::default()
    };
    bench.call(encrypt).unwrap();
    assert_eq!(bench.wait_of(subscription), 2 * SECOND);
    bench.wait(2 * SECOND);
    assert_eq!(bench.wait_of(subscription), 2 * SECOND);
    for _ in 0..2 {
        bench.put("key", "data");
        bench.event(subscription);
        assert_eq!(bench.wait_of(subscription), 5 * SECOND);
        bench.wait(3 * SECOND);
    }
    assert_eq!(bench.wait_of(subscription), 2 * SECOND);
    bench.wait(2 * SECOND);
    bench.event(subscription);
    assert_eq!(bench.wait_of(subscription), SECOND);
    bench.wait(SECOND);
    assert!(matches!(bench.next(subscription), Step::Ended));
    assert!(matches!(bench.next(subscription), Step::Ended));
}

#[test]
fn records_wait_until_the_throughput_allows_them() {
    let mut config = EngineConfig::in_process();
    config.read_throttling = true;
    let mut bench = Bench::with_stream(config, 1);
    let consumer = bench.register("app");
    bench.put("k", &"x".repeat(1024 * 1024 - 1));
    bench.put("k", "more");
    let subscription = bench.subscribe(&consumer, "TRIM_HORIZON", None).unwrap();
    assert_eq!(bench.event(subscription).records.0.len(), 1);
    assert_eq!(bench.wait_of(subscription), SECOND / 2);
    bench.wait(SECOND / 2);
    assert_eq!(bench.event(subscription).records.0.len(), 1);
}

#[test]
fn a_failed_or_ended_subscription_releases_its_slot() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let consumer = bench.register("app");
    let first = bench.subscribe(&consumer, "LATEST", None).unwrap();
    assert_eq!(bench.subscribe(&consumer, "LATEST", None), Err(ErrorCode::ResourceInUse));
    let now = bench.now;
    bench.engine.unsubscribe(first, now);
    let second = bench.subscribe(&consumer, "LATEST", None).unwrap();
    bench.wait(5 * SECOND);
    let third = bench.subscribe(&consumer, "LATEST", None).unwrap();
    assert!(matches!(bench.next(second), Step::Failed(error) if error.code == ErrorCode::ResourceInUse));
    // The subscription that lost its slot does not release the slot of its successor.
    bench.event(third);
    assert_eq!(bench.subscribe(&consumer, "LATEST", None), Err(ErrorCode::ResourceInUse));
}

#[test]
fn a_subscription_that_ended_with_its_shard_releases_its_slot() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let consumer = bench.register("app");
    let (scope, now) = (bench.scope.clone(), bench.now);
    bench.engine.reshard(&scope, "s", Reshard::Count(2), now).unwrap();
    for _ in 0..2 {
        let subscription = bench.subscribe(&consumer, "LATEST", None).unwrap();
        assert!(bench.event(subscription).child_shards.is_some());
        assert!(matches!(bench.next(subscription), Step::Ended));
    }
}

#[test]
fn a_subscription_fails_if_its_stream_was_created_again() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let consumer = bench.register("app");
    let subscription = bench.subscribe(&consumer, "LATEST", None).unwrap();
    let delete = DeleteStreamInput {
        stream_name: name(),
        enforce_consumer_deletion: Some(true),
        ..DeleteStreamInput::default()
    };
    bench.call(delete).unwrap();
    bench.create("s", 1).unwrap();
    assert!(matches!(bench.next(subscription), Step::Failed(error) if error.code == ErrorCode::ResourceNotFound));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// While records are written, the reader subscribes again at random events, with either kind of
    /// position. Then the shard ends.
    #[test]
    fn a_reader_that_resumes_at_any_event_gets_every_record_once_and_in_order(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let mut bench = Bench::seeded(EngineConfig::simulation(), seed);
        bench.create("s", 1).unwrap();
        let consumer = bench.register("app");
        let (mut written, mut read) = (Vec::new(), Vec::new());
        let mut subscription = bench.subscribe(&consumer, "TRIM_HORIZON", None).unwrap();
        for _ in 0..90 {
            for _ in 0..rng.usize(..3) {
                written.push(bench.put("key", "data").sequence_number);
            }
            bench.wait(Duration::from_millis(rng.u64(..3000)));
            let Step::Event(event) = bench.next(subscription) else { continue };
            read.extend(event.records.0.iter().map(|record| record.sequence_number));
            prop_assert!(event.child_shards.is_none());
            if rng.bool() {
                let now = bench.now;
                bench.engine.unsubscribe(subscription, now);
                bench.wait(5 * SECOND);
                let kind = if rng.bool() { "AT_SEQUENCE_NUMBER" } else { "AFTER_SEQUENCE_NUMBER" };
                let number = event.continuation_sequence_number.map(|number| number.to_string());
                subscription = bench.subscribe(&consumer, kind, number).unwrap();
            }
        }
        let (scope, split) = (bench.scope.clone(), Reshard::Split(ShardId::new(0), HashKey(7)));
        bench.engine.reshard(&scope, "s", split, bench.now).unwrap();
        loop {
            match bench.next(subscription) {
                Step::Event(event) => {
                    read.extend(event.records.0.iter().map(|record| record.sequence_number));
                    prop_assert_eq!(event.child_shards.is_some(), event.continuation_sequence_number.is_none());
                }
                Step::Wait(until) => bench.now = until,
                Step::Ended => break,
                Step::Failed(error) => panic!("{error}"),
            }
        }
        prop_assert_eq!(read, written);
    }
}
