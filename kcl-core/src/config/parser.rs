//! Whose code parses what Kinesis answers.

/// Whose code parses the records that Kinesis sends. Both come to the same records.
///
/// The SDK's own code goes over each byte of each payload, which is most of what it costs to read a stream. The faster one
/// is plugged into the SDK's client as its protocol, for the answers of GetRecords and the events of SubscribeToShard;
/// requests, errors, signing and retries are the SDK's as ever. An answer that it does not understand is asked for again and
/// parsed by the SDK, and so is everything after that.
///
/// A client whose configuration names a protocol keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Parser {
    /// Ours.
    #[default]
    Fast,
    /// The AWS SDK's.
    Sdk,
}
