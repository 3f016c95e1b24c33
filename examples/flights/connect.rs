//! Connects `flights feed` and `flights work` to `kcl local` on this machine, or to AWS if `--aws`
//! is given.

use crate::Failure;
use aws_config::{Region, SdkConfig};
use aws_sdk_kinesis::config::Credentials;
use std::net::IpAddr;

/// The stream, and the endpoints to use.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Name of the stream.
    #[arg(long, default_value = "flights")]
    pub(crate) stream: String,
    /// Use AWS, with the credentials and Region of the environment. Creates a stream and a table,
    /// which cost money until you delete them.
    #[arg(long)]
    aws: bool,
}

impl Target {
    /// The configuration of the SDK's clients and of a worker.
    pub(crate) async fn config(&self) -> Result<SdkConfig, Failure> {
        if self.aws {
            return Ok(aws_config::load_from_env().await);
        }
        for variable in ["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_DYNAMODB"] {
            local_endpoint(variable)?;
        }
        if std::env::var_os("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some() {
            return Err("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set: unset it, or give --aws".into());
        }
        // The SDK reads the two endpoints from the environment. A local run never sends the user's
        // own credentials.
        let credentials = Credentials::new("local", "local", None, None, "flights");
        let config = aws_config::from_env().credentials_provider(credentials).region(Region::from_static("us-east-1"));
        Ok(config.load().await)
    }
}

fn local_endpoint(variable: &str) -> Result<(), Failure> {
    let Ok(url) = std::env::var(variable) else {
        let advice =
            "start `kcl local` (`cargo run -p kcl-cli -- local`) and paste the exports that it prints, or give --aws";
        return Err(format!("{variable} is not set: {advice}").into());
    };
    if is_loopback(&url) {
        Ok(())
    } else {
        Err(format!("{variable} is {url}, which is not this machine: give --aws to use remote services").into())
    }
}

fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(ipv6) => ipv6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_local() {
        for local in ["http://127.0.0.1:4567", "http://localhost:8000/", "https://[::1]:4567", "http://127.1.2.3"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in [
            "https://kinesis.eu-central-1.amazonaws.com",
            "http://127.0.0.1.example.com:4567",
            "http://127.0.0.1:80@example.com",
            "http://localhost@example.com",
            "http://10.0.0.1:4567",
            "127.0.0.1:4567",
            "",
        ] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }
}
