//! Tests connections with an HTTP/2 client: frames, limits, and faults of connections.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::subscription_tests::with_consumer;
use crate::builder::Builder;
use crate::kinesis::EngineConfig;
use crate::{Fault, LocalAws, Service, StreamFault};

const SHARD: &str = "shardId-000000000000";
/// Longer than any step of these tests takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server with a stream of one shard and an event every 10 ms, and the ARN of a consumer.
async fn start(builder: Builder) -> (LocalAws, String) {
    let mut engine = EngineConfig::in_process();
    engine.idle_event_interval = Duration::from_millis(10);
    with_consumer(builder.engine(engine).start().await.unwrap()).await
}

/// One HTTP/2 connection.
struct Client {
    uri: String,
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(aws: &LocalAws) -> Self {
        let uri = aws.endpoint(Service::Kinesis).to_owned();
        let address = uri.rsplit('/').next().unwrap();
        Self::over(TcpStream::connect(address).await.unwrap(), uri).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, uri: String) -> Self {
        let (send, connection) = h2::client::handshake(io).await.unwrap();
        Self { uri, send, connection: tokio::spawn(connection) }
    }

    async fn call(&self, operation: &str, body: String) -> Result<Response<RecvStream>, h2::Error> {
        let request = Request::post(&self.uri)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0")
            .body(())
            .unwrap();
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(request, false)?;
        stream.send_data(body.into(), true)?;
        answer.await
    }

