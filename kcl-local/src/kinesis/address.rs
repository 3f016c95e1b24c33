//! Builds and parses the ARNs of streams and consumers.

use super::model::{ApiError, Scope};

/// The ARN of the stream `name`.
pub(crate) fn stream_arn(scope: &Scope, name: &str) -> String {
    let Scope { account, region } = scope;
    let partition = match region.split('-').next() {
        Some("cn") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:kinesis:{region}:{account}:stream/{name}")
}

/// The ARN of a consumer registered at `epoch` seconds.
pub(crate) fn consumer_arn(stream_arn: &str, name: &str, epoch: i64) -> String {
    format!("{stream_arn}/consumer/{name}:{epoch}")
}

/// The stream or consumer that an ARN names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource<'a> {
    pub(crate) stream: &'a str,
    /// `name:epoch`, the part after the last slash.
    pub(crate) consumer: Option<&'a str>,
}

impl<'a> Resource<'a> {
    /// Parses an ARN.
    ///
    /// # Errors
    /// Not found, if the ARN is of another account or Region, or names neither a stream nor a
    /// consumer.
    pub(crate) fn parse(scope: &Scope, arn: &'a str) -> Result<Self, ApiError> {
        let unknown = || {
            ApiError::not_found(format!(
                "{arn} does not exist in account {} and Region {}.",
                scope.account, scope.region
            ))
        };
        let mut parts = arn.splitn(6, ':').skip(3);
        let (region, account, resource) = (parts.next(), parts.next(), parts.next());
        if region != Some(&scope.region) || account != Some(&scope.account) {
            return Err(unknown());
        }
        let path = resource.and_then(|resource| resource.strip_prefix("stream/")).ok_or_else(unknown)?;
        match path.split_once('/') {
            None => Ok(Self { stream: path, consumer: None }),
            Some((stream, consumer)) => match consumer.strip_prefix("consumer/") {
                Some(consumer) => Ok(Self { stream, consumer: Some(consumer) }),
                None => Err(unknown()),
            },
        }
    }
}

/// The members `StreamName` and `StreamARN` of a request, which names its stream by one or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamTarget<'a> {
    pub(crate) name: Option<&'a String>,
    pub(crate) arn: Option<&'a String>,
}

impl<'a> StreamTarget<'a> {
    pub(crate) fn new(name: &'a Option<String>, arn: &'a Option<String>) -> Self {
        Self { name: name.as_ref(), arn: arn.as_ref() }
    }

    /// The target of a request that has no `StreamName`.
    pub(crate) fn arn(arn: &'a Option<String>) -> Self {
        Self { name: None, arn: arn.as_ref() }
    }

    /// The name of the stream.
    ///
    /// # Errors
    /// Invalid argument if neither member is given, or if they name different streams. Not found if
    /// the ARN is of another account or Region.
    pub(crate) fn resolve(self, scope: &Scope) -> Result<&'a str, ApiError> {
        match (self.name, self.arn) {
            (None, None) => Err(ApiError::invalid_argument("Either StreamName or StreamARN must be provided.")),
            (Some(name), None) => Ok(name),
            (name, Some(arn)) => {
                let by_arn = Resource::parse(scope, arn)?.stream;
                match name {
                    Some(name) if name != by_arn => Err(ApiError::invalid_argument(format!(
                        "StreamName {name} and StreamARN {arn} name different streams."
                    ))),
                    Some(_) | None => Ok(by_arn),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::model::ErrorCode;

    fn scope() -> Scope {
        Scope::new("123456789012", "eu-west-1")
    }

    fn find(name: Option<&str>, arn: Option<&str>) -> Result<String, ErrorCode> {
        let (name, arn) = (name.map(str::to_owned), arn.map(str::to_owned));
        StreamTarget::new(&name, &arn).resolve(&scope()).map(str::to_owned).map_err(|error| error.code)
    }

    #[test]
    fn a_stream_is_found_by_name_by_arn_and_by_both_if_they_agree() {
        let arn = stream_arn(&scope(), "clicks");
        assert_eq!(arn, "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks");
        assert_eq!(find(Some("clicks"), None), Ok("clicks".to_owned()));
        assert_eq!(find(None, Some(&arn)), Ok("clicks".to_owned()));
        assert_eq!(find(Some("clicks"), Some(&arn)), Ok("clicks".to_owned()));
        assert_eq!(find(Some("views"), Some(&arn)), Err(ErrorCode::InvalidArgument));
        assert_eq!(find(None, None), Err(ErrorCode::InvalidArgument));
    }

    #[test]
    fn other_accounts_and_regions_are_not_found() {
        assert_eq!(
            find(None, Some("arn:aws:kinesis:us-east-1:123456789012:stream/a")),
            Err(ErrorCode::ResourceNotFound)
        );
        assert_eq!(
            find(None, Some("arn:aws:kinesis:eu-west-1:999999999999:stream/a")),
            Err(ErrorCode::ResourceNotFound)
        );
    }

    #[test]
    fn partitions_follow_the_region() {
        assert!(stream_arn(&Scope::new("123456789012", "cn-north-1"), "a").starts_with("arn:aws-cn:"));
        assert!(stream_arn(&Scope::new("123456789012", "us-gov-west-1"), "a").starts_with("arn:aws-us-gov:"));
    }

    #[test]
    fn a_consumer_arn_names_stream_and_consumer() {
        let arn = consumer_arn(&stream_arn(&scope(), "clicks"), "app", 7);
        assert_eq!(Resource::parse(&scope(), &arn), Ok(Resource { stream: "clicks", consumer: Some("app:7") }));
    }
}
