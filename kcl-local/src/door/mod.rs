//! The ways in: an HTTP client that never leaves the process, and servers on sockets.

mod control;
pub(crate) mod http_client;
pub(crate) mod server;
#[cfg(test)]
mod subscription_tests;
#[cfg(test)]
mod tests;
