//! One fleet that reads two streams of different AWS accounts: orders in the shop's account,
//! payments in the bank's. It computes the amount that each customer still owes.
//!
//! Everything runs in this process, with an embedded AWS per account. The steps:
//!
//! 1. A first worker reads the orders only.
//! 2. A second worker, the next version in a rolling deploy, reads both streams. Then the first
//!    worker adds the payments while it runs.
//! 3. Both workers remove the payments again. Their leases stay in the table with their
//!    checkpoints.

use aws_sdk_kinesis::primitives::Blob;
use kcl_core::prelude::*;
use kcl_core::{Error, StreamConfig, Streams, WorkerBuilder};
use kcl_local::LocalAws;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The lease table has the application's name.
const APPLICATION: &str = "ledger";
/// A stream of another account is named by its ARN.
const PAYMENTS: &str = "arn:aws:kinesis:eu-west-1:222222222222:stream/payments";
const CUSTOMERS: u32 = 40;
/// Every order and every payment is about this amount.
const AMOUNT_CENTS: i64 = 1_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Default)]
struct Books {
    /// The amount that each customer owes, in cents.
    owed: BTreeMap<String, i64>,
    orders: u32,
    payments: u32,
}

/// The books, shared by the processors of all shards.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<Books>>);

impl Ledger {
    fn with<T>(&self, operation: impl FnOnce(&mut Books) -> T) -> T {
        operation(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until at least these numbers of orders and payments are booked.
    async fn until_booked(&self, orders: u32, payments: u32) -> Result<(), Failure> {
        let is_booked = || self.with(|books| books.orders >= orders && books.payments >= payments);
        let wait = async {
            while !is_booked() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), wait).await.map_err(|_| "not everything was booked within a minute".into())
    }
}

/// The payload of the records of both streams.
#[derive(serde::Deserialize)]
struct Entry {
    customer: String,
    cents: i64,
}

/// Books the orders of one shard.
#[derive(RecordProcessor)]
#[processor(json, handler = "placed")]
struct Orders(Ledger);

impl Orders {
    async fn placed(&self, order: Entry, _: &RecordMeta) -> Result<(), BoxError> {
        self.0.with(|books| {
            *books.owed.entry(order.customer).or_default() += order.cents;
            books.orders += 1;
        });
        Ok(())
    }
}

/// Books the payments of one shard.
#[derive(RecordProcessor)]
#[processor(json, handler = "received")]
struct Payments(Ledger);

impl Payments {
    async fn received(&self, payment: Entry, _: &RecordMeta) -> Result<(), BoxError> {
        self.0.with(|books| {
            *books.owed.entry(payment.customer).or_default() -= payment.cents;
            books.payments += 1;
        });
        Ok(())
    }
}

/// The two accounts with their streams, and the ledger.
struct Accounts {
    shop: LocalAws,
    bank: LocalAws,
    ledger: Ledger,
}

impl Accounts {
    async fn new() -> Result<Self, Failure> {
        let shop = LocalAws::builder().account("111111111111").region("us-east-1").in_process();
        let bank = LocalAws::builder().account("222222222222").region("eu-west-1").in_process();
        shop.kinesis().create_stream().stream_name("orders").shard_count(4).send().await?;
        bank.kinesis().create_stream().stream_name("payments").shard_count(2).send().await?;
        Ok(Accounts { shop, bank, ledger: Ledger::default() })
    }

    fn orders(&self) -> StreamConfig {
        let ledger = self.ledger.clone();
        StreamConfig::new("orders", move |_: &ShardId| Orders(ledger.clone()))
    }

    /// The payments are in another account and Region, so the stream has its own SDK configuration.
    fn payments(&self) -> StreamConfig {
        let ledger = self.ledger.clone();
        let payments = StreamConfig::new(PAYMENTS, move |_: &ShardId| Payments(ledger.clone()));
        payments.sdk_config(&self.bank.sdk_config())
    }

