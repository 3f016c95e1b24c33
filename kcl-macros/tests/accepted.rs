//! Tests the forms that the derive accepts.

#![allow(clippy::needless_pass_by_ref_mut, reason = "tests the signature that users write")]
use kcl_core::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::marker::PhantomData;

#[derive(Deserialize)]
struct Flight {
    carrier: String,
}

/// Has the bounds that a worker requires of its processors.
fn is_a_processor<P: RecordProcessor>() {}

#[derive(RecordProcessor, Default)]
#[processor(json, handler = "departed")]
struct Plain {
    carriers: Vec<String>,
}

impl Plain {
    async fn departed(&mut self, flight: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        self.carriers.push(flight.carrier);
        Ok(())
    }
}

#[test]
fn a_plain_struct_becomes_a_processor() {
    is_a_processor::<Plain>();
}

#[derive(RecordProcessor)]
#[processor(json, handler = "take", initialize = "begin")]
#[processor(lease_lost = "lost", shard_ended = "ended", shutdown_requested = "stopping")]
struct Callbacks;

#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("full")
    }
}

impl std::error::Error for Full {}

impl Callbacks {
    async fn take(&mut self, _: Flight, _: &RecordMeta) -> Result<(), Full> {
        Err(Full)
    }
    async fn begin(&mut self, _: &ShardContext) -> Result<(), Full> {
        Ok(())
    }
    async fn lost(&mut self, _: &ShardContext) {}
    async fn ended(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        Ok(())
    }
    async fn stopping(&mut self, _: &ShardContext) -> Result<(), std::io::Error> {
        Ok(())
    }
}

#[test]
fn all_callbacks_can_be_named_and_have_their_own_error_types() {
    is_a_processor::<Callbacks>();
}

#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(borrow)]
    carrier: Cow<'a, str>,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "take")]
struct Borrowing(usize);

impl Borrowing {
    async fn take(&mut self, flight: Borrowed<'_>, meta: &RecordMeta) -> Result<(), BoxError> {
        std::future::ready(()).await;
        self.0 += flight.carrier.len() + meta.record().data.len();
        Ok(())
    }
}

#[test]
fn a_value_may_borrow_from_its_record() {
    is_a_processor::<Borrowing>();
}

trait Sink<T> {
    fn put(&mut self, value: T);
}

impl<T> Sink<T> for Vec<T> {
    fn put(&mut self, value: T) {
        self.push(value);
    }
}

#[derive(RecordProcessor)]
#[processor(json, handler = "take")]
struct Generic<T: DeserializeOwned, S: Sink<T>, const N: usize = 1>
where
    S: Sync,
{
    sink: S,
    value: PhantomData<T>,
}

impl<T: DeserializeOwned, S: Sink<T> + Sync, const N: usize> Generic<T, S, N> {
    async fn take(&mut self, value: T, _: &RecordMeta) -> Result<(), BoxError> {
        self.sink.put(value);
        Ok(())
    }
}

#[test]
fn a_generic_struct_becomes_a_processor() {
    is_a_processor::<Generic<String, Vec<String>>>();
}

macro_rules! counting {
    ($name:ident, $handler:literal) => {
        #[derive(RecordProcessor)]
        #[processor(json, handler = $handler)]
        struct $name;

        impl $name {
            async fn seen(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
                Ok(())
            }
        }
    };
}

counting!(FromMacro, "seen");

#[test]
fn a_macro_may_generate_the_struct() {
    is_a_processor::<FromMacro>();
}

mod renamed {
    pub(crate) use kcl_core as streams;
}

#[derive(RecordProcessor)]
#[processor(json, handler = "seen", crate = "crate::renamed::streams")]
struct Renamed;

impl Renamed {
    async fn seen(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn the_library_may_be_renamed() {
    is_a_processor::<Renamed>();
}
