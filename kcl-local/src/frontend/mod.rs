//! The front ends: an HTTP client for the same process, and servers on sockets.

mod body_reader;
#[cfg(feature = "tls")]
pub(crate) mod certificate;
pub(crate) mod connection;
mod control;
pub(crate) mod host_check;
pub(crate) mod in_process;
#[cfg(test)]
mod limits_tests;
pub(crate) mod open_connections;
pub(crate) mod server;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
