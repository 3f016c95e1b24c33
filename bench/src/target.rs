//! Defines the stream of the benchmarks, and the configuration of clients. Reads nothing from the
//! environment, so that no call leaves the machine.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// The stream that all benchmarks read.
pub(crate) const STREAM: &str = "bench";

/// A configuration for clients of the servers at `endpoint`, with the SDK's own HTTP client.
pub(crate) fn sdk_config(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("bench", "bench", None)))
        .endpoint_url(endpoint)
        .build()
}

/// The hash key in the middle of shard `index` of `shards` shards of equal size.
pub(crate) fn hash_key(index: u64, shards: u64) -> String {
    let half = u128::MAX / (2 * u128::from(shards));
    (half * u128::from(2 * index + 1)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_keys_are_in_the_middle_of_their_shards() {
        let quarter = u128::MAX / 4;
        assert_eq!(hash_key(0, 2), quarter.to_string());
        assert_eq!(hash_key(1, 2), (3 * quarter).to_string());
    }
}
