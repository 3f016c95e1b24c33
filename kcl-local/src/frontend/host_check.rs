//! Refuses requests that a web page may have made a browser send (DNS rebinding).
//!
//! A page can resolve its own host name to this machine, and then read and write everything here.
//! Such requests have that name in `Host`. Addresses and names that public DNS cannot resolve are
//! accepted; other names only if they are configured. Requests to `/__kcl/` need no AWS headers, so
//! a browser sends them without a preflight request: they are refused to every page.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// The configured names of this server, in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Arc<Vec<String>>);

impl AllowedHosts {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    /// Accepts names that public DNS cannot resolve to this machine for somebody else: names of one
    /// label, and names under the top-level domains that are reserved for the machine itself (RFC
    /// 6761) and for private networks (ICANN on `internal`), such as `host.docker.internal`.
    fn admit(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || name.ends_with(".localhost")
            || name.ends_with(".internal")
            || self.0.contains(&name)
    }

    /// Returns the reason if the request is refused.
    fn check(&self, parts: &Parts) -> Result<(), String> {
        let header = parts.headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
        for host in header.into_iter().chain(parts.uri.authority().map(Authority::as_str)) {
            let name = host.parse::<Authority>().ok().map(|authority| authority.host().to_owned());
            if !name.is_some_and(|name| self.admit(&name)) {
                let host: String = host.chars().take(255).collect();
                return Err(format!(
                    "{host:?} is not a name of this server: use localhost or the server's address, or start it with --allow-host"
                ));
            }
        }
        if parts.uri.path().starts_with("/__kcl/") && parts.headers.contains_key(ORIGIN) {
            return Err("web pages may not use /__kcl/".to_owned());
        }
        Ok(())
    }
}

/// Middleware that refuses requests that a web page may have sent.
pub(super) async fn check(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match hosts.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(reason) => {
            let mut answer = Response::new(format!("{reason}\n").into());
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
        AllowedHosts::new(["Kinesis.Example".to_owned()]).check(&parts).is_err()
    }

    #[test]
    fn only_local_and_configured_hosts_are_accepted() {
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
        assert!(refused("http://evil.example/", &[]), "HTTP/2 has the host in the URI");
        assert!(refused("http://evil.example/", &[("host", "localhost")]));
        assert!(!refused("/", &[]), "browsers always send Host");
    }

    #[test]
    fn web_pages_may_not_use_the_control_requests() {
        let page = [("host", "localhost"), ("origin", "http://localhost:3000")];
        assert!(refused("/__kcl/faults", &page) && refused("/__kcl/calls", &page));
        assert!(!refused("/__kcl/faults", &page[..1]) && !refused("/", &page));
    }
}
