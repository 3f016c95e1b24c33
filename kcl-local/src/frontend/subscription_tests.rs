//! Tests subscriptions of the real SDK in process, and faults of subscriptions.

use std::time::Duration;

use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::subscribe_to_shard::{SubscribeToShardError, SubscribeToShardOutput};
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use tokio::time::{Instant, timeout};

use crate::kinesis::EngineConfig;
use crate::{Chaos, Fault, LocalAws, Service, StreamFault};

const SHARD: &str = "shardId-000000000000";

/// Servers with a stream of one shard, and the ARN of a consumer.
async fn start() -> (LocalAws, String) {
    with_consumer(LocalAws::builder().in_process()).await
}

/// Creates the stream and the consumer.
pub(super) async fn with_consumer(aws: LocalAws) -> (LocalAws, String) {
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

type StreamResult = Result<(), SdkError<SubscribeToShardEventStreamError, aws_smithy_types::event_stream::RawMessage>>;

/// Reads the subscription to its end. Returns the number of events, and the result.
async fn read_to_end(subscription: &mut SubscribeToShardOutput) -> (usize, StreamResult) {
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
    // The refused request had no effect.
    subscribe(&aws, &arn).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_off_after_the_given_number_of_events() {
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
        let (events, end) = read_to_end(&mut subscribe(&aws, &arn).await.unwrap()).await;
        assert_eq!(events, 3, "{fault:?}");
        let end = end.err().map_or(String::new(), |error| error.to_string());
        assert_eq!(end, expected, "{fault:?}");
        // The next subscription is complete.
        assert_eq!(read_to_end(&mut subscribe(&aws, &arn).await.unwrap()).await.0, 60);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_event_has_the_injected_error() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::stream(0, StreamFault::Error("KMSThrottlingException".to_owned())));
    let (events, end) = read_to_end(&mut subscribe(&aws, &arn).await.unwrap()).await;
    assert_eq!(events, 0);
    assert!(end.unwrap_err().into_service_error().is_kms_throttling_exception());
}

#[tokio::test(start_paused = true)]
async fn a_stream_stalls_for_a_time_or_without_end() {
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
    // The silent subscription keeps its slot, as a connection would.
    assert!(subscribe(&aws, &arn).await.unwrap_err().into_service_error().is_resource_in_use_exception());
    assert!(timeout(Duration::from_secs(3600), subscription.event_stream.recv()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_end_after_its_headers() {
    let (aws, arn) = start().await;
    aws.faults().once("SubscribeToShard", Fault::HeadersOnly);
    // The SDK waits for the first message before it returns.
    assert!(timeout(Duration::from_secs(3600), subscribe(&aws, &arn)).await.is_err());
    assert_eq!(aws.calls().of(Service::Kinesis, "SubscribeToShard"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_keeps_its_slot_until_the_client_gives_up() {
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
async fn chaos_breaks_streams_reproducibly() {
    let run = async |seed| {
        let (aws, arn) = start().await;
        aws.faults().chaos(Chaos { broken_stream: 0.7, ..Chaos::new(seed) });
        let mut results = Vec::new();
        for _ in 0..20 {
            let result = timeout(Duration::from_secs(400), async {
                let mut subscription = subscribe(&aws, &arn).await.unwrap();
                let (events, end) = read_to_end(&mut subscription).await;
                (events, end.map_err(|error| error.to_string()))
            });
            results.push(result.await.ok());
        }
        results
    };
    let results = run(7).await;
    assert_eq!(results, run(7).await);
    assert_ne!(results, run(8).await);
    assert!(results.contains(&Some((60, Ok(())))), "some subscriptions are complete: {results:?}");
    assert!(results.iter().flatten().any(|(_, end)| end.is_err()) && results.contains(&None), "{results:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_open_subscriptions() {
    let (aws, arn) = with_consumer(LocalAws::builder().engine(EngineConfig::in_process()).in_process()).await;
    let mut subscription = subscribe(&aws, &arn).await.unwrap();
    let started = Instant::now();
    aws.shutdown().await;
    assert!(matches!(read_to_end(&mut subscription).await, (1, Ok(()))));
    assert_eq!(started.elapsed(), Duration::ZERO);
}
