//! Serves HTTP/1.1 and HTTP/2 (with prior knowledge, or negotiated by TLS) on sockets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::body_reader::{BodyError, BodyReader};
use super::connection::{Connection, CountedBody};
use super::control;
use super::host_check::{self, AllowedHosts};
use super::open_connections::{ConnectionPermit, OpenConnections};
use super::transport::Transport;
use crate::fault::executor::Cut;
use crate::service::Service;
use crate::services::Services;

/// Pause after an error of `accept` that concerns all connections, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Time for the first request, which clients send at once.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the TLS handshake: two messages each way, on one machine.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a closing connection to finish, because the rest of a request's headers may never
/// arrive.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of all connections.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) transport: Transport,
    /// Maximum number of open HTTP/2 streams per connection.
    pub(crate) max_concurrent_streams: u32,
    /// A connection without a request for this long is closed.
    pub(crate) idle_timeout: Duration,
    pub(crate) open: OpenConnections,
    /// The host names of this server.
    pub(crate) hosts: AllowedHosts,
}

/// Serves both services on `listener` until they are closed, and then finishes running requests.
/// Requests without a valid target go to `default_service`.
pub(crate) async fn serve(
    listener: TcpListener,
    connections: Connections,
    services: Arc<Services>,
    default_service: Service,
) {
    let router = router(services.clone(), default_service, connections.hosts.clone());
    let running = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = services.closed.cancelled() => break,
        };
        match accepted {
            Ok((socket, _)) => match connections.open.admit() {
                Some(permit) => {
                    running.spawn(connections.clone().serve(socket, permit, router.clone(), services.clone()));
                }
                None => tracing::warn!(service = %default_service, "connection refused: too many connections are busy"),
            },
            Err(error) => {
                tracing::warn!(%error, service = %default_service, "accept failed; retrying");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    running.close();
    running.wait().await;
}

impl Connections {
    async fn serve(self, socket: TcpStream, permit: ConnectionPermit, router: Router, services: Arc<Services>) {
        let handle = permit.connection.clone();
        let io = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.transport.accept(socket)) => accepted,
            () = handle.cut_requested() => return,
            () = services.closed.cancelled() => return,
        };
        let Ok(io) = io else { return };
        let io = match io {
            Ok(io) => io,
            Err(error) => {
                tracing::debug!(%error, "TLS handshake failed: no TLS, or the client does not trust the certificate");
                return;
            }
        };
        let router = router.layer(axum::Extension(handle.clone()));
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2().max_concurrent_streams(self.max_concurrent_streams).timer(TokioTimer::new());
        let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(router)));
        let ended = tokio::select! {
            ended = served.as_mut() => Some(ended),
            () = handle.cut_requested() => return,
            () = handle.go_away_requested() => None,
            () = handle.idle_for(FIRST_REQUEST_TIMEOUT, self.idle_timeout) => None,
            () = services.closed.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                served.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = served => ended,
                    () = handle.cut_requested() => return,
                    () = handle.idle_for(CLOSE_TIMEOUT, CLOSE_TIMEOUT) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "connection failed");
        }
    }
}

fn router(services: Arc<Services>, default_service: Service, hosts: AllowedHosts) -> Router {
    let bodies = BodyReader::default();
    let serve = move |State(services): State<Arc<Services>>, request: Request| {
        answer(services, bodies, default_service, request)
    };
    Router::new()
        .route("/__kcl/calls", get(control::calls).delete(control::reset_calls))
        .route("/__kcl/faults", post(control::add_faults).delete(control::clear_faults))
        .fallback(any(serve))
        .with_state(services)
        .layer(axum::middleware::from_fn_with_state(hosts, host_check::check))
}

async fn answer(
    services: Arc<Services>,
    bodies: BodyReader,
    default_service: Service,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let running = parts.extensions.get::<Connection>().map(Connection::begin);
    let read = match bodies.read(body).await {
        Ok(read) => read,
        Err(BodyError::TooLarge) => return services.too_large(default_service).map(Body::new),
        Err(BodyError::OutOfBudget) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "too many request bodies at the same time\n");
        }
        Err(BodyError::TooSlow) => return refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n"),
        Err(BodyError::Broken) => return cut(),
    };
    match services.answer(default_service, None, Request::from_parts(parts, read.body.clone())).await {
        Ok(answer) => answer.map(|body| Body::new(CountedBody { body, _running: running })),
        Err(Cut) => cut(),
    }
}

fn refused(status: StatusCode, reason: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(reason));
    *answer.status_mut() = status;
    answer
}

/// A response whose body fails before its first byte: the server then closes the connection
/// (HTTP/2: resets the stream) without sending anything.
fn cut() -> Response<Body> {
    let failed: Result<Bytes, _> = Err(io::Error::other("cut by a fault"));
    Response::new(Body::from_stream(stream::iter([failed])))
}
