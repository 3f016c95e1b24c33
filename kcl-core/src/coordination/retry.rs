//! Calls of the table outside of any worker: handing back, looking at what is parked.

use crate::error::{Code, Error};
use crate::lease::{LeaseStore, StoreError, StoreErrorKind, Table};
use std::time::Duration;
use tokio::time::sleep;

/// Attempts at one call, and the pause between them.
const ATTEMPTS: u32 = 10;
const AGAIN: Duration = Duration::from_millis(500);

/// Calls until there is an answer. Only for what may be repeated.
pub(super) async fn again<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> Result<T, Error> {
    let mut attempts = 0;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind == StoreErrorKind::Refused || attempts == ATTEMPTS => return Err(failed(error)),
            Err(_) => attempts += 1,
        }
        sleep(AGAIN).await;
    }
}

/// Reads the whole table. The store repeats pages by itself.
pub(crate) async fn read_table(store: &dyn LeaseStore) -> Result<Table, Error> {
    store.scan().await.map_err(failed)
}

fn failed(error: StoreError) -> Error {
    Error::new(error.code.unwrap_or(Code::TableUnusable), error.message.clone()).with_source(error)
}
