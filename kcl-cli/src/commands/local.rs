//! `kcl local`: the embedded servers, for clients in any language.

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
    /// The port for Kinesis; 0 acquires any free one.
    #[arg(long, default_value_t = 4567)]
    kinesis_port: u16,
    /// The port for DynamoDB; 0 acquires any free one.
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// The address to listen on. Anyone who reaches it can read and write everything: nothing is checked.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// How long Kinesis acquires to answer, such as 10ms.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    kinesis_latency: Duration,
    /// How long DynamoDB acquires to answer, such as 5ms.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    dynamodb_latency: Duration,
    /// Throttle readers as AWS does: 5 calls and 2 MiB a second a shard; with fan-out one call and 2 MiB a second a shard and consumer.
    #[arg(long)]
    throttle_reads: bool,
    /// Throttle writers as AWS does: 1,000 records and 1 MiB a second a shard.
    #[arg(long)]
    throttle_writes: bool,
    /// The Region of all streams and tables.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// How long streams and tables take to be created, changed and deleted.
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    state_delay: Duration,
    /// Speak TLS, by a certificate made for this run, and write to this file (PEM) what clients have to trust. It is what the variable
    /// AWS_CA_BUNDLE names for the AWS CLI and boto3.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// How many HTTP/2 streams a connection may have open: a subscription is one for minutes.
    #[arg(long, default_value_t = 128)]
    max_concurrent_streams: u32,
    /// Close connections on which nothing ran for so long, such as 60s.
    #[arg(long, default_value = "3m", value_parser = humantime::parse_duration)]
    idle_connections: Duration,
    /// How many connections may be open; beyond that the one that was idle for longest is closed. By default 1,000, or half of the
    /// files that the process may open.
    #[arg(long)]
    max_connections: Option<usize>,
    /// Acquire requests for this host name too. May be repeated. Addresses, localhost, names without a dot or that end in .internal are
    /// taken anyway; others are refused, because a web page could use them to reach the servers.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Create a stream at the start, as name=shards. May be repeated.
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
        let (name, shards) = text.split_once('=').ok_or("give a name and a number of shards, such as clicks=4")?;
        let shards = shards.parse().map_err(|_| format!("{shards:?} is no number of shards"))?;
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
    if let Some(warning) = exposed(&arguments.host) {
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
    if let Some(most) = arguments.max_connections {
        builder = builder.max_connections(most);
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

/// Replaces the file whole, so that a link that lies there is not followed, and lets nobody else write it: clients trust what it says.
fn write_certificate(file: &Path, certificate: &str) -> std::io::Result<()> {
    let name = file.file_name().ok_or_else(|| std::io::Error::other("it is no file"))?;
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
        // Whether it was made or not, nothing else can be done about it.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// What to say where other machines can reach the servers.
fn exposed(host: &str) -> Option<String> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let only_here =
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    (!only_here).then(|| {
        format!("warning: listening on {host}: every machine that reaches this address can read, change and delete everything, as no credentials are checked")
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

/// What to paste into a shell so that AWS's own clients find the servers.
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

/// Ready when the process is asked to stop. Listening starts with the call, not with the first poll.
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

/// Ready when the process is asked to stop.
#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        // Without a handler Ctrl-C ends the process anyway.
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
    fn a_stream_is_a_name_and_a_number() {
        let stream: NewStream = "clicks=4".parse().unwrap();
        assert_eq!(stream, NewStream { name: "clicks".to_owned(), shards: 4 });
        assert!("clicks".parse::<NewStream>().is_err());
        assert!("clicks=many".parse::<NewStream>().is_err());
    }

    #[test]
    fn durations_are_written_with_units() {
        let command =
            Command::try_parse_from(["local", "--kinesis-latency", "10ms", "--shards", "a=1", "--shards", "b=2"]);
        let arguments = command.unwrap().arguments;
        assert_eq!(arguments.kinesis_latency, Duration::from_millis(10));
        assert_eq!(arguments.shards.len(), 2);
        assert!(Command::try_parse_from(["local", "--kinesis-latency", "10"]).is_err());
    }

    #[test]
    fn other_machines_are_warned_about() {
        for host in ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"] {
            assert_eq!(exposed(host), None, "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.5", "kinesis.example"] {
            assert!(exposed(host).is_some_and(|warning| warning.contains(host)), "{host}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_certificate_replaces_a_link_and_only_its_owner_may_change_it() {
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
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
        assert!(write_certificate(&folder.path().join("missing/ca.pem"), "x").is_err());
    }

    #[tokio::test]
    async fn the_exports_name_where_the_servers_are() {
        let command = Command::try_parse_from(["local", "--kinesis-port", "0", "--dynamodb-port", "0"]);
        let arguments = command.unwrap().arguments;
        let aws = start(&arguments).await.unwrap();
        let text = exports(&aws, &arguments);
        assert!(text.contains(&format!("AWS_ENDPOINT_URL_KINESIS={}\n", aws.endpoint(Service::Kinesis))), "{text}");
        assert_ne!(aws.endpoint(Service::Kinesis), aws.endpoint(Service::DynamoDb));
        assert!(!text.contains("AWS_CA_BUNDLE"), "{text}");
    }
}
