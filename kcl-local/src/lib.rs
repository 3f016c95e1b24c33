//! Embedded Kinesis and DynamoDB for tests, examples and local development: over HTTP, or in the process under virtual time.
//!
//! [`LocalAws`] starts both and makes clients for them; [`Faults`] makes things go wrong; [`kinesis`] is the engine, for those who want
//! nothing else.
//!
//! | feature | what it adds |
//! |---|---|
//! | `tls` | `Builder::tls`: the servers speak TLS, by a certificate made at their start |

mod answer;
mod builder;
mod calls;
mod clock;
mod door;
mod dynamodb;
mod error;
mod fault;
mod identity;
pub mod kinesis;
mod local_aws;
mod service;
mod services;
mod subscription;
mod wire;

pub use builder::Builder;
pub use calls::Calls;
pub use dynamodb::ItemChange;
pub use error::Error;
pub use fault::{Call, Chaos, Fault, Faults, StreamFault};
pub use local_aws::LocalAws;
pub use service::Service;
