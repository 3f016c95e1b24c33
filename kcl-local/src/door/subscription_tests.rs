//! Subscriptions of the real SDK in process, and what faults do to them.

use std::time::Duration;

use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::subscribe_to_shard::{SubscribeToShardError, SubscribeToShardOutput};
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use fastrand::Rng;
use tokio::time::{Instant, timeout};

use crate::kinesis::EngineConfig;
use crate::{Chaos, Fault, LocalAws, Service, StreamFault};

const SHARD: &str = "shardId-000000000000";

/// Servers with a stream of one shard, and the ARN of a consumer of it.
async fn start() -> (LocalAws, String) {
    started(LocalAws::builder().in_process()).await
}

pub(super) async fn started(aws: LocalAws) -> (LocalAws, String) {
    let client = aws.kinesis();
    client.create_stream().stream_name("clicks").shard_count(1).send().await.unwrap();
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks";
    let register = client.register_stream_consumer().stream_arn(stream).consumer_name("app");
    let arn = register.send().await.unwrap().consumer.unwrap().consumer_arn;
    (aws, arn)
}

async fn subscribe(
    aws: &LocalAws,
    arn: &str,
) -> Result<SubscribeToShardOutput, SdkError<SubscribeToShardError, aws_sdk_kinesis::config::http::HttpResponse>> {
    let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
    aws.kinesis().subscribe_to_shard().consumer_arn(arn).shard_id(SHARD).starting_position(latest).send().await
}

type End = Result<(), SdkError<SubscribeToShardEventStreamError, aws_smithy_types::event_stream::RawMessage>>;

/// Events until the end, and the end.
async fn rest(subscription: &mut SubscribeToShardOutput) -> (usize, End) {
    for count in 0.. {
        match subscription.event_stream.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        }
    }
    unreachable!("a subscription ends")
}

#[tokio::test(start_paused = true)]
async fn a_subscription_can_be_refused() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::Error("ResourceInUseException".to_owned()));
    let refused = subscribe(&aws, &arn).await.unwrap_err().into_service_error();
    assert!(refused.is_resource_in_use_exception());
    // It had no effect.
    subscribe(&aws, &arn).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_off_after_so_many_events() {
    let cases = [
        (StreamFault::Cut, "dispatch failure"),
        (StreamFault::End, ""),
        (StreamFault::Error("KMSDisabledException".to_owned()), "service error"),
        (StreamFault::BadChecksum, "response error"),
        (StreamFault::Truncated, "response error"),
    ];
    for (fault, expected) in cases {
        let (aws, arn) = start().await;
        aws.faults().once("SubscribeToShard", Fault::stream(3, fault.clone()));
        let (events, end) = rest(&mut subscribe(&aws, &arn).await.unwrap()).await;
        assert_eq!(events, 3, "{fault:?}");
        let end = end.err().map_or(String::new(), |error| error.to_string());
        assert_eq!(end, expected, "{fault:?}");
        // The next one is whole.
        assert_eq!(rest(&mut subscribe(&aws, &arn).await.unwrap()).await.0, 60);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_is_the_one_that_was_asked_for() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::stream(0, StreamFault::Error("KMSThrottlingException".to_owned())));
    let (events, end) = rest(&mut subscribe(&aws, &arn).await.unwrap()).await;
    assert_eq!(events, 0);
    assert!(end.unwrap_err().into_service_error().is_kms_throttling_exception());
}

#[tokio::test(start_paused = true)]
async fn a_stream_falls_silent_for_a_while_or_for_ever() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::stream(1, StreamFault::Stall(Duration::from_secs(77))));
    let mut subscription = subscribe(&aws, &arn).await.unwrap();
    subscription.event_stream.recv().await.unwrap();
    let started = Instant::now();
    subscription.event_stream.recv().await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(77));
    drop(subscription);

    aws.faults().once("SubscribeToShard", Fault::stream(1, StreamFault::Silence));
    let mut subscription = subscribe(&aws, &arn).await.unwrap();
    subscription.event_stream.recv().await.unwrap();
    // It holds its place meanwhile, as a connection would.
    assert!(subscribe(&aws, &arn).await.unwrap_err().into_service_error().is_resource_in_use_exception());
    assert!(timeout(Duration::from_secs(3600), subscription.event_stream.recv()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn headers_may_be_all_that_comes() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::HeadersOnly);
    // The SDK waits for the first message before it hands anything out.
    assert!(timeout(Duration::from_secs(3600), subscribe(&aws, &arn)).await.is_err());
    assert_eq!(aws.calls().of(Service::Kinesis, "SubscribeToShard"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_keeps_its_place_until_its_sender_gives_up() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::LostResponse);
    {
        let mut lost = Box::pin(subscribe(&aws, &arn));
        assert!(timeout(Duration::from_secs(1), &mut lost).await.is_err());
        assert!(subscribe(&aws, &arn).await.unwrap_err().into_service_error().is_resource_in_use_exception());
    }
    subscribe(&aws, &arn).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn chaos_breaks_streams_by_its_seed() {
    let run = async |seed| {
        let (aws, arn) = start().await;
        aws.faults().seeded(Chaos { broken_stream: 0.7, ..Chaos::new(Rng::with_seed(seed)) });
        let mut story = Vec::new();
        for _ in 0..20 {
            let told = timeout(Duration::from_secs(400), async {
                let mut subscription = subscribe(&aws, &arn).await.unwrap();
                let (events, end) = rest(&mut subscription).await;
                (events, end.map_err(|error| error.to_string()))
            });
            story.push(told.await.ok());
        }
        story
    };
    let story = run(7).await;
    assert_eq!(story, run(7).await);
    assert_ne!(story, run(8).await);
    assert!(story.contains(&Some((60, Ok(())))), "some are whole: {story:?}");
    assert!(story.iter().flatten().any(|(_, end)| end.is_err()) && story.contains(&None), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_is_open() {
    let (aws, arn) = started(LocalAws::builder().engine(EngineConfig::in_process()).in_process()).await;
    let mut subscription = subscribe(&aws, &arn).await.unwrap();
    let started = Instant::now();
    aws.shutdown().await;
    assert!(matches!(rest(&mut subscription).await, (1, Ok(()))));
    assert_eq!(started.elapsed(), Duration::ZERO);
}