    async fn subscribe(&self, arn: &str) -> RecvStream {
        let position = r#"{"Type":"LATEST"}"#;
        let body = format!(r#"{{"ConsumerARN":"{arn}","ShardId":"{SHARD}","StartingPosition":{position}}}"#);
        let answer = self.call("SubscribeToShard", body).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
        answer.into_body()
    }

    async fn list(&self) -> Result<u16, h2::Error> {
        Ok(self.call("ListStreams", "{}".to_owned()).await?.status().as_u16())
    }

    /// Returns the result of the connection.
    async fn end(self) -> Result<(), h2::Error> {
        tokio::time::timeout(TIMEOUT, self.connection).await.unwrap().unwrap()
    }
}

/// Reads the body to its end. Returns the number of chunks, and the result.
async fn read_to_end(body: &mut RecvStream) -> (usize, Result<(), h2::Error>) {
    for count in 0.. {
        match tokio::time::timeout(TIMEOUT, body.data()).await.unwrap() {
            Some(Ok(data)) => body.flow_control().release_capacity(data.len()).unwrap(),
            Some(Err(error)) => return (count, Err(error)),
            None => return (count, Ok(())),
        }
    }
    unreachable!("a body ends")
}

#[tokio::test]
async fn a_cut_stream_is_reset_and_its_connection_continues() {
    let (aws, arn) = start(LocalAws::builder()).await;
    let client = Client::connect(&aws).await;
    aws.faults().once("SubscribeToShard", Fault::stream(2, StreamFault::Cut));
    let (_, end) = read_to_end(&mut client.subscribe(&arn).await).await;
    assert!(end.unwrap_err().is_reset());
    assert_eq!(client.list().await.unwrap(), 200);
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_its_requests_and_accepts_no_new_ones() {
    let (aws, arn) = start(LocalAws::builder()).await;
    let client = Client::connect(&aws).await;
    let mut before = client.subscribe(&arn).await;
    aws.faults().once("SubscribeToShard", Fault::stream(2, StreamFault::GoAway));
    // The subscription of another consumer triggers the fault.
    let register = aws.kinesis().register_stream_consumer().consumer_name("other");
    let other = register.stream_arn("arn:aws:kinesis:us-east-1:000000000000:stream/clicks").send().await.unwrap();
    let mut trigger = client.subscribe(other.consumer.unwrap().consumer_arn()).await;
    let going_away = async {
        while client.list().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, going_away).await.unwrap();
    for body in [&mut before, &mut trigger] {
        for _ in 0..5 {
            let data = tokio::time::timeout(TIMEOUT, body.data()).await.unwrap().unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
    }
    // A new connection works.
    assert_eq!(Client::connect(&aws).await.list().await.unwrap(), 200);
}

#[tokio::test]
async fn a_cut_connection_ends_all_of_its_streams() {
    let (aws, arn) = start(LocalAws::builder()).await;
    let client = Client::connect(&aws).await;
    aws.faults().once("SubscribeToShard", Fault::stream(2, StreamFault::CutConnection));
    let (_, end) = read_to_end(&mut client.subscribe(&arn).await).await;
    assert!(end.is_err_and(|error| !error.is_reset()));
    assert!(client.list().await.is_err());
}

#[tokio::test]
async fn a_connection_announces_its_maximum_number_of_streams() {
    for (builder, max) in [(LocalAws::builder(), 128), (LocalAws::builder().max_concurrent_streams(3), 3)] {
        let (aws, _) = start(builder).await;
        let client = Client::connect(&aws).await;
        client.list().await.unwrap();
        assert_eq!(client.send.current_max_send_streams(), max);
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_subscription_is_not() {
    let (aws, arn) = start(LocalAws::builder().idle_connections(Duration::from_millis(50))).await;
    let client = Client::connect(&aws).await;
    let mut body = client.subscribe(&arn).await;
    // 20 messages at 10 ms each take longer than the idle timeout.
    for _ in 0..20 {
        let data = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(client.list().await.unwrap(), 200);
    drop(body);
    client.end().await.unwrap();
}

#[tokio::test]
async fn a_subscription_of_a_closed_client_frees_its_slot() {
    let (aws, arn) = start(LocalAws::builder()).await;
    let client = Client::connect(&aws).await;
    drop(client.subscribe(&arn).await);
    let again = async {
        let body = format!(r#"{{"ConsumerARN":"{arn}","ShardId":"{SHARD}","StartingPosition":{{"Type":"LATEST"}}}}"#);
        while client.call("SubscribeToShard", body.clone()).await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, again).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_subscriptions_and_closes_connections_gracefully() {
    let (aws, arn) = start(LocalAws::builder()).await;
    let client = Client::connect(&aws).await;
    let mut body = client.subscribe(&arn).await;
    let ((_, end), ()) = futures_util::future::join(read_to_end(&mut body), aws.shutdown()).await;
    end.unwrap();
    client.end().await.unwrap();
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;

    async fn connect(
        aws: &LocalAws,
        trusted: &str,
        name: &'static str,
        alpn: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let socket = TcpStream::connect(aws.endpoint(Service::Kinesis).rsplit('/').next().unwrap()).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), socket).await
    }

    #[tokio::test]
    async fn http2_is_negotiated_and_carries_a_subscription() {
        let (aws, arn) = start(LocalAws::builder().tls(true)).await;
        let certificate = aws.certificate().unwrap();
        for name in ["localhost", "127.0.0.1"] {
            let io = connect(&aws, certificate, name, &["h2", "http/1.1"]).await.unwrap();
            assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let client = Client::over(io, aws.endpoint(Service::Kinesis).to_owned()).await;
            assert_eq!(client.list().await.unwrap(), 200);
            assert!(client.subscribe(&arn).await.data().await.unwrap().unwrap().len() > 16);
            client.connection.abort_handle().abort();
        }
    }

    #[tokio::test]
    async fn http1_is_negotiated_with_a_client_that_supports_only_http1() {
        let (aws, _) = start(LocalAws::builder().tls(true)).await;
        let io = connect(&aws, aws.certificate().unwrap(), "localhost", &["http/1.1"]).await.unwrap();
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }

    #[tokio::test]
    async fn the_certificate_of_another_run_is_not_trusted() {
        let (aws, _) = start(LocalAws::builder().tls(true)).await;
        let (other, _) = start(LocalAws::builder().tls(true)).await;
        assert!(connect(&aws, other.certificate().unwrap(), "localhost", &["h2"]).await.is_err());
        assert!(connect(&aws, aws.certificate().unwrap(), "example.org", &["h2"]).await.is_err());
        assert!(LocalAws::in_process().certificate().is_none());
    }
}
