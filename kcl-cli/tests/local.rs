//! Tests the `kcl local` command as a process.

#![cfg(test)]

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

fn kcl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kcl"));
    command.arg("local").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn error_of(arguments: &[&str]) -> String {
    let output = kcl(arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_fails_with_an_error_that_names_a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = ["--kinesis-port", "0", "--dynamodb-port", &port];
    for arguments in [&["--kinesis-port", &port][..], &free[..]] {
        let error = error_of(arguments);
        assert!(error.starts_with(&format!("kcl: port {port} on 127.0.0.1 is in use")), "{error}");
    }
}

#[test]
fn it_fails_with_the_reason_if_a_stream_cannot_be_created() {
    let error = error_of(&["--kinesis-port", "0", "--dynamodb-port", "0", "--shards", "no spaces=1"]);
    assert!(error.starts_with("kcl: cannot create stream no spaces with 1 shards: ValidationException"), "{error}");
}

#[test]
fn it_prints_the_exports_when_it_accepts_connections() {
    let mut server = kcl(&["--kinesis-port", "0", "--dynamodb-port", "0", "--region", "eu-west-1"]).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let lines: Vec<_> = lines.map(Result::unwrap).take(6).collect();
    let endpoint = lines[0].strip_prefix("export AWS_ENDPOINT_URL_KINESIS=http://").map(TcpStream::connect);
    let connected = endpoint.map(|connection| connection.is_ok());
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(connected, Some(true), "{lines:?}");
    assert!(lines.contains(&"export AWS_DEFAULT_REGION=eu-west-1".to_owned()), "{lines:?}");
}

#[test]
fn with_tls_it_writes_the_certificate_and_exports_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trusted.pem");
    let file = file.to_str().unwrap();
    let mut server = kcl(&["--kinesis-port", "0", "--dynamodb-port", "0", "--tls", file]).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let lines: Vec<_> = lines.map(Result::unwrap).take(7).collect();
    let written = std::fs::read_to_string(file);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(written.unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(lines[0].starts_with("export AWS_ENDPOINT_URL_KINESIS=https://"), "{lines:?}");
    assert!(lines.contains(&format!("export AWS_CA_BUNDLE={file}")), "{lines:?}");
}

#[test]
fn it_fails_with_the_reason_if_the_certificate_cannot_be_written() {
    let error = error_of(&["--kinesis-port", "0", "--dynamodb-port", "0", "--tls", "/no/such/folder/trusted.pem"]);
    assert!(error.starts_with("kcl: cannot write the certificate to /no/such/folder/trusted.pem: "), "{error}");
}

#[test]
fn log_lines_have_no_escape_codes_in_a_pipe() {
    let mut kcl = kcl(&["--kinesis-port", "0", "--dynamodb-port", "0", "--shards", "no spaces=1"]);
    let output = kcl.env("RUST_LOG", "debug").output().unwrap();
    assert!(output.stderr.windows(5).any(|text| text == b"DEBUG"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stderr.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn it_warns_if_other_machines_can_reach_the_address() {
    let error =
        error_of(&["--kinesis-port", "0", "--dynamodb-port", "0", "--host", "0.0.0.0", "--shards", "no spaces=1"]);
    assert!(error.starts_with("kcl: warning: listening on 0.0.0.0: every machine"), "{error}");
}
