//! The errors of starting the servers.

use std::io;

/// The reason why [`LocalAws`](crate::LocalAws) did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process listens on the port.
    #[error(
        "port {port} on {host} is in use by another process: stop that process, or choose another port (0 picks a free one)"
    )]
    PortTaken {
        /// The configured address.
        host: String,
        /// The configured port.
        port: u16,
    },
    /// The server cannot listen on the address.
    #[error("cannot listen on {host}:{port}: {source}")]
    Listen {
        /// The configured address.
        host: String,
        /// The configured port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The certificate for the address could not be created.
    #[cfg(feature = "tls")]
    #[error("cannot create a TLS certificate: {0} (the host must be a DNS name or an IP address)")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn listening(host: &str, port: u16, source: io::Error) -> Self {
        let host = host.to_owned();
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::PortTaken { host, port }
        } else {
            Self::Listen { host, port, source }
        }
    }
}
