//! Tests both front ends with the real SDK.

use std::time::Duration;

use aws_sdk_dynamodb::config::Region;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::ShardIteratorType;
use tokio::time::Instant;

use crate::{Error, Fault, LocalAws, Service};

const LATENCY: Duration = Duration::from_millis(5);

async fn create_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key = AttributeDefinition::builder().attribute_name("leaseKey").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("leaseKey").key_type(KeyType::Hash);
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(key.build().unwrap())
        .key_schema(schema.build().unwrap())
        .send()
        .await
        .unwrap();
}

async fn put(client: &aws_sdk_dynamodb::Client, key: &str) {
    put_if_absent(client, key).await.unwrap();
}

async fn put_if_absent(
    client: &aws_sdk_dynamodb::Client,
    key: &str,
) -> Result<(), SdkError<aws_sdk_dynamodb::operation::put_item::PutItemError>> {
    let put = client.put_item().table_name("leases").item("leaseKey", AttributeValue::S(key.to_owned()));
    put.condition_expression("attribute_not_exists(leaseKey)").send().await.map(drop)
}

async fn count(client: &aws_sdk_dynamodb::Client) -> usize {
    client.scan().table_name("leases").send().await.unwrap().items().len()
}

/// A client that does not retry and has a timeout of two seconds.
fn without_retries(aws: &LocalAws, caller: &str) -> aws_sdk_dynamodb::Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(2)).build();
    let config = aws_sdk_dynamodb::config::Builder::from(&aws.sdk_config_for(caller))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

#[tokio::test(start_paused = true)]
async fn in_process_time_moves_only_by_the_latency() {
    let aws = LocalAws::builder().latency(Service::DynamoDb, LATENCY).in_process();
    let (started, client) = (Instant::now(), aws.dynamodb());
    create_table(&client, "leases").await;
    put(&client, "shard-1").await;
    assert_eq!(count(&client).await, 1);
    assert_eq!(started.elapsed(), 3 * LATENCY);
    let refused = put_if_absent(&client, "shard-1").await.unwrap_err();
    assert_eq!(refused.code(), Some("ConditionalCheckFailedException"));
    assert_eq!(aws.calls().of(Service::DynamoDb, "PutItem"), 2);
}

#[tokio::test(start_paused = true)]
async fn arrival_times_and_iterator_expiry_follow_virtual_time() {
    let aws = LocalAws::builder().latency(Service::Kinesis, 2 * LATENCY).in_process();
    let (client, began) = (aws.kinesis(), aws.now());
    client.create_stream().stream_name("clicks").shard_count(1).send().await.unwrap();
    client.put_record().stream_name("clicks").partition_key("k").data(Blob::new("hi")).send().await.unwrap();
    let shard = client.get_shard_iterator().stream_name("clicks").shard_id("shardId-000000000000");
    let iterator = shard.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
    let read = async || client.get_records().set_shard_iterator(iterator.clone()).send().await;
    let records = read().await.unwrap().records;
    assert_eq!(records[0].data, Blob::new("hi"));
    // The second request reached the service after one full latency and half of its own.
    let arrival = records[0].approximate_arrival_timestamp.unwrap().to_millis().unwrap();
    assert_eq!(arrival, DateTime::from(began + 3 * LATENCY).to_millis().unwrap());
    tokio::time::advance(Duration::from_secs(301)).await;
    assert!(read().await.unwrap_err().into_service_error().is_expired_iterator_exception());
}

