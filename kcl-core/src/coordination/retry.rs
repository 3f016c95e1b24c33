//! Repeats calls of the table that operators' commands make outside of any worker.

use super::backoff::RetryPolicy;
use crate::error::{Code, Error};
use crate::lease::{LeaseStore, StoreError, StoreErrorKind, Table};
use tokio::time::sleep;

/// Repetitions of one call.
const REPETITIONS: u32 = 10;

/// Makes a call until it is answered. Only for calls that may be repeated.
pub(super) async fn until_answered<T, F: Future<Output = Result<T, StoreError>>>(
    call: impl Fn() -> F,
) -> Result<T, Error> {
    let mut repetitions = 0;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind == StoreErrorKind::Refused || repetitions == REPETITIONS => {
                return Err(failed(error));
            }
            Err(_) => repetitions += 1,
        }
        sleep(RetryPolicy::OPERATOR.pause(repetitions)).await;
    }
}

/// Reads the whole table. The store repeats failed pages.
pub(crate) async fn read_table(store: &dyn LeaseStore) -> Result<Table, Error> {
    store.scan().await.map_err(failed)
}

fn failed(error: StoreError) -> Error {
    Error::new(error.code.unwrap_or(Code::TableUnusable), error.message.clone()).with_source(error)
}
