//! Refuses requests that a web page may have made a browser send.
//!
//! A page can have its own name resolved to this machine (DNS rebinding), and then read and write everything here. Such requests
//! carry that name in `Host`. Names that nobody else can have resolved, and addresses, are taken; further names only if they are
//! listed. What needs no AWS headers (`/__kcl/`) is refused to every page, as a browser sends it without asking first.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// The names of this server, in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(Arc<Vec<String>>);

impl Hosts {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    /// Top-level names that are reserved for the machine itself and for private networks (RFC 6761; ICANN on `internal`), as in
    /// `host.docker.internal`, and names of one label, which public DNS does not have, are nobody else's.
    fn admit(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || name.ends_with(".localhost")
            || name.ends_with(".internal")
            || self.0.contains(&name)
    }

    /// Returns what is wrong with the request.
    fn check(&self, parts: &Parts) -> Result<(), String> {
        let header = parts.headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
        for host in header.into_iter().chain(parts.uri.authority().map(Authority::as_str)) {
            let name = host.parse::<Authority>().ok().map(|authority| authority.host().to_owned());
            if !name.is_some_and(|name| self.admit(&name)) {
                let host: String = host.chars().take(255).collect();
                return Err(format!(
                    "{host:?} is no name of this server: use localhost or its address, or start it with --allow-host"
                ));
            }
        }
        if parts.uri.path().starts_with("/__kcl/") && parts.headers.contains_key(ORIGIN) {
            return Err("web pages may not use /__kcl/".to_owned());
        }
        Ok(())
    }
}

/// Lets through what no page can have sent.
pub(super) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match hosts.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(why) => {
            let mut answer = Response::new(format!("{why}\n").into());
            *answer.status_mut() = http::StatusCode::FORBIDDEN;
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, headers: &[(&str, &str)]) -> bool {
        let request =
            headers.iter().fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Hosts::new(["Kinesis.Example".to_owned()]).check(&parts).is_err()
    }

    #[test]
    fn only_hosts_that_nobody_else_can_be_are_taken() {
        for host in [
            "localhost",
            "localhost:4567",
            "LOCALHOST.:80",
            "127.0.0.1:8000",
            "[::1]:4567",
            "192.168.1.5:1",
            "kinesis:4567",
            "123456789012.ddb.localhost",
            "host.docker.internal:4567",
            "kinesis.example",
        ] {
            assert!(!refused("/", &[("host", host)]), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:4567", "a b", "evil.example@localhost.x"]
        {
            assert!(refused("/", &[("host", host)]), "{host}");
        }
        assert!(refused("http://evil.example/", &[]), "HTTP/2 has the name in the address");
        assert!(refused("http://evil.example/", &[("host", "localhost")]));
        assert!(!refused("/", &[]), "no browser leaves it out");
    }

    #[test]
    fn pages_may_not_use_what_needs_no_aws_headers() {
        let page = [("host", "localhost"), ("origin", "http://localhost:3000")];
        assert!(refused("/__kcl/faults", &page) && refused("/__kcl/calls", &page));
        assert!(!refused("/__kcl/faults", &page[..1]) && !refused("/", &page));
    }
}
