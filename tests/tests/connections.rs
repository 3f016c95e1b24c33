//! Reading over real connections: what HTTP/1.1 and HTTP/2, their limits and their ends do to
//! subscriptions and reads.

#![cfg(test)]

use aws_sdk_kinesis::primitives::Blob;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use futures_util::future::join_all;
use kcl_core::aws::{Clients, KinesisStream};
use kcl_core::prelude::*;
use kcl_core::record::{StartingPosition, StreamRef};
use kcl_core::shard::{ConsumerRef, FanOutApi, ListWhich, StreamApi, SubscribeRequest, Subscription};
use kcl_local::kinesis::EngineConfig;
use kcl_local::{Builder, Fault, LocalAws, Service, StreamFault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Each call's deadline, as in production.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends an event every 20 ms.
fn server() -> Builder {
    let mut engine = EngineConfig::in_process();
    engine.idle_event_interval = Duration::from_millis(20);
    LocalAws::builder().engine(engine)
}

async fn with_stream(builder: Builder, shards: i32) -> LocalAws {
    let aws = builder.start().await.unwrap();
    aws.kinesis().create_stream().stream_name("s").shard_count(shards).send().await.unwrap();
    aws
}

/// A stream as a worker reads it, and the ARN of its consumer.
async fn reading(clients: &Clients) -> (KinesisStream, Arc<dyn FanOutApi>, String) {
    let stream = KinesisStream::new(&clients.kinesis, StreamRef::from("s"));
    let fan_out = stream.fan_out().unwrap();
    fan_out.register_consumer("app").await.unwrap();
    let consumer = fan_out.find_consumer(&ConsumerRef::Name("app".to_owned())).await.unwrap().unwrap();
    assert!(consumer.active);
    (stream, fan_out, consumer.arn)
}

fn shard(n: usize) -> ShardId {
    ShardId::new(format!("shardId-{n:012}"))
}

async fn subscribe(fan_out: &dyn FanOutApi, consumer: &str, n: usize) -> Option<Box<dyn Subscription>> {
    let (shard, from) = (shard(n), StartingPosition::TrimHorizon);
    let request = SubscribeRequest { consumer_arn: consumer, shard: &shard, from: &from };
    timeout(DEADLINE, fan_out.subscribe(request)).await.ok().map(Result::unwrap)
}

/// Reads and lists, as polling readers and the coordination send beside the subscriptions.
async fn reads_and_lists(stream: &KinesisStream) {
    let iterator = timeout(DEADLINE, stream.shard_iterator(&shard(0), &StartingPosition::TrimHorizon)).await;
    timeout(DEADLINE, stream.get_records(&iterator.unwrap().unwrap(), 10)).await.unwrap().unwrap();
    timeout(DEADLINE, stream.list_shards(ListWhich::AtLatest)).await.unwrap().unwrap();
}

/// The configuration brings its HTTP client, which all of our clients use.
#[tokio::test]
async fn r24_300_subscriptions_open_where_a_connection_has_room_for_100() {
    let aws = with_stream(server().tls(true).max_concurrent_streams(100), 300).await;
    let (stream, fan_out, consumer) = reading(&Clients::from_config(&aws.sdk_config()).unwrap()).await;
    let opened = join_all((0..300).map(|n| subscribe(&*fan_out, &consumer, n))).await;
    let mut opened: Vec<_> = opened.into_iter().flatten().collect();
    assert_eq!(opened.len(), 300, "answered within their deadlines");
    let heard = join_all(opened.iter_mut().map(|subscription| timeout(DEADLINE, subscription.next()))).await;
    assert!(heard.into_iter().all(|event| event.unwrap().unwrap().is_some()), "each of them is told something");
    reads_and_lists(&stream).await;
    assert_eq!(aws.calls().of(Service::Kinesis, "SubscribeToShard"), 300);
}

/// One connection per host, for all requests: an HTTP client that a user wrote.
#[derive(Debug)]
struct OneConnection(SharedHttpClient);

impl HttpClient for OneConnection {
    fn http_connector(&self, _: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.0.http_connector(&HttpConnectorSettings::default(), components)
    }
}

/// We cannot change that, but must report it in time and continue when there is room.
#[tokio::test]
async fn with_one_connection_surplus_subscriptions_wait_for_room() {
    let aws = with_stream(server().tls(true).max_concurrent_streams(2), 3).await;
    let config = aws.sdk_config();
    let one = SharedHttpClient::new(OneConnection(config.http_client().unwrap()));
    let clients = Clients::from_config(&config.to_builder().http_client(one).build()).unwrap();
    let (stream, fan_out, consumer) = reading(&clients).await;
    let first = subscribe(&*fan_out, &consumer, 0).await.unwrap();
    let _second = subscribe(&*fan_out, &consumer, 1).await.unwrap();
    let mut third = Box::pin(subscribe(&*fan_out, &consumer, 2));
    assert!(timeout(Duration::from_millis(300), &mut third).await.is_err());
    assert_eq!(aws.calls().of(Service::Kinesis, "SubscribeToShard"), 2, "it was not even sent");
    drop(first);
    drop(third.await.unwrap());
    reads_and_lists(&stream).await;
}

#[tokio::test]
async fn r24_a_connection_that_goes_away_finishes_what_it_has_and_another_one_takes_what_is_new() {
    let aws = with_stream(server().tls(true), 2).await;
    let (stream, fan_out, consumer) = reading(&Clients::from_config(&aws.sdk_config()).unwrap()).await;
    aws.faults().once("SubscribeToShard", Fault::stream(1, StreamFault::GoAway));
    let mut old = subscribe(&*fan_out, &consumer, 0).await.unwrap();
    for _ in 0..3 {
        assert!(timeout(DEADLINE, old.next()).await.unwrap().unwrap().is_some());
    }
    let mut new = subscribe(&*fan_out, &consumer, 1).await.unwrap();
    for subscription in [&mut old, &mut new] {
        assert!(timeout(DEADLINE, subscription.next()).await.unwrap().unwrap().is_some());
    }
    reads_and_lists(&stream).await;
}

/// Over HTTP/1.1, with a connection each, and over HTTP/2, on a shared one.
#[tokio::test]
async fn pushed_records_reach_the_subscription_of_their_shard_only() {
    for tls in [false, true] {
        let aws = with_stream(server().tls(tls), 8).await;
        let (stream, fan_out, consumer) = reading(&Clients::from_config(&aws.sdk_config()).unwrap()).await;
        let shards = stream.list_shards(ListWhich::All).await.unwrap().shards;
        let mut opened = Vec::new();
        for n in 0..8 {
            opened.push(subscribe(&*fan_out, &consumer, n).await.unwrap());
        }
        for n in 0..40 {
            let key = shards[n % 8].hash_range.unwrap().start.to_string();
            let put = aws.kinesis().put_record().stream_name("s").partition_key("k").explicit_hash_key(key);
            put.data(Blob::new((n % 8).to_string())).send().await.unwrap();
        }
        for (n, subscription) in opened.iter_mut().enumerate() {
            let mut records = Vec::new();
            while records.len() < 5 {
                records.extend(timeout(DEADLINE, subscription.next()).await.unwrap().unwrap().unwrap().records);
            }
            assert!(records.iter().all(|record| record.data == n.to_string()), "shard {n}: {records:?}");
        }
    }
}

/// Counts the records that it receives.
struct Counting {
    seen: Arc<AtomicUsize>,
    news: Arc<Notify>,
}

impl RecordProcessor for Counting {
    async fn process_records(&mut self, batch: &Batch, _: &ShardContext) -> Result<(), BoxError> {
        self.seen.fetch_add(batch.len(), Ordering::SeqCst);
        self.news.notify_one();
        Ok(())
    }
}

/// A worker reads records that are put one by one: each arrives within the deadline, and none
/// twice.
async fn reads_one_by_one(aws: &LocalAws, retrieval: Retrieval, records: usize) {
    let (seen, news) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, told) = (seen.clone(), news.clone());
    let worker = Worker::builder("app", "s")
        .settings(Settings::default().retrieval(retrieval))
        .sdk_config(&aws.sdk_config())
        .processor(move |_| Counting { seen: counted.clone(), news: told.clone() })
        .build()
        .await
        .unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    for n in 1..=records {
        aws.kinesis().put_record().stream_name("s").partition_key("k").data(Blob::new("x")).send().await.unwrap();
        let arrived = async {
            while seen.load(Ordering::SeqCst) < n {
                news.notified().await;
            }
        };
        timeout(DEADLINE, arrived).await.unwrap_or_else(|_| panic!("{n} of {records}: {:?}", aws.calls()));
    }
    handle.shutdown(DEADLINE).await;
    running.await.unwrap().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r24_a_worker_goes_on_after_subscriptions_and_connections_that_were_cut() {
    for tls in [false, true] {
        let aws = with_stream(server().tls(tls), 1).await;
        for fault in [StreamFault::Cut, StreamFault::CutConnection, StreamFault::Truncated, StreamFault::GoAway] {
            aws.faults().once("SubscribeToShard", Fault::stream(3, fault));
        }
        reads_one_by_one(&aws, Retrieval::FanOut, 60).await;
        assert!(aws.calls().of(Service::Kinesis, "SubscribeToShard") >= 4, "{:?}", aws.calls());
    }
}

/// Between two polls the server closes each connection, every fifth time while a request is on its
/// way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r24_connections_that_the_server_closes_while_they_are_idle_lose_no_read() {
    for tls in [false, true] {
        let aws = with_stream(server().tls(tls).idle_connections(Duration::from_millis(100)), 1).await;
        let mut reads = 0;
        aws.faults().rule(move |call| {
            reads += u32::from(call.operation == "GetRecords");
            (call.operation == "GetRecords" && reads.is_multiple_of(5)).then_some(Fault::CutRequest)
        });
        reads_one_by_one(&aws, Retrieval::Polling, 15).await;
    }
}
