//! The service's JSON, parsed faster than by the SDK's own code: most of what it costs to read a stream is the SDK looking at
//! each byte of each payload. Requests, errors, signing, retries and everything else stay the SDK's.
//!
//! | part | is |
//! |---|---|
//! | `protocol` | the SDK's protocol, with another parser for records |
//! | `reader` | that parser: values of JSON as the SDK's shapes want them |
//! | `cursor` | a place in a text of JSON |
//! | `doubt` | which parser reads the next answer |
//! | `alone` | a text by itself, parsed by ours or by the SDK's, for what has to compare them |

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod alone;
mod cursor;
mod doubt;
mod protocol;
mod reader;
#[cfg(test)]
mod tests;

pub(super) use protocol::FastJson;