    /// A worker with the lease table in the shop's account.
    fn worker(&self, id: &str) -> WorkerBuilder<Streams> {
        Worker::of_streams(APPLICATION).worker_id(id).sdk_config(&self.shop.sdk_config())
    }

    /// Prints how many shards of each stream each worker reads, as the lease table shows it.
    async fn print_assignments(&self, heading: &str) -> Result<(), Failure> {
        println!("{heading}");
        let mut leases: BTreeMap<(String, String), u32> = BTreeMap::new();
        let table = self.shop.dynamodb().scan().table_name(APPLICATION).send().await?;
        for row in table.items() {
            let text = |name: &str| row.get(name).and_then(|value| value.as_s().ok()).cloned();
            // Rows without `streamName` are not leases. Its value is `account:stream:creation`.
            if let Some(stream) = text("streamName") {
                let stream = stream.split(':').nth(1).unwrap_or_default().to_owned();
                let owner = text("leaseOwner").unwrap_or_else(|| "no worker".to_owned());
                *leases.entry((stream, owner)).or_default() += 1;
            }
        }
        for ((stream, owner), shards) in leases {
            println!("  {stream}: {owner} reads {shards} shards");
        }
        Ok(())
    }
}

async fn put(aws: &LocalAws, stream: &str, records: u32) -> Result<(), Failure> {
    for n in 0..records {
        let customer = format!("customer-{}", n % CUSTOMERS);
        let entry = serde_json::json!({ "customer": customer, "cents": AMOUNT_CENTS }).to_string();
        let put = aws.kinesis().put_record().stream_name(stream).partition_key(customer);
        put.data(Blob::new(entry)).send().await?;
    }
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let accounts = Accounts::new().await?;
    let ledger = &accounts.ledger;
    put(&accounts.shop, "orders", 400).await?;

    let (one, first) = start(accounts.worker("one").stream(accounts.orders())).await?;
    ledger.until_booked(400, 0).await?;
    accounts.print_assignments("One worker reads the orders:").await?;

    put(&accounts.bank, "payments", 300).await?;
    let (two, second) = start(accounts.worker("two").stream(accounts.orders()).stream(accounts.payments())).await?;
    ledger.until_booked(400, 300).await?;
    one.add_stream(accounts.payments()).await?;
    // Time for the leader to rebalance the leases of both streams.
    sleep(Duration::from_secs(2)).await;
    accounts.print_assignments("A second worker reads both streams, and the first has added the payments:").await?;

    for worker in [&one, &two] {
        worker.remove_stream(PAYMENTS).await?;
    }
    put(&accounts.shop, "orders", 100).await?;
    ledger.until_booked(500, 300).await?;
    accounts.print_assignments("The payments are removed; their leases keep their checkpoints:").await?;

    for (worker, task) in [(one, first), (two, second)] {
        worker.shutdown(Duration::from_secs(10)).await;
        task.await??;
    }
    let (customers, orders, payments, owed) =
        ledger.with(|books| (books.owed.len(), books.orders, books.payments, books.owed.values().sum::<i64>()));
    println!("{customers} customers, {orders} orders, {payments} payments: {} still to be paid", owed / 100);
    // Every handler call succeeded and no worker crashed, so each record was processed exactly
    // once.
    if (orders, payments, owed) != (500, 300, 200 * AMOUNT_CENTS) {
        return Err("a record was lost or booked twice".into());
    }
    Ok(())
}

async fn start(builder: WorkerBuilder<Streams>) -> Result<(WorkerHandle, JoinHandle<Result<(), Error>>), Failure> {
    let worker = builder.build().await?;
    Ok((worker.handle(), tokio::spawn(worker.run())))
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(kcl_examples::has_colors());
    log.with_writer(std::io::stderr).init();
    match Box::pin(run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger: {error}");
            ExitCode::FAILURE
        }
    }
}
