//! The checks before a worker starts, and the errors that its operator reads.

#![allow(clippy::unwrap_used, reason = "what helpers of tests unwrap is what the tests assert")]

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextMut;

use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use kcl_core::aws::{Clients, DryRun, TableSpec, preflight, prepare_table};
use kcl_core::record::StreamRef;
use kcl_core::shard::{ConsumerRef, StreamDescription};
use kcl_core::{Code, Error, ErrorKind, Retrieval};
use kcl_local::kinesis::{EngineConfig, Transitions};
use kcl_local::{Fault, LocalAws, Service};
use std::time::Duration;
use tokio::time::Instant;

fn spec() -> TableSpec {
    TableSpec {
        name: "app".to_owned(),
        application: "app".to_owned(),
        deletion_protection: true,
        tags: vec![("team".to_owned(), "orders".to_owned())],
        checkpoint_interval: Duration::from_secs(5),
        start_deadline: Duration::from_secs(600),
    }
}

async fn with_stream(aws: LocalAws) -> LocalAws {
    aws.kinesis().create_stream().stream_name("orders").shard_count(2).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    aws
}

async fn check(aws: &LocalAws, stream: &str) -> Result<StreamDescription, Error> {
    check_reading(&Clients::from_config(&aws.sdk_config())?, stream, Retrieval::Polling).await
}

async fn check_reading(clients: &Clients, stream: &str, retrieval: Retrieval) -> Result<StreamDescription, Error> {
    let reading = DryRun::new(retrieval, ConsumerRef::Name("app".to_owned()));
    preflight(clients, &StreamRef::from(stream), &spec(), &reading, 7).await
}

