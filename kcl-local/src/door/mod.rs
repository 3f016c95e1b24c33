//! The ways in: an HTTP client that never leaves the process, and servers on sockets.

#[cfg(feature = "tls")]
pub(crate) mod certificate;
pub(crate) mod connection;
mod control;
pub(crate) mod http_client;
pub(crate) mod server;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
