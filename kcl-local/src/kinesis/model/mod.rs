//! The types of the Kinesis Data Streams API (version 2013-12-02), with AWS's names.
//!
//! In inputs every member is optional and enumerations are text, because the engine answers
//! violated constraints with AWS's messages. Outputs are typed; absent members are left out. The
//! serde form depends on `is_human_readable()`: see [`Blob`] and [`Timestamp`].

#![allow(missing_docs, reason = "members carry AWS's names and meanings: see the Kinesis Data Streams API Reference")]

mod blob;
mod consumer;
mod error;
mod operation;
mod record;
mod scope;
mod setting;
mod shard;
mod stream;
mod tag;
mod text_enum;
mod timestamp;

pub use blob::Blob;
pub use consumer::*;
pub use error::{ApiError, DecodeError, ErrorCode};
pub use operation::{Body, Cbor, Json, Request, Response};
pub use record::*;
pub use scope::Scope;
pub use setting::*;
pub use shard::*;
pub use stream::*;
pub use tag::*;
pub(crate) use text_enum::{TextEnum, text_enum};
pub use timestamp::Timestamp;