#[tokio::test(start_paused = true)]
async fn regions_are_isolated_if_credentials_decide() {
    let aws = LocalAws::builder().scope_from_credentials(true).in_process();
    let elsewhere = aws.sdk_config().into_builder().region(Region::new("eu-west-1")).build();
    create_table(&aws.dynamodb(), "leases").await;
    create_table(&aws_sdk_dynamodb::Client::new(&elsewhere), "leases").await;
    let (local, remote) = (aws.kinesis(), aws_sdk_kinesis::Client::new(&elsewhere));
    local.create_stream().stream_name("clicks").shard_count(1).send().await.unwrap();
    assert_eq!(local.list_streams().send().await.unwrap().stream_names, ["clicks"]);
    assert!(remote.list_streams().send().await.unwrap().stream_names.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_table_is_creating_for_the_configured_time() {
    let aws = LocalAws::builder().table_delay(Duration::from_secs(3)).in_process();
    let client = aws.dynamodb();
    create_table(&client, "leases").await;
    let status =
        async || client.describe_table().table_name("leases").send().await.unwrap().table.unwrap().table_status;
    assert_eq!(status().await, Some(TableStatus::Creating));
    assert_eq!(put_if_absent(&client, "a").await.unwrap_err().code(), Some("ResourceNotFoundException"));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(status().await, Some(TableStatus::Active));
    put(&client, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_lost_response_takes_effect_and_a_lost_request_does_not() {
    let aws = LocalAws::in_process();
    let client = without_retries(&aws, "w");
    create_table(&client, "leases").await;
    aws.faults().once("PutItem", Fault::LostRequest);
    let started = Instant::now();
    assert!(matches!(put_if_absent(&client, "a").await, Err(SdkError::TimeoutError(_))));
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    assert_eq!(count(&client).await, 0);
    aws.faults().once("PutItem", Fault::LostResponse);
    assert!(matches!(put_if_absent(&client, "a").await, Err(SdkError::TimeoutError(_))));
    assert_eq!(count(&client).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_cut_one_caller_off_from_one_service() {
    let aws = LocalAws::in_process();
    let (a, b) = (without_retries(&aws, "a"), without_retries(&aws, "b"));
    create_table(&a, "leases").await;
    aws.faults()
        .rule(|call| (call.caller == Some("a") && call.service == Service::DynamoDb).then_some(Fault::CutRequest));
    assert!(matches!(put_if_absent(&a, "k").await, Err(SdkError::DispatchFailure(failure)) if failure.is_io()));
    put(&b, "k").await;
    aws.faults().clear();
    assert_eq!(count(&a).await, 1);
}

#[tokio::test]
async fn clients_on_several_runtimes_share_the_in_process_client() {
    let aws = LocalAws::in_process();
    create_table(&aws.dynamodb(), "leases").await;
    let config = aws.sdk_config();
    let threads = ["a", "b"].map(|key| {
        let config = config.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(put(&aws_sdk_dynamodb::Client::new(&config), key));
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(count(&aws.dynamodb()).await, 2);
}

#[tokio::test]
async fn one_url_serves_both_services_until_the_shutdown() {
    let aws = LocalAws::start().await.unwrap();
    assert_eq!(aws.endpoint(Service::Kinesis), aws.endpoint(Service::DynamoDb));
    let client = without_retries(&aws, "w");
    create_table(&client, "leases").await;
    put(&client, "a").await;
    assert_eq!(count(&client).await, 1);
    aws.kinesis().list_streams().send().await.unwrap();
    assert_eq!(aws.calls().of(Service::Kinesis, "ListStreams"), 1);
    aws.shutdown().await;
    assert!(matches!(put_if_absent(&client, "b").await, Err(SdkError::DispatchFailure(_))));
}

#[tokio::test]
async fn a_cut_connection_is_a_dispatch_failure_over_http_too() {
    let aws = LocalAws::start().await.unwrap();
    let client = without_retries(&aws, "w");
    create_table(&client, "leases").await;
    aws.faults().once("PutItem", Fault::CutResponse);
    assert!(matches!(put_if_absent(&client, "a").await, Err(SdkError::DispatchFailure(_))));
    assert_eq!(count(&client).await, 1);
}

#[tokio::test]
async fn the_error_names_a_port_in_use() {
    let aws = LocalAws::start().await.unwrap();
    let port = aws.endpoint(Service::Kinesis).rsplit(':').next().unwrap().parse().unwrap();
    let error = LocalAws::builder().kinesis_port(port).start().await.unwrap_err();
    assert!(matches!(error, Error::PortTaken { port: taken, .. } if taken == port), "{error}");
    let error = LocalAws::builder().dynamodb_port(port).start().await.unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
