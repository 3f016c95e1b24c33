//! How streams and shards are named.

use std::fmt;
use std::sync::Arc;

/// A shard's name within its stream: `shardId-` and twelve digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Box<str>);

impl ShardId {
    /// Takes the name as Kinesis yields it.
    pub fn new(id: impl Into<String>) -> Self {
        ShardId(id.into().into_boxed_str())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ShardId {
    fn from(id: &str) -> Self {
        ShardId::new(id)
    }
}

/// A stream as a user names it: by name, or by ARN where it lies in another account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamRef {
    /// A name in the client's own account and Region.
    Name(String),
    /// A full ARN.
    Arn(String),
}

impl StreamRef {
    /// The stream's bare name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            StreamRef::Name(name) => name,
            StreamRef::Arn(arn) => arn.rsplit('/').next().unwrap_or(arn),
        }
    }
}

impl From<&str> for StreamRef {
    fn from(text: &str) -> Self {
        if text.starts_with("arn:") { StreamRef::Arn(text.to_owned()) } else { StreamRef::Name(text.to_owned()) }
    }
}

impl From<String> for StreamRef {
    fn from(text: String) -> Self {
        StreamRef::from(text.as_str())
    }
}

impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamRef::Name(text) | StreamRef::Arn(text) => f.write_str(text),
        }
    }
}

/// Which stream, for ever: a stream that is deleted and made again under its name is another one, with another
/// creation time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamIdentity {
    /// The stream's ARN.
    pub arn: String,
    /// When it was created, in whole seconds since the Unix epoch.
    pub created_at: i64,
}

impl StreamIdentity {
    /// How a table of several streams names it; `None` where the ARN is none.
    #[must_use]
    pub fn id(&self) -> Option<StreamId> {
        let mut parts = self.arn.splitn(6, ':');
        let account = parts.nth(4)?;
        let name = parts.next()?.strip_prefix("stream/")?;
        Some(StreamId::new(format!("{account}:{name}:{}", self.created_at)))
    }
}

/// A stream as a table of several streams names it (KCL's serialized `StreamIdentifier`): `<account>:<name>:<creation
/// time>`, the last in whole seconds since the Unix epoch. The Region is no part of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// Takes the id as a table has it.
    pub fn new(id: impl AsRef<str>) -> Self {
        StreamId(id.as_ref().into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_among_several_goes_by_account_name_and_creation_time() {
        let identity = |arn: &str| StreamIdentity { arn: arn.to_owned(), created_at: 1_700_000_000 };
        let orders = identity("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders.eu_1-x");
        assert_eq!(orders.id().unwrap().as_str(), "123456789012:orders.eu_1-x:1700000000");
        for none in ["", "orders", "arn:aws:kinesis:us-east-1:123456789012:table/orders"] {
            assert_eq!(identity(none).id(), None, "{none}");
        }
    }
}
