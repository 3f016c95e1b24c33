//! The parser of Kinesis' answers.

/// The parser of Kinesis' answers. Both parsers return the same records.
///
/// The SDK's parser visits each byte of each payload, which is most of the cost of reading a
/// stream. The fast parser replaces it, as a protocol of the SDK's client, for the answers of
/// GetRecords and the events of SubscribeToShard. Requests, errors, signing and retries remain the
/// SDK's. If the fast parser does not understand an answer, the call is repeated and the SDK parses
/// this and all later answers.
///
/// A client whose configuration names a protocol keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Parser {
    /// The library's own parser.
    #[default]
    Fast,
    /// The AWS SDK's parser.
    Sdk,
}
