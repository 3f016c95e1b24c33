//! Paging tokens: where a list goes on, for a while.

use super::model::{ApiError, ErrorCode};
use super::token::{Reader, Writer};
use super::{EngineConfig, EngineTime};

/// Which list a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum List {
    Streams = b'n',
    Shards = b's',
    Consumers = b'c',
}

/// A token's life is counted from its issue; its fields are the list's own.
pub(crate) fn issue(list: List, now: EngineTime) -> Writer {
    Writer::new(list as u8).time(now)
}

/// Reads what [`issue`] began; the list's own fields follow.
///
/// # Errors
/// Invalid argument if it is no token of this list; expired if it is older than its life.
pub(crate) fn open(list: List, token: &str, now: EngineTime, config: &EngineConfig) -> Result<Reader, ApiError> {
    let mut reader = Reader::new(list as u8, token).ok_or_else(invalid)?;
    let issued = reader.time().ok_or_else(invalid)?;
    if now > issued.plus(config.page_token_life) {
        let message = format!(
            "NextToken expired. It was created at time {issued} while right now it is {now}; a token is valid for {} seconds.",
            config.page_token_life.as_secs()
        );
        return Err(ApiError::new(ErrorCode::ExpiredNextToken, message));
    }
    Ok(reader)
}

/// A token that says nothing.
pub(crate) fn invalid() -> ApiError {
    ApiError::invalid_argument("NextToken is invalid.")
}
