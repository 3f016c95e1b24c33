//! Requests as bytes, over HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kcl_local::kinesis::EngineConfig;
use kcl_local::{LocalAws, Service};

pub(super) const JSON: &str = "application/x-amz-json-1.1";
pub(super) const CBOR: &str = "application/x-amz-cbor-1.1";
pub(super) const SIGNATURE: &str =
    "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";

/// A body in transit.
pub(super) type Incoming = BoxBody<Bytes, String>;

/// A server, and a client that sends arbitrary requests.
pub(super) struct Wire {
    pub(super) aws: LocalAws,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// The response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn cbor(&self) -> ciborium::Value {
        ciborium::from_reader(&self.body[..]).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Wire {
    pub(super) async fn start() -> Self {
        Self::with_client(Client::builder(TokioExecutor::new()).build_http()).await
    }

    /// With a client that speaks only HTTP/2, from the first byte on.
    pub(super) async fn start_http2() -> Self {
        Self::with_client(Client::builder(TokioExecutor::new()).http2_only(true).build_http()).await
    }

    async fn with_client(client: Client<HttpConnector, Full<Bytes>>) -> Self {
        let aws = LocalAws::builder().engine(EngineConfig::in_process()).start().await.unwrap();
        Self { aws, client }
    }

    /// A signed request for an operation of Kinesis.
    pub(super) async fn call(&self, content_type: &str, operation: &str, body: impl Into<Bytes>) -> Answer {
        let target = format!("Kinesis_20131202.{operation}");
        self.send(&signed(content_type, &target), body).await
    }

    /// The same, with a streamed response.
    pub(super) async fn open(&self, content_type: &str, operation: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let target = format!("Kinesis_20131202.{operation}");
        self.post(&signed(content_type, &target), body).await
    }

    /// A JSON call that must succeed.
    pub(super) async fn json(&self, operation: &str, body: &str) -> Answer {
        let answer = self.call(JSON, operation, body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer
    }

    /// A POST with these headers only.
    pub(super) async fn send(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let (parts, body) = self.post(headers, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, version: parts.version, headers: parts.headers, body }
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Incoming> {
        let mut request = Request::builder().method(Method::POST).uri(self.aws.endpoint(Service::Kinesis));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        answer.map(|body| body.map_err(|error| error.to_string()).boxed())
    }

    /// A stream of one shard, and an iterator at its start.
    pub(super) async fn stream(&self, name: &str) -> String {
        self.json("CreateStream", &format!(r#"{{"StreamName":"{name}","ShardCount":1}}"#)).await;
        let body =
            format!(r#"{{"StreamName":"{name}","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}}"#);
        self.json("GetShardIterator", &body).await.json()["ShardIterator"].as_str().unwrap().to_owned()
    }

    pub(super) async fn put(&self, name: &str, base64: &str) {
        let body = format!(r#"{{"StreamName":"{name}","Data":"{base64}","PartitionKey":"k"}}"#);
        self.json("PutRecord", &body).await;
    }
}

fn signed<'a>(content_type: &'a str, target: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("content-type", content_type),
        ("x-amz-target", target),
        ("authorization", SIGNATURE),
        ("x-amz-date", "20260101T000000Z"),
    ]
}

#[tokio::test]
async fn wire_http2_is_served_in_clear_text_with_prior_knowledge() {
    let wire = Wire::start_http2().await;
    let answer = wire.json("ListStreams", "{}").await;
    assert_eq!(answer.version, Version::HTTP_2);
    assert_eq!(answer.json()["StreamNames"], serde_json::json!([]));
}

#[tokio::test]
async fn wire_a_body_of_14_mib_is_accepted_and_one_of_17_is_413() {
    let wire = Wire::start().await;
    let mut body = br#"{"StreamName":"none"}"#.to_vec();
    body.resize(14 * 1024 * 1024, b' ');
    assert_eq!(wire.call(JSON, "DescribeStream", body.clone()).await.json()["__type"], "ResourceNotFoundException");
    body.resize(17 * 1024 * 1024, b' ');
    let refused = wire.call(JSON, "DescribeStream", body).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn wire_the_path_does_not_matter_and_other_methods_are_refused() {
    let wire = Wire::start().await;
    let uri = format!("{}/any/path", wire.aws.endpoint(Service::Kinesis));
    let request = |method| {
        let request = Request::builder().method(method).uri(&uri).header("content-type", JSON);
        let request = request.header("x-amz-target", "Kinesis_20131202.ListStreams");
        let request = request.header("authorization", SIGNATURE).header("x-amz-date", "20260101T000000Z");
        request.body(Full::new(Bytes::from_static(b"{}"))).unwrap()
    };
    assert_eq!(wire.client.request(request(Method::POST)).await.unwrap().status(), StatusCode::OK);
    assert_eq!(wire.client.request(request(Method::GET)).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wire_counts_can_be_read_and_faults_set_over_http() {
    let wire = Wire::start().await;
    wire.json("ListStreams", "{}").await;
    let control = async |method: Method, path: &str, body: &'static str| {
        let uri = format!("{}/__kcl/{path}", wire.aws.endpoint(Service::Kinesis));
        let request = Request::builder().method(method).uri(uri).body(Full::new(Bytes::from_static(body.as_bytes())));
        let answer = wire.client.request(request.unwrap()).await.unwrap();
        (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
    };
    let (_, counts) = control(Method::GET, "calls", "").await;
    assert_eq!(counts, r#"{"dynamodb":{},"kinesis":{"ListStreams":1}}"#);
    let wanted = r#"{"next":[{"operation":"ListStreams","fault":"throttle"},{"operation":"ListStreams","fault":{"error":"InternalFailure"}}]}"#;
    assert_eq!(control(Method::POST, "faults", wanted).await.0, StatusCode::NO_CONTENT);
    let throttled = wire.call(JSON, "ListStreams", "{}").await;
    assert_eq!(throttled.json()["__type"], "ProvisionedThroughputExceededException");
    assert_eq!(wire.call(JSON, "ListStreams", "{}").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(control(Method::DELETE, "calls", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(control(Method::GET, "calls", "").await.1, r#"{"dynamodb":{},"kinesis":{}}"#);
    let (status, reason) = control(Method::POST, "faults", r#"{"chaos":{"seed":1,"trottle":0.5}}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&reason).contains("trottle"));
}
