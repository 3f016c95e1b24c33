//! Defines the names and ids of streams and shards.

use super::id::string_id;
use super::{system_time, unix_millis};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

string_id! {
    /// A shard's id, unique within its stream: `shardId-` and twelve digits.
    pub struct ShardId(Box<str>);
}

impl ShardId {
    /// An id as Kinesis returns it.
    pub fn new(id: impl Into<String>) -> Self {
        ShardId(id.into().into_boxed_str())
    }
}

impl From<&str> for ShardId {
    fn from(id: &str) -> Self {
        ShardId::new(id)
    }
}

/// A stream as a user names it: by name, or by ARN if it is in another account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamRef {
    /// A name in the client's own account and Region.
    Name(String),
    /// The stream's ARN.
    Arn(String),
}

impl StreamRef {
    /// The stream's name, also if it is given by ARN.
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

/// Identifies a stream for all time. A stream that is deleted and created again under the same name
/// has another creation time, and is another stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StreamIdentity {
    /// The stream's ARN.
    pub arn: String,
    /// The creation time in whole seconds since 1970, as in lease keys.
    pub(crate) created_at: i64,
}

impl StreamIdentity {
    /// An identity with a creation time, which Kinesis' answers and lease keys have in whole
    /// seconds.
    pub fn new(arn: impl Into<String>, created_at: impl Into<SystemTime>) -> Self {
        StreamIdentity { arn: arn.into(), created_at: unix_millis(created_at.into()).div_euclid(1_000) }
    }

    /// When the stream was created, in whole seconds.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        system_time(self.created_at.saturating_mul(1_000))
    }

    /// The stream's id in a lease table that serves several streams. `None` if the ARN is not one
    /// of a stream.
    #[must_use]
    pub fn id(&self) -> Option<StreamId> {
        let mut parts = self.arn.splitn(6, ':');
        let account = parts.nth(4)?;
        let name = parts.next()?.strip_prefix("stream/")?;
        Some(StreamId::new(format!("{account}:{name}:{}", self.created_at)))
    }
}

string_id! {
    /// A stream's id in a lease table that serves several streams (KCL's serialized
    /// `StreamIdentifier`): `<account>:<name>:<creation time>`, the last in whole seconds since the
    /// Unix epoch. The Region is not part of it.
    pub struct StreamId(Arc<str>);
}

impl StreamId {
    /// An id as a lease table contains it.
    pub fn new(id: impl AsRef<str>) -> Self {
        StreamId(id.as_ref().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_id_consists_of_account_name_and_creation_time() {
        let identity = |arn: &str| StreamIdentity { arn: arn.to_owned(), created_at: 1_700_000_000 };
        let orders = identity("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders.eu_1-x");
        assert_eq!(orders.id().unwrap().as_str(), "123456789012:orders.eu_1-x:1700000000");
        for none in ["", "orders", "arn:aws:kinesis:us-east-1:123456789012:table/orders"] {
            assert_eq!(identity(none).id(), None, "{none}");
        }
    }
}
