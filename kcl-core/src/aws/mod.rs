//! The seams filled with the AWS SDK.
