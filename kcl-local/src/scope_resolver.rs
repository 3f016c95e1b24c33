//! Finds the account and Region of a request.

use http::HeaderMap;

use crate::kinesis::model::Scope;
use crate::wire::auth::Signer;

/// Finds the account and Region of a request.
#[derive(Clone, Debug)]
pub(crate) struct ScopeResolver {
    /// The scope of requests unless their credentials decide.
    pub(crate) default: Scope,
    /// Whether the signature decides: its Region, and its access key id as the account if that has
    /// twelve digits.
    pub(crate) from_credentials: bool,
}

impl ScopeResolver {
    pub(crate) fn resolve(&self, headers: &HeaderMap) -> Scope {
        let signer = if self.from_credentials { Signer::of(headers) } else { None };
        let Some(Signer { access_key_id, region }) = signer else { return self.default.clone() };
        let is_account = access_key_id.len() == 12 && access_key_id.bytes().all(|byte| byte.is_ascii_digit());
        Scope::new(if is_account { access_key_id } else { self.default.account.clone() }, region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;

    fn scope_of(credential: &str, from_credentials: bool) -> Scope {
        let scopes = ScopeResolver { default: Scope::new("000000000000", "us-east-1"), from_credentials };
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        scopes.resolve(&HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())]))
    }

    #[test]
    fn the_configured_scope_holds_unless_credentials_decide() {
        let credential = "111122223333/20260101/eu-west-1/kinesis/aws4_request";
        assert_eq!(scope_of(credential, false), Scope::new("000000000000", "us-east-1"));
        assert_eq!(scope_of(credential, true), Scope::new("111122223333", "eu-west-1"));
        let without_account = "AKIDEXAMPLE/20260101/eu-west-1/kinesis/aws4_request";
        assert_eq!(scope_of(without_account, true), Scope::new("000000000000", "eu-west-1"));
    }
}
