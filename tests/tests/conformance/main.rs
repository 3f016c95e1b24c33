//! What Amazon Kinesis does, as tests of the embedded server. The number in a test's name is that of the behaviour in the checklist.

mod wire;
