//! The door for everyone else: HTTP/1.1, and HTTP/2 with prior knowledge or, by TLS, by agreement.

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

use super::connection::{Connection, Counted};
use super::control;
use super::intake::{Intake, Unread};
use super::open_connections::{OpenConnections, Place};
use super::origin::{self, Hosts};
use super::transport::Transport;
use crate::fault::layer::Cut;
use crate::service::Service;
use crate::services::Services;

/// After an error that is not one connection's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// A client sends its first request at once.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// Two messages each way, on one machine.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection that is to end may be in the middle of a request's headers, which never come.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How connections are kept.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) transport: Transport,
    /// HTTP/2 streams that one may have open.
    pub(crate) max_concurrent_streams: u32,
    /// After so long without a request it is closed.
    pub(crate) idle: Duration,
    pub(crate) open: OpenConnections,
    /// The names of this server.
    pub(crate) hosts: Hosts,
}

/// Serves both services on `listener` until they are closed, and finishes what runs then. Requests that do not say which service they
/// are for are taken for `door`'s.
pub(crate) async fn serve(listener: TcpListener, connections: Connections, services: Arc<Services>, door: Service) {
    let router = router(services.clone(), door, connections.hosts.clone());
    let running = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = services.closed.cancelled() => break,
        };
        match accepted {
            Ok((socket, _)) => match connections.open.admit() {
                Some(place) => {
                    running.spawn(connections.clone().serve(socket, place, router.clone(), services.clone()));
                }
                None => tracing::warn!(service = %door, "connection refused: too many are busy"),
            },
            Err(error) => {
                tracing::warn!(%error, service = %door, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    running.close();
    running.wait().await;
}

impl Connections {
    async fn serve(self, socket: TcpStream, place: Place, router: Router, services: Arc<Services>) {
        let handle = place.connection.clone();
        let io = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE, self.transport.accept(socket)) => accepted,
            () = handle.told_to_end() => return,
            () = services.closed.cancelled() => return,
        };
        let Ok(io) = io else { return };
        let io = match io {
            Ok(io) => io,
            Err(error) => {
                tracing::debug!(%error, "a connection without TLS, or whose client does not trust the certificate");
                return;
            }
        };
        let router = router.layer(axum::Extension(handle.clone()));
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2().max_concurrent_streams(self.max_concurrent_streams).timer(TokioTimer::new());
        let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(router)));
        let ended = tokio::select! {
            ended = served.as_mut() => Some(ended),
            () = handle.told_to_end() => return,
            () = handle.told_to_go_away() => None,
            () = handle.idle_for(FIRST_REQUEST, self.idle) => None,
            () = services.closed.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                served.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = served => ended,
                    () = handle.told_to_end() => return,
                    () = handle.idle_for(LAST_WORDS, LAST_WORDS) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke off");
        }
    }
}

fn router(services: Arc<Services>, door: Service, hosts: Hosts) -> Router {
    let intake = Intake::default();
    let serve = move |State(services): State<Arc<Services>>, request: Request| answer(services, intake, door, request);
    Router::new()
        .route("/__kcl/calls", get(control::calls).delete(control::reset_calls))
        .route("/__kcl/faults", post(control::add_faults).delete(control::clear_faults))
        .fallback(any(serve))
        .with_state(services)
        .layer(axum::middleware::from_fn_with_state(hosts, origin::check))
}

async fn answer(services: Arc<Services>, intake: Intake, door: Service, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let running = parts.extensions.get::<Connection>().map(Connection::begin);
    let held = match intake.read(body).await {
        Ok(held) => held,
        Err(Unread::TooLarge) => return services.too_large(door).map(Body::new),
        Err(Unread::NoRoom) => return refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests are being read\n"),
        Err(Unread::TooSlow) => return refused(StatusCode::REQUEST_TIMEOUT, "the body did not come\n"),
        Err(Unread::Broken) => return cut(),
    };
    match services.answer(door, None, Request::from_parts(parts, held.body.clone())).await {
        Ok(answer) => answer.map(|body| Body::new(Counted { body, _running: running })),
        Err(Cut) => cut(),
    }
}

fn refused(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(why));
    *answer.status_mut() = status;
    answer
}

/// A body that fails before its first byte makes the server drop the connection (in HTTP/2: reset the stream) with nothing sent.
fn cut() -> Response<Body> {
    let failed: Result<Bytes, _> = Err(io::Error::other("cut by a fault"));
    Response::new(Body::from_stream(stream::iter([failed])))
}
