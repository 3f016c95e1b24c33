//! Two streams, one fleet: orders in the shop's account, payments in the bank's, and what is still to be paid.
//!
//! Everything is in this process: an embedded AWS for each account. The first worker knows orders only. The second, as a
//! deploy would bring it, reads both streams, and the first is told of the other while it runs. At the end the bank's stream
//! is removed again, and rests where it stands.

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

const PAYMENTS: &str = "arn:aws:kinesis:eu-west-1:222222222222:stream/payments";
const CUSTOMERS: u32 = 40;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What each customer owes, in cents, and how many records of each stream made it so.
type Balances = (BTreeMap<String, i64>, u32, u32);

#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<Balances>>);

impl Ledger {
    fn with<T>(&self, look: impl FnOnce(&mut Balances) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until so many orders and payments were booked.
    async fn booked(&self, orders: u32, payments: u32) -> Result<(), Failure> {
        let done = || self.with(|(_, o, p)| *o >= orders && *p >= payments);
        let wait = async {
            while !done() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), wait).await.map_err(|_| "not everything was booked within a minute".into())
    }
}

#[derive(serde::Deserialize)]
struct Entry {
    customer: String,
    cents: i64,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "placed")]
struct Orders(Ledger);

impl Orders {
    async fn placed(&self, order: Entry, _: &RecordMeta) -> Result<(), BoxError> {
        self.0.with(|(owed, orders, _)| {
            *owed.entry(order.customer).or_default() += order.cents;
            *orders += 1;
        });
        Ok(())
    }
}

#[derive(RecordProcessor)]
#[processor(json, handler = "received")]
struct Payments(Ledger);

impl Payments {
    async fn received(&self, payment: Entry, _: &RecordMeta) -> Result<(), BoxError> {
        self.0.with(|(owed, _, payments)| {
            *owed.entry(payment.customer).or_default() -= payment.cents;
            *payments += 1;
        });
        Ok(())
    }
}

/// The two accounts, and what is known of them.
struct Place {
    shop: LocalAws,
    bank: LocalAws,
    ledger: Ledger,
}

impl Place {
    async fn new() -> Result<Self, Failure> {
        let shop = LocalAws::builder().account("111111111111").region("us-east-1").in_process();
        let bank = LocalAws::builder().account("222222222222").region("eu-west-1").in_process();
        shop.kinesis().create_stream().stream_name("orders").shard_count(4).send().await?;
        bank.kinesis().create_stream().stream_name("payments").shard_count(2).send().await?;
        Ok(Place { shop, bank, ledger: Ledger::default() })
    }

    fn orders(&self) -> StreamConfig {
        let ledger = self.ledger.clone();
        StreamConfig::new("orders", move |_: &ShardId| Orders(ledger.clone()))
    }

    /// In another account and Region, reached with a configuration of its own.
    fn payments(&self) -> StreamConfig {
        let ledger = self.ledger.clone();
        let payments = StreamConfig::new(PAYMENTS, move |_: &ShardId| Payments(ledger.clone()));
        payments.sdk_config(&self.bank.sdk_config())
    }

    /// The lease table is in the shop's account.
    fn worker(&self, id: &str) -> WorkerBuilder<Streams> {
        Worker::of_streams("ledger").worker_id(id).sdk_config(&self.shop.sdk_config())
    }

    /// Who has how many leases of each stream.
    async fn shares(&self) -> Result<BTreeMap<(String, String), u32>, Failure> {
        let mut shares = BTreeMap::new();
        let rows = self.shop.dynamodb().scan().table_name("ledger").send().await?;
        for row in rows.items() {
            let text = |name: &str| row.get(name).and_then(|value| value.as_s().ok()).cloned();
            if let Some(stream) = text("streamName") {
                let stream = stream.split(':').nth(1).unwrap_or_default().to_owned();
                *shares.entry((stream, text("leaseOwner").unwrap_or_else(|| "nobody".to_owned()))).or_default() += 1;
            }
        }
        Ok(shares)
    }

    async fn tell(&self, what: &str) -> Result<(), Failure> {
        println!("{what}");
        for ((stream, owner), leases) in self.shares().await? {
            println!("  {stream}: {owner} reads {leases} shards");
        }
        Ok(())
    }
}

async fn feed(aws: &LocalAws, stream: &str, records: u32, cents: i64) -> Result<(), Failure> {
    for n in 0..records {
        let customer = format!("customer-{}", n % CUSTOMERS);
        let entry = serde_json::json!({ "customer": customer, "cents": cents }).to_string();
        let put = aws.kinesis().put_record().stream_name(stream).partition_key(customer);
        put.data(Blob::new(entry)).send().await?;
    }
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let place = Place::new().await?;
    feed(&place.shop, "orders", 400, 1_000).await?;

    let (one, first) = start(place.worker("one").stream(place.orders())).await?;
    place.ledger.booked(400, 0).await?;
    place.tell("One worker, which knows the orders only:").await?;

    feed(&place.bank, "payments", 300, 1_000).await?;
    let (two, second) = start(place.worker("two").stream(place.orders()).stream(place.payments())).await?;
    place.ledger.booked(400, 300).await?;
    one.add_stream(place.payments()).await?;
    sleep(Duration::from_secs(2)).await;
    place.tell("A second one, which knows both, and the first was told:").await?;

    for worker in [&one, &two] {
        worker.remove_stream(PAYMENTS).await?;
    }
    feed(&place.shop, "orders", 100, 1_000).await?;
    place.ledger.booked(500, 300).await?;
    place.tell("Payments are removed again; their leases rest where they stand:").await?;

    for (worker, task) in [(one, first), (two, second)] {
        worker.shutdown(Duration::from_secs(10)).await;
        task.await??;
    }
    let (customers, orders, payments, open) =
        place.ledger.with(|(owed, orders, payments)| (owed.len(), *orders, *payments, owed.values().sum::<i64>()));
    println!("{customers} customers, {orders} orders, {payments} payments: {} still to be paid", open / 100);
    if (orders, payments, open) != (500, 300, 200_000) {
        return Err("some record was lost or booked twice".into());
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
