//! Answers that never end, against readers and the lease table over real connections: memory is
//! bounded, the call fails, and the next call is answered.

#![cfg(test)]

use kcl_core::aws::{Clients, DynamoDbStore, KinesisStream};
use kcl_core::lease::{LeaseStore, StoreErrorKind};
use kcl_core::record::{ShardId, StartingPosition, StreamRef};
use kcl_core::shard::{ApiError, ApiErrorKind, ListWhich, StreamApi, SubscribeRequest};
use kcl_local::LocalAws;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const JSON: &str = "application/x-amz-json-1.1";
const EVENTS: &str = "application/vnd.amazon.eventstream";
/// The most bytes in the sockets of both ends that nobody reads any more.
const SOCKETS: u64 = 16 * 1024 * 1024;

/// A server that answers every request with the same beginning and never ends.
struct Endless {
    sent: Arc<AtomicU64>,
    clients: Clients,
    _server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Answer {
    kind: &'static str,
    begin: &'static [u8],
    /// Sent over and over.
    chunk: Vec<u8>,
    pause: Duration,
}

impl Answer {
    /// As fast as the connection accepts it.
    fn fast(kind: &'static str, begin: &'static [u8]) -> Self {
        Answer { kind, begin, chunk: vec![b' '; 64 * 1024], pause: Duration::ZERO }
    }

    /// A byte a second.
    fn slow(begin: &'static [u8]) -> Self {
        Answer { kind: JSON, begin, chunk: vec![b' '], pause: Duration::from_secs(1) }
    }

    async fn send(&self, socket: &mut TcpStream, sent: &AtomicU64) -> std::io::Result<()> {
        let mut request = [0; 16 * 1024];
        if socket.read(&mut request).await? == 0 {
            return Ok(());
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\nconnection: close\r\n\r\n", self.kind);
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(self.begin).await?;
        loop {
            socket.write_all(&self.chunk).await?;
            sent.fetch_add(self.chunk.len() as u64, Ordering::Relaxed);
            tokio::time::sleep(self.pause).await;
        }
    }
}

impl Endless {
    async fn serve(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let server = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (answer, sent) = (answer.clone(), counted.clone());
                // Ends when the client closes the connection.
                tokio::spawn(async move { Box::pin(answer.send(&mut socket, &sent)).await });
            }
        });
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = LocalAws::in_process().sdk_config().to_builder().http_client(http).endpoint_url(endpoint).build();
        Endless { sent, clients: Clients::from_config(&config).unwrap(), _server: server }
    }

    fn stream(&self) -> KinesisStream {
        KinesisStream::new(&self.clients.kinesis, StreamRef::from("s"))
    }

    /// The number of bytes sent in this many calls, each of which failed.
    #[track_caller]
    fn at_most(&self, bytes: u64) {
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent < bytes + SOCKETS, "{sent} bytes were taken, {bytes} allowed");
    }
}

#[track_caller]
fn given_up<T: std::fmt::Debug>(result: Result<T, ApiError>, said: &str) {
    let error = result.expect_err("an error");
    assert_eq!(error.kind, ApiErrorKind::Unavailable, "{error}");
    assert!(error.message.contains(said), "{error}");
}

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn records_that_never_end_are_given_up_at_what_was_asked_for() {
    let server = Endless::serve(Answer::fast(JSON, b"{\"Records\":[")).await;
    given_up(server.stream().get_records("iterator", 10).await, "the response is longer than");
    server.at_most(15 * MIB);
    given_up(server.stream().list_shards(ListWhich::All).await, "the response is longer than");
    server.at_most(31 * MIB + SOCKETS);
}

#[tokio::test]
async fn a_table_that_never_ends_is_given_up() {
    let server = Endless::serve(Answer::fast("application/x-amz-json-1.0", b"{\"Items\":[")).await;
    let store = DynamoDbStore::new(server.clients.dynamodb.clone(), "app");
    let error = store.scan_page(None, 1_000).await.expect_err("an error");
    assert_eq!(error.kind, StoreErrorKind::Unanswered, "{error}");
    server.at_most(16 * MIB);
}

#[tokio::test]
async fn a_message_that_claims_gigabytes_is_given_up_at_its_beginning() {
    let prelude = b"\xff\xff\xff\xf0\x00\x00\x00\x00\x00\x00\x00\x00";
    let server = Endless::serve(Answer::fast(EVENTS, prelude)).await;
    let fan_out = server.stream().fan_out().unwrap();
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/app:1";
    let shard = ShardId::new("shardId-000000000000");
    let from = &StartingPosition::TrimHorizon;
    let request = SubscribeRequest { consumer_arn: arn, shard: &shard, from };
    let subscription = fan_out.subscribe(request).await;
    let failed = match subscription {
        Ok(mut subscription) => subscription.next().await.map(drop),
        Err(error) => Err(error),
    };
    given_up(failed, "a message of the event stream has 4294967280 bytes");
    server.at_most(0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_byte_by_byte_has_the_deadline_of_its_call() {
    let server = Endless::serve(Answer::slow(b"{\"Records\":[")).await;
    let began = Instant::now();
    given_up(server.stream().get_records("iterator", 10).await, "the call timed out");
    assert_eq!(began.elapsed().as_secs(), 15);
}
