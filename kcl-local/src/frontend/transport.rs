//! The layer between a socket and HTTP: plain, or TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Plain text or TLS.
#[derive(Clone)]
pub(crate) enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

/// The byte stream of a connection, of any transport.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Transport {
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "https",
        }
    }

    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<Box<dyn Io>> {
        // A connection without the option works too, only slower.
        _ = socket.set_nodelay(true);
        match self {
            Self::Plain => Ok(Box::new(socket)),
            #[cfg(feature = "tls")]
            Self::Tls(acceptor) => Ok(Box::new(acceptor.accept(socket).await?)),
        }
    }
}
