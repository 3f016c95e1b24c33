//! How streams and shards are named.

use std::fmt;

/// A shard's name within its stream: `shardId-` and twelve digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Box<str>);

impl ShardId {
    /// Takes the name as Kinesis gives it.
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
