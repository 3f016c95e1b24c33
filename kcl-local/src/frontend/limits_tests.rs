//! Tests the limits of the server with clients that exceed them, over real connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{LocalAws, Service};

/// Longer than any step of these tests takes.
const TIMEOUT: Duration = Duration::from_secs(20);

async fn connect(aws: &LocalAws) -> TcpStream {
    TcpStream::connect(aws.endpoint(Service::Kinesis).rsplit('/').next().unwrap()).await.unwrap()
}

/// Reads a connection to its end.
async fn read_to_end(mut socket: TcpStream) -> String {
    let mut text = Vec::new();
    // A connection may be reset after its answer.
    let _ = timeout(TIMEOUT, socket.read_to_end(&mut text)).await.expect("the connection ends");
    String::from_utf8(text).unwrap()
}

async fn send(aws: &LocalAws, head: &str) -> String {
    let mut socket = connect(aws).await;
    socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    read_to_end(socket).await
}

#[tokio::test]
async fn a_body_of_a_declared_gigabyte_is_refused_before_it_is_sent() {
    let aws = LocalAws::start().await.unwrap();
    let answer = send(&aws, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn silent_connections_do_not_lock_others_out() {
    let aws = LocalAws::builder().max_connections(3).start().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut socket = connect(&aws).await;
        socket.write_all(b"POST / HTTP/1.1\r\nHost: local").await.unwrap();
        silent.push(socket);
    }
    timeout(TIMEOUT, aws.kinesis().list_streams().send()).await.unwrap().unwrap();
    assert_eq!(read_to_end(silent.remove(0)).await, "", "the oldest connection was closed");
}

#[tokio::test]
async fn a_request_that_is_never_finished_does_not_keep_its_connection() {
    let aws = LocalAws::builder().idle_connections(Duration::from_millis(50)).start().await.unwrap();
    let mut socket = connect(&aws).await;
    socket.write_all(b"POST / HTTP/1.1\r\nHost: local").await.unwrap();
    read_to_end(socket).await;
}

#[tokio::test]
async fn a_host_name_that_a_web_page_could_control_is_refused() {
    let aws = LocalAws::builder().allow_host("kinesis.example").start().await.unwrap();
    for (head, status) in [
        ("GET /__kcl/calls HTTP/1.1\r\nHost: evil.example", "403"),
        ("GET /__kcl/calls HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example", "403"),
        ("GET /__kcl/calls HTTP/1.1\r\nHost: localhost:4567", "200"),
        ("GET /__kcl/calls HTTP/1.1\r\nHost: kinesis.example", "200"),
    ] {
        let answer = send(&aws, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
}