/// Asserts the code, and that the message contains all of these.
#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, parts: &[&str]) {
    let error = result.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_is_made_once_and_waited_for() {
    let aws = with_stream(LocalAws::builder().table_delay(Duration::from_secs(8)).in_process()).await;
    let began = Instant::now();
    let (one, other) = tokio::join!(check(&aws, "orders"), check(&aws, "orders"));
    assert_eq!(one.unwrap(), other.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(8), "the table was not ACTIVE before");
    let calls = aws.calls().of(Service::DynamoDb, "CreateTable");
    check(&aws, "orders").await.unwrap();
    assert_eq!(aws.calls().of(Service::DynamoDb, "CreateTable"), calls, "an existing table is taken as it is");

    let client = aws.dynamodb();
    let table = client.describe_table().table_name("app").send().await.unwrap().table.unwrap();
    assert_eq!(table.billing_mode_summary.unwrap().billing_mode.unwrap().as_str(), "PAY_PER_REQUEST");
    assert_eq!(table.deletion_protection_enabled, Some(true));
    let tags = client.list_tags_of_resource().resource_arn(table.table_arn.unwrap()).send().await.unwrap();
    let mut tags: Vec<_> = tags.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
    tags.sort_unstable();
    assert_eq!(tags, [("kcl-application", "app"), ("team", "orders")]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_another_worker_is_creating_is_waited_for() {
    let aws = with_stream(LocalAws::builder().table_delay(Duration::from_secs(8)).in_process()).await;
    // As if DescribeTable were a moment behind: this worker sees no table, and its creation comes
    // too late.
    let clients = Clients::from_config(&aws.sdk_config()).unwrap();
    prepare_table(&clients.dynamodb, &spec(), 1, 1).await.unwrap();
    aws.faults().once("DescribeTable", Fault::Error("ResourceNotFoundException".to_owned()));
    check(&aws, "orders").await.unwrap();
    assert_eq!(aws.calls().of(Service::DynamoDb, "CreateTable"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_shape_is_refused() {
    let aws = with_stream(LocalAws::in_process()).await;
    let attribute = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::N);
    aws.dynamodb()
        .create_table()
        .table_name("app")
        .attribute_definitions(attribute.build().unwrap())
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .billing_mode(aws_sdk_dynamodb::types::BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    told(check(&aws, "orders").await, Code::TableUnusable, &["`app`", "`HASH id N`", "`HASH leaseKey S`"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named() {
    let cases = [
        ("DescribeStreamSummary", "`kinesis:DescribeStreamSummary` on stream `orders` in Region us-east-1"),
        ("ListShards", "`kinesis:ListShards` on stream `orders` in Region us-east-1"),
        ("GetShardIterator", "`kinesis:GetShardIterator` on stream `orders` in Region us-east-1"),
        ("GetRecords", "`kinesis:GetRecords` on stream `orders` in Region us-east-1"),
        ("DescribeTable", "`dynamodb:DescribeTable` on table `app` in Region us-east-1"),
        ("CreateTable", "`dynamodb:CreateTable` on table `app` in Region us-east-1"),
    ];
    for (operation, said) in cases {
        let aws = with_stream(LocalAws::in_process()).await;
        aws.faults().once(operation, Fault::Error("AccessDeniedException".to_owned()));
        told(check(&aws, "orders").await, Code::Permission, &[said, "AccessDeniedException"]);
        assert_eq!(aws.calls().of(Service::Kinesis, "DescribeStreamSummary"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_stream_is_named() {
    let aws = LocalAws::in_process();
    told(check(&aws, "ordres").await, Code::StreamMissing, &["stream `ordres`", "us-east-1"]);
    assert_eq!(aws.calls().total(Service::DynamoDb), 0, "no table is made for it");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_created_is_waited_for_a_little() {
    let mut config = EngineConfig::in_process();
    config.transitions = Transitions::all(Duration::from_secs(4));
    let aws = with_stream(LocalAws::builder().engine(config.clone()).in_process()).await;
    check(&aws, "orders").await.unwrap();

    config.transitions = Transitions::all(Duration::from_secs(60));
    let aws = with_stream(LocalAws::builder().engine(config).in_process()).await;
    told(check(&aws, "orders").await, Code::StreamMissing, &["stream `orders`", "CREATING"]);
}

/// Makes one operation fail for this time, or permanently.
fn outage(aws: &LocalAws, operation: &'static str, fault: Fault, lasts: Option<Duration>) {
    let began = Instant::now();
    let is_over = move || lasts.is_some_and(|lasts| began.elapsed() >= lasts);
    aws.faults().rule(move |call| (call.operation == operation && !is_over()).then(|| fault.clone()));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_and_the_start_goes_on_within_five_seconds_of_its_end() {
    let lasts = Duration::from_secs(5 * 60);
    for operation in ["DescribeStreamSummary", "DescribeTable"] {
        for fault in [Fault::LostRequest, Fault::Error("InternalServerError".to_owned()), Fault::Throttle] {
            let aws = with_stream(LocalAws::in_process()).await;
            outage(&aws, operation, fault.clone(), Some(lasts));
            let began = Instant::now();
            check(&aws, "orders").await.unwrap();
            let late = began.elapsed().saturating_sub(lasts);
            assert!(late <= Duration::from_secs(5), "{operation}, {fault:?}: {late:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_beyond_the_start_deadline_is_reported_with_call_and_region() {
    for (operation, service) in [("DescribeStreamSummary", "kinesis"), ("DescribeTable", "dynamodb")] {
        let aws = with_stream(LocalAws::in_process()).await;
        outage(&aws, operation, Fault::LostRequest, None);
        let began = Instant::now();
        let error = check(&aws, "orders").await.unwrap_err();
        let deadline = spec().start_deadline;
        let elapsed = began.elapsed();
        assert!(elapsed <= deadline && elapsed + Duration::from_secs(10) > deadline, "{elapsed:?} of {deadline:?}");
        assert_eq!(error.kind(), ErrorKind::Transient);
        let action = format!("`{service}:{operation}`");
        told::<()>(Err(error), Code::Unreachable, &[&action, "us-east-1", "not answered"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_start_at_once() {
    for operation in ["DescribeStreamSummary", "DescribeTable"] {
        for (refusal, code) in
            [("AccessDeniedException", Code::Permission), ("UnrecognizedClientException", Code::Credentials)]
        {
            let aws = with_stream(LocalAws::in_process()).await;
            outage(&aws, operation, Fault::Error(refusal.to_owned()), None);
            let began = Instant::now();
            told(check(&aws, "orders").await, code, &[operation]);
            assert!(began.elapsed() < Duration::from_secs(1), "{operation}, {refusal}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_at_once_waits_out_the_throttling() {
    let aws = with_stream(LocalAws::in_process()).await;
    for _ in 0..5 {
        aws.faults().once("DescribeStreamSummary", Fault::Error("LimitExceededException".to_owned()));
        aws.faults().once("DescribeTable", Fault::Throttle);
    }
    check(&aws, "orders").await.unwrap();
    aws.faults().rule(|call| (call.operation == "DescribeStreamSummary").then_some(Fault::Throttle));
    told(check(&aws, "orders").await, Code::Unreachable, &["throttled"]);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_without_a_region_is_reported_at_once() {
    let config = LocalAws::in_process().sdk_config().to_builder().region(None).build();
    told(Clients::from_config(&config), Code::Region, &["AWS_REGION"]);
}

/// A provider that finds nothing, or never returns.
#[derive(Debug)]
struct Nothing {
    hangs: bool,
}

impl ProvideCredentials for Nothing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let hangs = self.hangs;
        future::ProvideCredentials::new(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Err::<Credentials, _>(CredentialsError::not_loaded("no provider in chain provided credentials"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_reported_before_any_call() {
    let aws = with_stream(LocalAws::in_process()).await;
    aws.reset_calls();
    for (hangs, said) in [(false, "no provider in chain"), (true, "within 5 s")] {
        let provider = SharedCredentialsProvider::new(Nothing { hangs });
        let config = aws.sdk_config().to_builder().credentials_provider(provider).build();
        let clients = Clients::from_config(&config).unwrap();
        let checked = check_reading(&clients, "orders", Retrieval::Polling).await;
        told(checked, Code::Credentials, &["no AWS credentials", said]);
    }
    assert_eq!(aws.calls().total(Service::Kinesis), 0);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_reported() {
    let aws = with_stream(LocalAws::in_process()).await;
    aws.faults().once("DescribeStreamSummary", Fault::Error("UnrecognizedClientException".to_owned()));
    told(check(&aws, "orders").await, Code::Credentials, &["UnrecognizedClientException", "stream `orders`"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_another_region_is_reported_as_such_and_not_as_missing() {
    let aws = LocalAws::in_process();
    let elsewhere = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders";
    told(check(&aws, elsewhere).await, Code::Setting, &["eu-west-1", "us-east-1"]);
}

/// Like an emulator without dry runs: it executes the call.
#[derive(Debug)]
struct NoDryRun;

impl Intercept for NoDryRun {
    fn name(&self) -> &'static str {
        "NoDryRun"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = String::from_utf8(context.request().body().bytes().unwrap_or_default().to_vec())?;
        *context.request_mut().body_mut() = body.replace("\"DryRun\":true", "\"DryRun\":null").into();
        Ok(())
    }
}

fn knows_no_dry_run(aws: &LocalAws) -> Clients {
    let clients = Clients::from_config(&aws.sdk_config()).unwrap();
    let config = clients.kinesis.config().to_builder().interceptor(NoDryRun);
    let kinesis = aws_sdk_kinesis::Client::from_conf(config.build());
    Clients::given(kinesis, clients.coordination_kinesis.clone(), clients.dynamodb)
}

/// Each retrieval, with the operation that it reads by.
const WAYS: [(Retrieval, &str); 3] =
    [(Retrieval::Polling, "GetRecords"), (Retrieval::Auto, "GetRecords"), (Retrieval::FanOut, "SubscribeToShard")];

#[tokio::test(start_paused = true)]
async fn reading_is_tried_once_without_reading() {
    for (retrieval, operation) in WAYS {
        let aws = with_stream(LocalAws::in_process()).await;
        let began = Instant::now();
        for clients in [Clients::from_config(&aws.sdk_config()).unwrap(), knows_no_dry_run(&aws)] {
            let before = aws.calls().of(Service::Kinesis, operation);
            check_reading(&clients, "orders", retrieval).await.unwrap();
            assert_eq!(aws.calls().of(Service::Kinesis, operation) - before, 1, "{retrieval:?}");
            aws.dynamodb().update_table().table_name("app").deletion_protection_enabled(false).send().await.unwrap();
            aws.dynamodb().delete_table().table_name("app").send().await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{retrieval:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_read_as_the_settings_say_is_refused_before_there_is_a_table() {
    let fan_out = [(Retrieval::FanOut, "DescribeStreamConsumer")];
    for (retrieval, operation) in WAYS.into_iter().chain(fan_out) {
        let aws = with_stream(LocalAws::in_process()).await;
        aws.faults()
            .rule(move |call| (call.operation == operation).then(|| Fault::Error("AccessDeniedException".to_owned())));
        let began = Instant::now();
        let clients = Clients::from_config(&aws.sdk_config()).unwrap();
        let checked = check_reading(&clients, "orders", retrieval).await;
        told(checked, Code::Permission, &[&format!("`kinesis:{operation}` on stream `orders`")]);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(aws.calls().total(Service::DynamoDb), 0, "no table is made for it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_wait_for_a_dry_run_without_an_answer() {
    for answer in [
        Fault::Error("ThrottlingException".to_owned()),
        Fault::Error("InternalFailureException".to_owned()),
        Fault::Error("ResourceNotFoundException".to_owned()),
        Fault::LostResponse,
    ] {
        let aws = with_stream(LocalAws::in_process()).await;
        let fault = answer.clone();
        aws.faults().rule(move |call| (call.operation == "GetRecords").then(|| fault.clone()));
        let began = Instant::now();
        check(&aws, "orders").await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "{answer:?}: {:?}", began.elapsed());
        assert!(aws.calls().of(Service::Kinesis, "GetRecords") <= 2);
    }
}
