//! What can keep the servers from starting.

use std::io;

/// Why [`LocalAws`](crate::LocalAws) did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process listens there.
    #[error(
        "port {port} on {host} is taken by another process: stop that process, or choose another port (0 acquires any free one)"
    )]
    PortTaken {
        /// The address asked for.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {host}:{port}: {source}")]
    Listen {
        /// The address asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate could be made for the address.
    #[cfg(feature = "tls")]
    #[error("cannot make a certificate for TLS: {0}: is the host a name or an address?")]
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
