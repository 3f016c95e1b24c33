//! Embedded Kinesis and DynamoDB for tests, examples and local development: over HTTP, or in the
//! process under virtual time.
//!
//! - [`LocalAws`] starts both services and creates clients for them.
//! - [`Faults`] injects faults: latency, throttling, errors, lost requests and answers, broken
//!   fan-out streams.
//! - [`kinesis`] is the Kinesis engine alone, a state machine without I/O.
//!
//! Feature `tls`: adds `Builder::tls`, with which the servers use TLS and a certificate made at
//! their start.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod builder;
mod calls;
mod clock;
mod dynamodb;
mod error;
mod fault;
mod frontend;
pub mod kinesis;
mod local_aws;
mod scope_resolver;
mod service;
mod services;
mod subscription;
mod wire;

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

pub use builder::Builder;
pub use calls::Calls;
pub use dynamodb::ItemChange;
pub use error::Error;
pub use fault::{Call, Chaos, Fault, Faults, StreamFault};
pub use local_aws::LocalAws;
pub use service::Service;
