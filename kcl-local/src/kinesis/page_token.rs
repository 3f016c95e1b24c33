//! Pagination tokens: the position of the next page of a list, valid for a limited time.

use super::model::{ApiError, ErrorCode};
use super::token::{Reader, Writer};
use super::{EngineConfig, EngineTime};

/// The list of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum List {
    Streams = b'n',
    Shards = b's',
    Consumers = b'c',
}

/// Begins a token that is issued at `now`. The fields of the list follow.
pub(crate) fn issue(list: List, now: EngineTime) -> Writer {
    Writer::new(list as u8).time(now)
}

/// Decodes the beginning of a token of [`issue`]. The fields of the list follow.
///
/// # Errors
/// Invalid argument if it is not a token of this list; expired if it is older than its lifetime.
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

/// The error of a token that cannot be decoded.
pub(crate) fn invalid() -> ApiError {
    ApiError::invalid_argument("NextToken is invalid.")
}
