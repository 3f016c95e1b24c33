//! The protocol itself: bytes over HTTP, without an SDK.

mod cbor;
mod error;
mod http;
mod json;
mod subscription;
