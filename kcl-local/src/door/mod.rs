//! The ways in: an HTTP client that never leaves the process, and servers on sockets.

#[cfg(feature = "tls")]
pub(crate) mod certificate;
pub(crate) mod connection;
mod control;
pub(crate) mod http_client;
mod intake;
#[cfg(test)]
mod limits_tests;
pub(crate) mod open_connections;
pub(crate) mod origin;
pub(crate) mod server;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
