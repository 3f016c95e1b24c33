//! The door for everyone else: HTTP/1.1, and HTTP/2 in clear text with prior knowledge.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::routing::{any, get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

use super::control;
use crate::fault::layer::Cut;
use crate::service::Service;
use crate::services::Services;
use crate::wire::MAX_BODY;

/// Serves both services on `listener` until they are closed, and finishes what runs then. Requests that do not say which service they
/// are for are taken for `door`'s.
pub(crate) async fn serve(listener: TcpListener, services: Arc<Services>, door: Service) {
    let closed = services.closed.clone();
    let listener = listener.tap_io(|connection| {
        // A connection that refuses the option is as good as one with it, only slower.
        _ = connection.set_nodelay(true);
    });
    let served = axum::serve(listener, router(services, door)).with_graceful_shutdown(closed.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, service = %door, "the server stopped");
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
    let Ok(body) = read(body).await else { return cut() };
    match services.answer(door, None, Request::from_parts(parts, body)).await {
        Ok(answer) => answer.map(Body::new),
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
