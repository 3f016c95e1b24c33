//! The two services, and the header that selects the service and operation of a request.

use std::fmt;

/// One of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB (DynamoDB Streams included).
    DynamoDb,
}

impl Service {
    /// Both services.
    pub const ALL: [Self; 2] = [Self::Kinesis, Self::DynamoDb];

    /// The name used in URLs, counts and logs: `kinesis` or `dynamodb`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::DynamoDb => "dynamodb",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The service and operation of an `X-Amz-Target` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
}

/// The prefixes of the `X-Amz-Target` header, from the services' models.
const PREFIXES: [(&str, Service); 3] = [
    ("Kinesis_20131202", Service::Kinesis),
    ("DynamoDB_20120810", Service::DynamoDb),
    ("DynamoDBStreams_20120810", Service::DynamoDb),
];

impl<'a> Target<'a> {
    /// Parses the value of the header. The service checks later whether it knows the operation.
    pub(crate) fn parse(header: &'a str) -> Option<Self> {
        let (prefix, operation) = header.split_once('.')?;
        let (_, service) = PREFIXES.iter().find(|(known, _)| *known == prefix)?;
        Some(Self { service: *service, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_service_and_operation() {
        let kinesis = Target { service: Service::Kinesis, operation: "GetRecords" };
        assert_eq!(Target::parse("Kinesis_20131202.GetRecords"), Some(kinesis));
        let table = Target { service: Service::DynamoDb, operation: "PutItem" };
        assert_eq!(Target::parse("DynamoDB_20120810.PutItem"), Some(table));
        let stream = Target { service: Service::DynamoDb, operation: "GetRecords" };
        assert_eq!(Target::parse("DynamoDBStreams_20120810.GetRecords"), Some(stream));
    }

    #[test]
    fn targets_of_other_services_are_not_parsed() {
        for header in ["", "GetRecords", "SQS.GetRecords", "kinesis_20131202.GetRecords"] {
            assert_eq!(Target::parse(header), None, "{header}");
        }
    }
}
