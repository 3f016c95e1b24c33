//! The door for everyone else: HTTP/1.1, and HTTP/2 with prior knowledge or, by TLS, by agreement.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Counted};
use super::control;
use super::transport::Transport;
use crate::fault::layer::Cut;
use crate::service::Service;
use crate::services::Services;
use crate::wire::MAX_BODY;

/// After an error that is not one connection's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// How connections are kept.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) transport: Transport,
    /// HTTP/2 streams that one may have open.
    pub(crate) max_concurrent_streams: u32,
    /// After so long without a request it is closed.
    pub(crate) idle: Option<Duration>,
}

/// Serves both services on `listener` until they are closed, and finishes what runs then. Requests that do not say which service they
/// are for are taken for `door`'s.
pub(crate) async fn serve(listener: TcpListener, connections: Connections, services: Arc<Services>, door: Service) {
    let (router, running) = (router(services.clone(), door), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = services.closed.cancelled() => break,
        };
        match accepted {
            Ok((socket, _)) => {
                running.spawn(connections.clone().serve(socket, router.clone(), services.clone()));
            }
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
    async fn serve(self, socket: TcpStream, router: Router, services: Arc<Services>) {
        let io = tokio::select! {
            accepted = self.transport.accept(socket) => accepted,
            () = services.closed.cancelled() => return,
        };
        let io = match io {
            Ok(io) => io,
            Err(error) => {
                tracing::debug!(%error, "a connection without TLS, or whose client does not trust the certificate");
                return;
            }
        };
        let handle = Connection::new();
        let router = router.layer(axum::Extension(handle.clone()));
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http2().max_concurrent_streams(self.max_concurrent_streams).timer(TokioTimer::new());
        let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(io), TowerToHyperService::new(router)));
        let idle = async {
            match self.idle {
                Some(patience) => handle.idle_for(patience).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = served.as_mut() => Some(ended),
            () = handle.told_to_end() => return,
            () = handle.told_to_go_away() => None,
            () = idle => None,
            () = services.closed.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                served.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = served => ended,
                    () = handle.told_to_end() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection broke off");
        }
    }
}

fn router(services: Arc<Services>, door: Service) -> Router {
    Router::new()
        .route("/__kcl/calls", get(control::calls).delete(control::reset_calls))
        .route("/__kcl/faults", post(control::add_faults).delete(control::clear_faults))
        .fallback(any(move |State(services): State<Arc<Services>>, request: Request| answer(services, door, request)))
        .with_state(services)
}

async fn answer(services: Arc<Services>, door: Service, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let running = parts.extensions.get::<Connection>().map(Connection::begin);
    let Ok(body) = read(body).await else { return cut() };
    match services.answer(door, None, Request::from_parts(parts, body)).await {
        Ok(answer) => answer.map(|body| Body::new(Counted { body, _running: running })),
        Err(Cut) => cut(),
    }
}

/// Reads the body, to its end even where it is too large: a client that is still sending would see a reset instead of the answer.
/// What comes after the first byte too many is not kept.
async fn read(mut body: Body) -> Result<Bytes, axum::Error> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Vec::with_capacity(expected.min(MAX_BODY + 1));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = MAX_BODY + 1 - whole.len();
            whole.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(whole.into())
}

/// A body that fails before its first byte makes the server drop the connection (in HTTP/2: reset the stream) with nothing sent.
fn cut() -> Response<Body> {
    let failed: Result<Bytes, _> = Err(io::Error::other("cut by a fault"));
    Response::new(Body::from_stream(stream::iter([failed])))
}
