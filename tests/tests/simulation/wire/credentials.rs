//! Clients that find no credentials for one call: the servers mark the call, and the client fails
//! as it does when its provider has none.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The status of an answer that stands for missing credentials; no service uses it.
pub(super) const MARK: u16 = 599;

/// An HTTP client that wraps another one.
#[derive(Debug)]
pub(super) struct Client(pub(super) SharedHttpClient);

#[derive(Debug)]
struct Connector(SharedHttpConnector);

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, parts)))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if answer.status().as_u16() == MARK {
                let missing = CredentialsError::not_loaded("the provider chain found no credentials");
                return Err(ConnectorError::other(missing.into(), None));
            }
            Ok(answer)
        })
    }
}
