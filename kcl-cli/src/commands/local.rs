//! `kcl local`: serves the embedded Kinesis and DynamoDB to clients in any language.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use kcl_local::kinesis::EngineConfig;
use kcl_local::kinesis::Transitions;
use kcl_local::{LocalAws, Service};

use super::Error;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The port for Kinesis; 0 picks any free one.
    #[arg(long, value_name = "PORT", default_value_t = 4567)]
    kinesis_port: u16,
    /// The port for DynamoDB; 0 picks any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    dynamodb_port: u16,
    /// The address to listen on. Credentials are not checked: anyone who reaches the address can
    /// read and write everything.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,
    /// Delay before each answer of Kinesis, such as 10ms.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    /// Delay before each answer of DynamoDB, such as 5ms.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    /// Throttle readers as AWS does: per shard 5 GetRecords calls and 2 MiB a second; with enhanced
    /// fan-out one SubscribeToShard call and 2 MiB a second per shard and consumer.
    #[arg(long)]
    throttle_reads: bool,
    /// Throttle writers as AWS does: per shard 1,000 records and 1 MiB a second.
    #[arg(long)]
    throttle_writes: bool,
    /// The Region of all streams and tables.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Duration of creating, changing and deleting a stream or table, such as 2s.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    state_delay: Duration,
    /// Serve over TLS, with a certificate made for this run, and write the certificate that clients
    /// have to trust to this file (PEM), such as ca.pem. The AWS CLI and boto3 read it if the
    /// variable AWS_CA_BUNDLE names it.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Maximum number of open HTTP/2 streams per connection. A fan-out subscription keeps one open
    /// for 5 minutes.
    #[arg(long, value_name = "NUMBER", default_value_t = 128)]
    max_concurrent_streams: u32,
    /// Close connections that are idle for this long, such as 60s.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = humantime::parse_duration)]
    idle_connections: Duration,
    /// Maximum number of open connections; beyond it the connection that is idle for longest is
    /// closed. [default: 1,000, or half of the files that the process may open, if that is less]
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<usize>,
    /// Accept requests for this host name too, such as kinesis.example. May be repeated. IP
    /// addresses, localhost, and names that have no dot or end in .internal are always accepted.
    /// Other names are refused, because a web page could use them to reach the servers (DNS
    /// rebinding).
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Create a stream at the start, such as clicks=4. May be repeated.
    #[arg(long, value_name = "STREAM=SHARDS")]
    shards: Vec<NewStream>,
}

/// A stream to create: `clicks=4`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NewStream {
    name: String,
    shards: i32,
}

impl FromStr for NewStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, shards) =
            text.split_once('=').ok_or("expected a stream name and a number of shards, such as clicks=4")?;
        let shards = shards.parse().map_err(|_| format!("{shards:?} is not a number of shards"))?;
        Ok(Self { name: name.to_owned(), shards })
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let stop = stop_signal()?;
    let aws = start(&arguments).await?;
    if let (Some(file), Some(certificate)) = (&arguments.tls, aws.certificate()) {
        write_certificate(file, certificate)
            .map_err(|error| format!("cannot write the certificate to {}: {error}", file.display()))?;
    }
    if let Some(warning) = exposure_warning(&arguments.host) {
        eprintln!("kcl: {warning}");
    }
    for stream in &arguments.shards {
        create(&aws, stream).await?;
    }
    println!("{}", exports(&aws, &arguments));
    stop.await;
    eprintln!("kcl: stopping");
    aws.shutdown().await;
    Ok(())
}

async fn start(arguments: &Arguments) -> Result<LocalAws, kcl_local::Error> {
    let mut engine = EngineConfig::over_http();
    engine.transitions = Transitions::all(arguments.state_delay);
    engine.read_throttling = arguments.throttle_reads;
    engine.write_throttling = arguments.throttle_writes;
    let mut builder = LocalAws::builder().idle_connections(arguments.idle_connections);
    if let Some(limit) = arguments.max_connections {
        builder = builder.max_connections(limit);
    }
    for name in &arguments.allow_host {
        builder = builder.allow_host(name);
    }
    builder
        .host(arguments.host.as_str())
        .kinesis_port(arguments.kinesis_port)
        .dynamodb_port(arguments.dynamodb_port)
        .region(arguments.region.as_str())
        .engine(engine)
        .tls(arguments.tls.is_some())
        .max_concurrent_streams(arguments.max_concurrent_streams)
        .table_delay(arguments.state_delay)
        .latency(Service::Kinesis, arguments.kinesis_latency)
        .latency(Service::DynamoDb, arguments.dynamodb_latency)
        .start()
        .await
}

