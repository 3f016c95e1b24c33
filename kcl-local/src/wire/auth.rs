//! Checks that a request has all parts of a signature, and reads the signer. Signatures are not
//! verified.

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, Uri};

/// An error of a signature, with AWS's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    Missing,
    /// Both the header and the query string have a signature.
    Ambiguous,
    /// AWS's message with the missing parts.
    Incomplete(String),
}

impl AuthError {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Ambiguous => "InvalidSignatureException",
            Self::Incomplete(_) => "IncompleteSignatureException",
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Missing => "Missing Authentication Token",
            Self::Ambiguous => {
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
            }
            Self::Incomplete(message) => message,
        }
    }
}

/// Checks that the request has a complete signature.
pub(crate) fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), AuthError> {
    let query: Vec<_> = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next()).collect();
    let signed_by_query = query.contains(&"X-Amz-Algorithm");
    match (headers.get(AUTHORIZATION), signed_by_query) {
        (Some(_), true) => Err(AuthError::Ambiguous),
        (None, false) => Err(AuthError::Missing),
        (None, true) => complete_query(&query),
        (Some(header), false) => complete_header(header.to_str().unwrap_or_default(), headers),
    }
}

fn complete_query(query: &[&str]) -> Result<(), AuthError> {
    let missing: String = ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"]
        .into_iter()
        .filter(|parameter| !query.contains(parameter))
        .map(|parameter| format!("AWS query-string parameters must include '{parameter}'. "))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(AuthError::Incomplete(format!("{missing}Re-examine the query-string parameters.")))
}

fn complete_header(authorization: &str, headers: &HeaderMap) -> Result<(), AuthError> {
    if !authorization.starts_with("AWS4-") {
        return Err(AuthError::Missing);
    }
    let mut missing: String = ["Credential", "Signature", "SignedHeaders"]
        .into_iter()
        .filter(|part| !authorization.contains(&format!("{part}=")))
        .map(|part| format!("Authorization header requires '{part}' parameter. "))
        .collect();
    if !headers.contains_key("x-amz-date") && !headers.contains_key(DATE) {
        missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(AuthError::Incomplete(format!("{missing}Authorization={authorization}")))
}

/// The access key and the Region of a signature: from `Credential=<access key
/// id>/<date>/<region>/<service>/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
}

impl Signer {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (_, credential) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once("Credential=")?;
        let mut parts = credential.split([',', ' ']).next()?.split('/');
        let access_key_id = parts.next()?.to_owned();
        let region = parts.nth(1)?.to_owned();
        Some(Self { access_key_id, region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str =
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0";

    fn checked(authorization: Option<&str>, query: &str, dated: bool) -> Result<(), AuthError> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        }
        if dated {
            headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
        }
        check(&headers, &format!("http://localhost/{query}").parse().unwrap())
    }

    #[test]
    fn a_signed_request_passes_by_header_or_by_query() {
        assert_eq!(checked(Some(SIGNED), "", true), Ok(()));
        let query = "?X-Amz-Algorithm=a&X-Amz-Credential=c&X-Amz-Signature=s&X-Amz-SignedHeaders=h&X-Amz-Date=d";
        assert_eq!(checked(None, query, false), Ok(()));
    }

    #[test]
    fn the_error_names_the_missing_parts() {
        assert_eq!(checked(None, "", true), Err(AuthError::Missing));
        assert_eq!(checked(Some("Basic abc"), "", true), Err(AuthError::Missing));
        assert_eq!(checked(Some(SIGNED), "?X-Amz-Algorithm=a", true), Err(AuthError::Ambiguous));
        let Err(AuthError::Incomplete(message)) = checked(Some("AWS4-HMAC-SHA256 Signature=0"), "", false) else {
            panic!("the signature is complete")
        };
        assert!(message.starts_with("Authorization header requires 'Credential' parameter. "), "{message}");
        assert!(message.contains("'X-Amz-Date'") && !message.contains("'Signature'"), "{message}");
        let Err(AuthError::Incomplete(message)) = checked(None, "?X-Amz-Algorithm=a&X-Amz-Date=d", false) else {
            panic!("the signature is complete")
        };
        assert!(message.contains("'X-Amz-Signature'") && !message.contains("'X-Amz-Date'"), "{message}");
    }

    #[test]
    fn the_credential_has_access_key_and_region() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, SIGNED.parse().unwrap())]);
        let signer = Signer { access_key_id: "AKID".to_owned(), region: "eu-west-1".to_owned() };
        assert_eq!(Signer::of(&headers), Some(signer));
    }
}
