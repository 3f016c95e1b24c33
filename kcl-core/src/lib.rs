//! Consume Kinesis streams with a fleet of workers.