/// Replaces the whole file by a rename, so that an existing symbolic link is not followed. Only the
/// owner may write the file, because clients trust the certificate in it.
fn write_certificate(file: &Path, certificate: &str) -> std::io::Result<()> {
    let name = file.file_name().ok_or_else(|| std::io::Error::other("the path does not name a file"))?;
    let temporary = file.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let written = options.open(&temporary).and_then(|mut opened| {
        opened.write_all(certificate.as_bytes())?;
        opened.sync_all()
    });
    let written = written.and_then(|()| std::fs::rename(&temporary, file));
    if written.is_err() {
        // Best effort: the first error is the one to report, and the temporary file may not exist.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Returns a warning if other machines can reach the servers.
fn exposure_warning(host: &str) -> Option<String> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback =
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    (!is_loopback).then(|| {
        format!(
            "warning: listening on {host}: every machine that reaches this address can read, change and delete everything, because \
             credentials are not checked"
        )
    })
}

async fn create(aws: &LocalAws, stream: &NewStream) -> Result<(), Error> {
    let NewStream { name, shards } = stream;
    let created = aws.kinesis().create_stream().stream_name(name).shard_count(*shards).send().await;
    created.map_err(|error| {
        let reason = error.into_service_error();
        format!("cannot create stream {name} with {shards} shards: {reason}")
    })?;
    Ok(())
}

/// Returns the shell commands that point AWS's own clients to the servers.
fn exports(aws: &LocalAws, arguments: &Arguments) -> String {
    let certificate = arguments.tls.as_deref().map(|file| file.display().to_string());
    [
        ("AWS_ENDPOINT_URL_KINESIS", Some(aws.endpoint(Service::Kinesis))),
        ("AWS_ENDPOINT_URL_DYNAMODB", Some(aws.endpoint(Service::DynamoDb))),
        ("AWS_CA_BUNDLE", certificate.as_deref()),
        ("AWS_ACCESS_KEY_ID", Some("local")),
        ("AWS_SECRET_ACCESS_KEY", Some("local")),
        ("AWS_REGION", Some(arguments.region.as_str())),
        ("AWS_DEFAULT_REGION", Some(arguments.region.as_str())),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| format!("export {name}={value}")))
    .collect::<Vec<_>>()
    .join("\n")
}

/// Resolves on Ctrl-C or SIGTERM. Listening starts with the call, not with the first poll, so that
/// a signal during the start is not lost.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        // If the handler cannot be installed, Ctrl-C ends the process by itself.
        _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_new_stream_is_a_name_and_a_number_of_shards() {
        let stream: NewStream = "clicks=4".parse().unwrap();
        assert_eq!(stream, NewStream { name: "clicks".to_owned(), shards: 4 });
        assert!("clicks".parse::<NewStream>().is_err());
        assert!("clicks=many".parse::<NewStream>().is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        let command =
            Command::try_parse_from(["local", "--kinesis-latency", "10ms", "--shards", "a=1", "--shards", "b=2"]);
        let arguments = command.unwrap().arguments;
        assert_eq!(arguments.kinesis_latency, Duration::from_millis(10));
        assert_eq!(arguments.shards.len(), 2);
        assert!(Command::try_parse_from(["local", "--kinesis-latency", "10"]).is_err());
    }

    #[test]
    fn an_address_that_other_machines_can_reach_has_a_warning() {
        for host in ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"] {
            assert_eq!(exposure_warning(host), None, "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.5", "kinesis.example"] {
            assert!(exposure_warning(host).is_some_and(|warning| warning.contains(host)), "{host}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_certificate_replaces_a_symbolic_link_and_only_its_owner_may_write_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (victim, file) = (folder.path().join("victim"), folder.path().join("ca.pem"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        for certificate in ["first", "second"] {
            write_certificate(&file, certificate).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), certificate);
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        let written = std::fs::symlink_metadata(&file).unwrap();
        assert!(written.is_file());
        assert_eq!(written.permissions().mode() & 0o022, 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
        assert!(write_certificate(&folder.path().join("missing/ca.pem"), "x").is_err());
    }

    #[tokio::test]
    async fn the_exports_name_the_endpoints_of_the_servers() {
        let command = Command::try_parse_from(["local", "--kinesis-port", "0", "--dynamodb-port", "0"]);
        let arguments = command.unwrap().arguments;
        let aws = start(&arguments).await.unwrap();
        let text = exports(&aws, &arguments);
        assert!(text.contains(&format!("AWS_ENDPOINT_URL_KINESIS={}\n", aws.endpoint(Service::Kinesis))), "{text}");
        assert_ne!(aws.endpoint(Service::Kinesis), aws.endpoint(Service::DynamoDb));
        assert!(!text.contains("AWS_CA_BUNDLE"), "{text}");
    }
}
