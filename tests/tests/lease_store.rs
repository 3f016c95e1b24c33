//! The lease table in DynamoDB, over the real SDK: checked by the suite for lease stores, and
//! against rows that Java KCL writes.

#![allow(clippy::unwrap_used, reason = "what helpers of tests unwrap is what the tests assert")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use kcl_core::aws::{Clients, DynamoDbStore, TableSpec, prepare_table};
use kcl_core::lease::conformance::{self, ExternalWriter, Harm};
use kcl_core::lease::{
    Consistency, Lease, LeaseKey, LeaseStore, Owner, PreviousOwner, Row, RowKey, StoreErrorKind, WorkerId, Write,
    Written,
};
use kcl_core::record::{Checkpoint, ShardId, StreamIdentity};
use kcl_local::{Fault, LocalAws, Service};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

const SHARD: &str = "shardId-000000000000";

async fn table(aws: &LocalAws) -> Client {
    let dynamodb = Clients::from_config(&aws.sdk_config()).unwrap().dynamodb;
    let spec = TableSpec {
        name: "app".to_owned(),
        application: "app".to_owned(),
        deletion_protection: false,
        tags: vec![],
        checkpoint_interval: Duration::from_secs(5),
        start_deadline: Duration::from_secs(600),
    };
    prepare_table(&dynamodb, &spec, 1, 1).await.unwrap();
    dynamodb
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

async fn put(client: &Client, item: &Item) {
    client.put_item().table_name("app").set_item(Some(item.clone())).send().await.unwrap();
}

async fn get(client: &Client, key: &str) -> Item {
    client.get_item().table_name("app").key("leaseKey", s(key)).send().await.unwrap().item.unwrap()
}

fn me() -> (WorkerId, u64) {
    (WorkerId::from_row("me"), 9)
}

/// A lease as Java writes it, with every attribute it may have.
fn javas() -> Item {
    [
        ("leaseKey", s(SHARD)),
        ("leaseOwner", s("java")),
        ("leaseCounter", n(4711)),
        ("checkpoint", s("49590338271490256608559692538361571095921575989136588898")),
        ("checkpointSubSequenceNumber", n(0)),
        ("ownerSwitchesSinceCheckpoint", n(1)),
        ("throughputKBps", AttributeValue::N("12.345678".to_owned())),
        ("pendingCheckpoint", s("49590338271490256608559692538361571095921575989136588899")),
        ("pendingCheckpointSubSequenceNumber", n(3)),
        ("pendingCheckpointState", AttributeValue::B(Blob::new(*b"state"))),
        ("checkpointOwner", s("java-before")),
        ("ofTheFuture", AttributeValue::L(vec![n(1)])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn claim(counter: u64, from: PreviousOwner) -> Write {
    let stream = StreamIdentity::new("arn", std::time::UNIX_EPOCH + Duration::from_secs(1));
    Write::Claim { lease: LeaseKey::new(SHARD), counter, from, me: me(), stream, start_ms: None }
}

fn java() -> PreviousOwner {
    PreviousOwner::Owned(Owner { worker: WorkerId::from_row("java"), session: None })
}

fn lease(written: Written) -> Lease {
    let Written::Applied(Some(Row::Lease(lease))) = written else { panic!("not applied to a lease: {written:?}") };
    lease
}

#[tokio::test(start_paused = true)]
async fn the_table_in_dynamodb_is_a_lease_store() {
    for seed in 0..3 {
        let aws = LocalAws::in_process();
        let store = DynamoDbStore::new(table(&aws).await, "app");
        conformance::run(&store, seed).await.unwrap();
    }
}

/// Edits a row, like a person with a text editor who leaves other traces each time.
struct Editor {
    client: Client,
    calls: AtomicUsize,
}

#[async_trait::async_trait]
impl ExternalWriter for Editor {
    async fn harm(&self, key: &RowKey, harm: Harm) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let (order, content) = match key {
            RowKey::Fleet => ("sessions", "assignmentVersion"),
            RowKey::Session(_) => ("number", "state"),
            RowKey::Assignment(_) => ("term", "acquires"),
            RowKey::Stream(_) => ("start", "startAt"),
            RowKey::Lease(_) => unreachable!("the suite harms no leases"),
        };
        let (attribute, value) = match harm {
            Harm::NoKind => ("entityType", None),
            Harm::Order => (order, Some(s(&format!("x{call}")))),
            Harm::Fraction => (order, Some(AttributeValue::N(format!("{call}.5")))),
            Harm::TooLarge => (order, Some(AttributeValue::N(format!("{}{call}", 1_u64 << 62)))),
            Harm::Content => (content, Some(AttributeValue::Bool(true))),
            Harm::OtherKind => ("entityType", Some(s("OF_THE_FUTURE"))),
        };
        let update = self.client.update_item().table_name("app").key("leaseKey", s(&key.to_string()));
        let update = update.expression_attribute_names("#a", attribute);
        let update = match value {
            Some(value) => update.update_expression("SET #a = :v").expression_attribute_values(":v", value),
            None => update.update_expression("REMOVE #a"),
        };
        update.send().await.unwrap();
    }

    async fn remove(&self, key: &RowKey) {
        self.client.delete_item().table_name("app").key("leaseKey", s(&key.to_string())).send().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_read_are_discarded_as_they_were_seen() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let hand = Editor { client: client.clone(), calls: AtomicUsize::new(0) };
    conformance::run_damaged(&DynamoDbStore::new(client, "app"), &hand).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fleet_row_of_a_newer_format_is_refused_with_its_writer_whatever_else_it_contains() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let item = [
        ("leaseKey", s("fleet")),
        ("entityType", s("KCL_FLEET")),
        ("format", n(7)),
        ("writer", s("kcl-core 9.1.0")),
        ("term", AttributeValue::L(vec![])),
    ];
    put(&client, &item.map(|(name, value)| (name.to_owned(), value)).into()).await;
    let fleet = DynamoDbStore::new(client, "app").scan().await.unwrap().fleet.unwrap();
    let why = fleet.is_too_new().unwrap();
    assert!(why.contains("format 7, which kcl-core 9.1.0 wrote"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn javas_attributes_survive_our_writes() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let store = DynamoDbStore::new(client.clone(), "app");
    put(&client, &javas()).await;

    let claimed = lease(store.write(&claim(4711, java())).await.unwrap());
    assert!(claimed.is_held_by(&me().0, 9) && !claimed.was_written_externally());
    assert_eq!((claimed.counter, claimed.owner_switches), (4712, 2));

    let mut expected = javas();
    expected.remove("checkpointOwner");
    for (name, value) in [
        ("leaseOwner", s("me")),
        ("leaseCounter", n(4712)),
        ("ownerSwitchesSinceCheckpoint", n(2)),
        ("kclSession", n(9)),
        ("kclCounter", n(4712)),
        ("kclStream", s("arn@1")),
    ] {
        expected.insert(name.to_owned(), value);
    }
    assert_eq!(get(&client, SHARD).await, expected);

    let release = Write::Release {
        lease: LeaseKey::new(SHARD),
        me: me(),
        counter: 4712,
        checkpoint: claimed.checkpoint,
        extras: kcl_core::lease::CheckpointExtras::default(),
    };
    assert_eq!(lease(store.write(&release).await.unwrap()).owner, None);
    for removed in [
        "leaseOwner",
        "kclSession",
        "pendingCheckpoint",
        "pendingCheckpointSubSequenceNumber",
        "pendingCheckpointState",
    ] {
        expected.remove(removed);
    }
    for (name, value) in [("leaseCounter", n(4713)), ("ownerSwitchesSinceCheckpoint", n(0)), ("kclCounter", n(4713))] {
        expected.insert(name.to_owned(), value);
    }
    assert_eq!(get(&client, SHARD).await, expected);
}

#[tokio::test(start_paused = true)]
async fn javas_other_rows_are_skipped_and_damaged_ones_are_reported() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let store = DynamoDbStore::new(client.clone(), "app");
    put(&client, &javas()).await;
    put(
        &client,
        &[("leaseKey", s("java")), ("entityType", s("WORKER_METRIC_STATS"))].map(|(k, v)| (k.to_owned(), v)).into(),
    )
    .await;
    let mut damaged = javas();
    damaged.insert("leaseKey".to_owned(), s("shardId-000000000001"));
    damaged.insert("leaseCounter".to_owned(), s("many"));
    put(&client, &damaged).await;

    let table = store.scan().await.unwrap();
    assert_eq!(table.leases.iter().map(|lease| lease.key.as_str()).collect::<Vec<_>>(), [SHARD]);
    assert!(table.leases[0].was_written_externally());
    assert_eq!(table.damaged.len(), 1);
    assert_eq!(table.damaged[0].key, RowKey::Lease(LeaseKey::new("shardId-000000000001")));
    assert!(table.damaged[0].why.contains("`leaseCounter`"), "{}", table.damaged[0].why);
}

#[tokio::test(start_paused = true)]
async fn a_whole_table_is_read_page_by_page() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let store = DynamoDbStore::new(client.clone(), "app");
    // Scan answers with at most 1 MB: twelve rows of 300 KB are four pages or more.
    for shard in 0..12 {
        let mut item = javas();
        item.insert("leaseKey".to_owned(), s(&format!("shardId-{shard:012}")));
        item.insert("ofTheFuture".to_owned(), s(&"x".repeat(300_000)));
        put(&client, &item).await;
    }
    aws.reset_calls();
    assert_eq!(store.scan().await.unwrap().leases.len(), 12);
    assert!(aws.calls().of(Service::DynamoDb, "Scan") >= 4);

    // A page that fails is repeated, and not the pages before it.
    aws.reset_calls();
    aws.faults().once("Scan", Fault::Delay(Duration::ZERO));
    aws.faults().once("Scan", Fault::Throttle);
    assert_eq!(store.scan().await.unwrap().leases.len(), 12);
    assert!(aws.calls().of(Service::DynamoDb, "Scan") <= 6);

    // A page is no larger than requested, and may take longer than a call for one row.
    aws.faults().once("Scan", Fault::Delay(Duration::from_secs(20)));
    let page = store.scan_page(None, 2).await.unwrap();
    assert_eq!((page.rows.leases.len(), page.next.is_some()), (2, true));
    assert_eq!(store.scan_page(page.next.as_ref(), 1).await.unwrap().rows.leases.len(), 1);
}

/// Like DynamoDB Local, which does not return the old item with a refusal.
#[derive(Debug)]
struct WithoutOldItems;

impl Intercept for WithoutOldItems {
    fn name(&self) -> &'static str {
        "WithoutOldItems"
    }
    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(update) = context.input_mut().downcast_mut::<UpdateItemInput>() {
            update.return_values_on_condition_check_failure = None;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_the_old_row_is_followed_by_a_look() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    put(&client, &javas()).await;
    let config = client.config().to_builder().interceptor(WithoutOldItems).build();
    let bare = DynamoDbStore::new(Client::from_conf(config), "app");
    let full = DynamoDbStore::new(client, "app");

    aws.reset_calls();
    let refused = full.write(&claim(1, java())).await.unwrap();
    assert_eq!(aws.calls().of(Service::DynamoDb, "GetItem"), 0);
    assert_eq!(bare.write(&claim(1, java())).await.unwrap(), refused);
    assert_eq!(aws.calls().of(Service::DynamoDb, "GetItem"), 1);
    let Written::Refused(Some(Row::Lease(lease))) = refused else { panic!("{refused:?}") };
    assert_eq!(lease.counter, 4711);
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_the_caller_can_do() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    put(&client, &javas()).await;
    let store = DynamoDbStore::new(client.clone(), "app");
    let key = [RowKey::Fleet];
    let failures = [
        (Fault::Throttle, StoreErrorKind::Throttled, "was throttled: ProvisionedThroughputExceededException"),
        (Fault::Error("InternalServerError".to_owned()), StoreErrorKind::Unanswered, "was not answered"),
        (Fault::LostRequest, StoreErrorKind::Unanswered, "was not answered"),
        (Fault::CutResponse, StoreErrorKind::Unanswered, "was not answered"),
        (Fault::Error("AccessDeniedException".to_owned()), StoreErrorKind::Refused, "AccessDeniedException"),
        (Fault::Error("ValidationException".to_owned()), StoreErrorKind::Refused, "ValidationException"),
    ];
    for (fault, kind, said) in failures {
        aws.reset_calls();
        aws.faults().once("GetItem", fault.clone());
        let read = tokio::time::timeout(Duration::from_secs(60), store.read(&key, Consistency::Eventual));
        let error = read.await.unwrap().unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        let names = "`dynamodb:GetItem` on table `app`";
        assert!(error.message.contains(names) && error.message.contains(said), "{error}");
        assert_eq!(aws.calls().of(Service::DynamoDb, "GetItem"), 1, "one attempt a call");
    }

    // An answer lacks what DynamoDB always sends, so something else has answered and the result is
    // unknown.
    let empty = Fault::Answer { status: 200, body: "{}".to_owned() };
    for operation in ["Scan", "BatchGetItem", "UpdateItem"] {
        aws.faults().once(operation, empty.clone());
        let error = match operation {
            "Scan" => store.scan_page(None, 1_000).await.map(drop),
            "BatchGetItem" => {
                store.read(&[RowKey::Fleet, RowKey::Lease(LeaseKey::new(SHARD))], Consistency::Strong).await.map(drop)
            }
            _ => store.write(&claim(4710, java())).await.map(drop),
        };
        assert_eq!(error.unwrap_err().kind, StoreErrorKind::Unanswered, "{operation}");
    }
    // The write may have been applied; here it was.
    aws.faults().once("UpdateItem", Fault::LostResponse);
    assert_eq!(store.write(&claim(4711, java())).await.unwrap_err().kind, StoreErrorKind::Unanswered);
    let row = store.read(&[RowKey::Lease(LeaseKey::new(SHARD))], Consistency::Strong).await.unwrap().remove(0).unwrap();
    assert!(row.as_lease().unwrap().is_held_by(&me().0, 9));

    let nowhere = DynamoDbStore::new(client, "elsewhere");
    let error = nowhere.scan().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(error.message.contains("table `elsewhere`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn more_rows_than_a_batch_takes_come_in_the_order_asked_for() {
    let aws = LocalAws::in_process();
    let store = DynamoDbStore::new(table(&aws).await, "app");
    let shard = |n: usize| ShardId::new(format!("shardId-{n:012}"));
    for number in 0..150 {
        let lease = Lease::unowned(shard(number), Checkpoint::TrimHorizon);
        lease_created(store.write(&Write::CreateLease(Box::new(lease))).await.unwrap());
    }
    aws.reset_calls();
    let keys: Vec<RowKey> = (0..160).rev().map(|number| RowKey::Lease(LeaseKey::from(&shard(number)))).collect();
    let rows = store.read(&keys, Consistency::Eventual).await.unwrap();
    assert!(rows[..10].iter().all(Option::is_none));
    let read: Vec<RowKey> = rows[10..].iter().map(|row| row.as_ref().unwrap().key()).collect();
    assert_eq!(read, keys[10..]);
    assert_eq!(aws.calls().of(Service::DynamoDb, "BatchGetItem"), 2);
}

/// Like a service that runs out of time: every second row is missing from the first answers.
#[derive(Debug)]
struct HalfAnswers(AtomicUsize);

impl Intercept for HalfAnswers {
    fn name(&self) -> &'static str {
        "HalfAnswers"
    }
    fn modify_before_attempt_completion(
        &self,
        context: &mut FinalizerInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Ok(output)) = context.output_or_error_mut() else { return Ok(()) };
        let Some(output) = output.downcast_mut::<BatchGetItemOutput>() else { return Ok(()) };
        let halve = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let Some(items) = output.responses.as_mut().and_then(|tables| tables.get_mut("app")).filter(|_| halve) else {
            return Ok(());
        };
        let left_out = items.split_off(items.len() / 2);
        let keys = left_out.into_iter().map(|item| Item::from([("leaseKey".to_owned(), item["leaseKey"].clone())]));
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).build()?;
        output.unprocessed_keys = Some(HashMap::from([("app".to_owned(), keys)]));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn rows_missing_from_an_answer_are_requested_again_a_bounded_number_of_times() {
    let aws = LocalAws::in_process();
    let client = table(&aws).await;
    let full = DynamoDbStore::new(client.clone(), "app");
    let shard = |n: usize| ShardId::new(format!("shardId-{n:012}"));
    for number in 0..40 {
        let lease = Lease::unowned(shard(number), Checkpoint::TrimHorizon);
        lease_created(full.write(&Write::CreateLease(Box::new(lease))).await.unwrap());
    }
    let keys: Vec<RowKey> = (0..40).map(|number| RowKey::Lease(LeaseKey::from(&shard(number)))).collect();
    let halving = |times| {
        let config = client.config().to_builder().interceptor(HalfAnswers(AtomicUsize::new(times))).build();
        DynamoDbStore::new(Client::from_conf(config), "app")
    };
    let rows = halving(3).read(&keys, Consistency::Eventual).await.unwrap();
    assert!(rows.iter().all(Option::is_some));
    let error = halving(4).read(&keys, Consistency::Eventual).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Throttled, "{error}");
}

fn lease_created(written: Written) {
    assert!(matches!(written, Written::Applied(Some(Row::Lease(_)))), "{written:?}");
}
