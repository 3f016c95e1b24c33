//! An HTTP client for the AWS SDK that is answered in the same process, without sockets or threads.

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::answer::Body;
use crate::service::Service;
use crate::services::Services;

/// Answers the SDK's requests from [`Services`]. Has no state of a runtime, so that clients on
/// several runtimes can share it.
#[derive(Clone)]
pub(crate) struct InProcessClient {
    services: Arc<Services>,
    caller: Option<Arc<str>>,
    settings: HttpConnectorSettings,
}

impl InProcessClient {
    /// A client whose requests fault rules see as `caller`.
    pub(crate) fn new(services: Arc<Services>, caller: Option<&str>) -> Self {
        Self { services, caller: caller.map(Arc::from), settings: HttpConnectorSettings::default() }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        // After a transient failure the SDK asks for the connection, to close it, and logs an error
        // if there is none.
        if let Some(connection) = parts.extensions.get::<CaptureSmithyConnection>() {
            connection.set_connection_retriever(|| {
                Some(ConnectionMetadata::builder().proxied(false).poison_fn(|| {}).build())
            });
        }
        let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
        let request = http::Request::from_parts(parts, body);
        let answer = self.within_read_timeout(request).await?.map(|body| match body {
            Body::Whole(bytes) => SdkBody::from(bytes),
            messages @ Body::Messages(_) => SdkBody::from_body_1_x(messages),
        });
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
    }

    /// The SDK leaves the read timeout to its HTTP client. The timeout ends with the headers,
    /// because a subscription may send nothing for any time.
    async fn within_read_timeout(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, ConnectorError> {
        let answer = self.services.answer(Service::Kinesis, self.caller.as_deref(), request);
        let answer = match self.settings.read_timeout() {
            None => answer.await,
            Some(read_timeout) => tokio::time::timeout(read_timeout, answer)
                .await
                .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?,
        };
        answer.map_err(|cut| ConnectorError::io(io::Error::from(cut).into()))
    }
}

impl HttpConnector for InProcessClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for InProcessClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Self { settings: settings.clone(), ..self.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("kcl-local", None))
    }
}

impl fmt::Debug for InProcessClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessClient").field("caller", &self.caller).finish_non_exhaustive()
    }
}
