//! Whose streams and tables a request is about.

use http::HeaderMap;

use crate::kinesis::model::Scope;
use crate::wire::auth::Signer;

/// How the account and Region of a request are found.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// What holds if the request does not say otherwise.
    pub(crate) scope: Scope,
    /// Whether the request's signature says: its Region, and its access key id as the account if that is twelve digits.
    pub(crate) from_credentials: bool,
}

impl Identity {
    pub(crate) fn of(&self, headers: &HeaderMap) -> Scope {
        let signer = if self.from_credentials { Signer::of(headers) } else { None };
        let Some(Signer { access_key_id, region }) = signer else { return self.scope.clone() };
        let is_account = access_key_id.len() == 12 && access_key_id.bytes().all(|byte| byte.is_ascii_digit());
        Scope::new(if is_account { access_key_id } else { self.scope.account.clone() }, region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;

    fn scope_of(credential: &str, from_credentials: bool) -> Scope {
        let identity = Identity { scope: Scope::new("000000000000", "us-east-1"), from_credentials };
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        identity.of(&HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())]))
    }

    #[test]
    fn configuration_decides_unless_credentials_may() {
        let credential = "111122223333/20260101/eu-west-1/kinesis/aws4_request";
        assert_eq!(scope_of(credential, false), Scope::new("000000000000", "us-east-1"));
        assert_eq!(scope_of(credential, true), Scope::new("111122223333", "eu-west-1"));
        let named = "AKIDEXAMPLE/20260101/eu-west-1/kinesis/aws4_request";
        assert_eq!(scope_of(named, true), Scope::new("000000000000", "eu-west-1"));
    }
}
