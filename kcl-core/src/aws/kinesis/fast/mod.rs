//! Parses the service's JSON faster than the SDK does. Most of the CPU time of reading a stream is
//! the SDK's parser, which examines each byte of each payload. Requests, errors, signing and
//! retries remain the SDK's.
//!
//! | module | content |
//! |---|---|
//! | `protocol` | the SDK's protocol, with another parser for records |
//! | `reader` | that parser: JSON values for the SDK's shapes |
//! | `cursor` | a position in a JSON text |
//! | `parser_fallback` | which parser reads the next response |
//! | `standalone` | parses one text with either parser, to compare them |

mod cursor;
mod parser_fallback;
mod protocol;
mod reader;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod standalone;
#[cfg(test)]
mod tests;

pub(super) use protocol::FastJson;
