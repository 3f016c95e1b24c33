//! Answers HTTP requests to both services, for all front ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer::Body;
use crate::calls::CallLog;
use crate::clock::Clock;
use crate::dynamodb::{self, Tables, Watcher};
use crate::fault::executor::{self, Cut, Substitute};
use crate::fault::stream::Script;
use crate::fault::{self, Call, Faults, Outcome};
use crate::frontend::connection::Connection;
use crate::kinesis::model::{Request as KinesisRequest, Response as KinesisResponse, Scope};
use crate::kinesis::{Engine, EngineTime, Step, SubscriptionId};
use crate::scope_resolver::ScopeResolver;
use crate::service::{Service, Target};
use crate::subscription::{Feed, Messages, Wake, Wakers, messages};
use crate::wire::MAX_BODY;
use crate::wire::encoding::Encoding;
use crate::wire::kinesis::{self, Refusal};
use crate::wire::response_headers::ResponseHeaders;

/// The two services and their shared state. Any number of threads and runtimes may send requests.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) clock: Clock,
    pub(crate) calls: CallLog,
    pub(crate) faults: Faults,
    /// Cancelled when the servers shut down.
    pub(crate) closed: CancellationToken,
    pub(crate) scopes: ScopeResolver,
    engine: Mutex<Engine>,
    wakers: Wakers,
    tables: Tables,
    response_headers: ResponseHeaders,
}

impl Services {
    pub(crate) fn new(clock: Clock, scopes: ScopeResolver, engine: Engine, tables: Tables) -> Self {
        Self {
            clock,
            calls: CallLog::default(),
            faults: Faults::default(),
            closed: CancellationToken::new(),
            scopes,
            engine: Mutex::new(engine),
            wakers: Wakers::default(),
            tables,
            response_headers: ResponseHeaders::default(),
        }
    }

    /// Answers a request, with its faults. A request without a valid target goes to
    /// `default_service`.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        default_service: Service,
        caller: Option<&str>,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, Cut> {
        let (parts, body) = request.into_parts();
        let Some(target) = target(&parts).filter(|_| body.len() <= MAX_BODY) else {
            return Ok(self.serve(default_service, caller, &parts, &body, Script::default()));
        };
        self.calls.count(target);
        let service = target.service;
        let decision = self.faults.next(&Call { service, operation: target.operation, caller });
        let encoding = Encoding::of(&parts.headers).unwrap_or(Encoding::Json11);
        let act = {
            let (services, caller) = (self.clone(), caller.map(str::to_owned));
            let script = Script::new(match &decision.outcome {
                Outcome::BrokenStream(point) => Some(point.clone()),
                Outcome::Answered
                | Outcome::Rejected(_)
                | Outcome::Intercepted(..)
                | Outcome::RequestLost
                | Outcome::ResponseLost
                | Outcome::RequestCut
                | Outcome::ResponseCut => None,
            });
            move || services.serve(service, caller.as_deref(), &parts, &body, script)
        };
        executor::execute(decision, &self.closed, act, |substitute| match substitute {
            Substitute::Error(name) => self.refuse(service, encoding, &name),
            Substitute::Page(status, page) => intercepted(status, page),
        })
        .await
    }

    /// Runs `operation` on the engine at its current time, and wakes all subscriptions, because it
    /// may have changed anything.
    pub(crate) fn with_engine<T>(&self, operation: impl FnOnce(&mut Engine, EngineTime) -> T) -> T {
        let result = self.locked(operation);
        self.wakers.wake(&Wake::All);
        result
    }

    /// The next step of a subscription.
    pub(crate) fn next_event(&self, subscription: SubscriptionId) -> Step {
        self.locked(|engine, now| engine.next_event(subscription, now))
    }

    pub(crate) fn unsubscribe(&self, subscription: SubscriptionId) {
        self.locked(|engine, now| engine.unsubscribe(subscription, now));
    }

    /// The instant at which the engine's clock shows `time`.
    pub(crate) fn instant(&self, time: EngineTime) -> Instant {
        self.clock.instant(Duration::from_millis(u64::try_from(time.millis()).unwrap_or(0)))
    }

    fn locked<T>(&self, operation: impl FnOnce(&mut Engine, EngineTime) -> T) -> T {
        operation(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner), self.engine_time())
    }

    /// Notifies `watcher` of changes by writes to DynamoDB.
    pub(crate) fn watch(&self, watcher: Watcher) {
        self.tables.watch(watcher);
    }

    /// The answer to a body that is too large.
    pub(crate) fn too_large(&self, service: Service) -> Response<Body> {
        let mut answer = too_large().map(Body::Whole);
        self.response_headers.add(service, self.clock.now(), &mut answer);
        answer
    }

    fn serve(
        self: &Arc<Self>,
        service: Service,
        caller: Option<&str>,
        parts: &Parts,
        body: &[u8],
        script: Script,
    ) -> Response<Body> {
        let operation = target(parts).filter(|target| target.service == service).map(|target| target.operation);
        let mut answer = if body.len() > MAX_BODY {
            too_large().map(Body::Whole)
        } else {
            let scope = self.scopes.resolve(&parts.headers);
            match service {
                Service::Kinesis => self.kinesis(&scope, operation, parts, body, script),
                Service::DynamoDb => self.tables.answer(&scope, caller, operation, parts, body).map(Body::Whole),
            }
        };
        self.response_headers.add(service, self.clock.now(), &mut answer);
        let status = answer.status().as_u16();
        tracing::debug!(%service, operation, status, bytes = answer.body().len(), "answered");
        answer
    }

    fn kinesis(
        self: &Arc<Self>,
        scope: &Scope,
        operation: Option<&str>,
        parts: &Parts,
        body: &[u8],
        script: Script,
    ) -> Response<Body> {
        let encoding = Encoding::of(&parts.headers).filter(|_| parts.method == Method::POST);
        let Some(encoding) = encoding else { return kinesis::unknown_format(operation, parts).map(Body::Whole) };
        let result = kinesis::read(encoding, operation, parts, body).and_then(|request| self.handle(scope, request));
        match result {
            Ok(KinesisResponse::SubscribeToShard(id)) => {
                kinesis::events(Body::Messages(self.messages(id, encoding, script, parts)))
            }
            result => kinesis::write(encoding, result).map(Body::Whole),
        }
    }

    fn handle(&self, scope: &Scope, request: KinesisRequest) -> Result<KinesisResponse, Refusal> {
        // Only the engine runs under the lock: reading and writing bodies is most of the work.
        let response = self.locked(|engine, now| engine.handle(scope, request, now))?;
        self.wakers.wake(&Wake::after(&response));
        Ok(response)
    }

    fn messages(self: &Arc<Self>, id: SubscriptionId, encoding: Encoding, script: Script, parts: &Parts) -> Messages {
        let feed = Feed::new(self.clone(), id, self.wakers.of(id.shard()));
        messages(feed, encoding, script, parts.extensions.get::<Connection>().cloned())
    }

    fn refuse(&self, service: Service, encoding: Encoding, name: &str) -> Response<Body> {
        let mut answer = match service {
            Service::Kinesis => kinesis::write(encoding, Err(Refusal::named(name, fault::MESSAGE))),
            Service::DynamoDb => dynamodb::refuse(name),
        }
        .map(Body::Whole);
        self.response_headers.add(service, self.clock.now(), &mut answer);
        answer
    }

    fn engine_time(&self) -> EngineTime {
        let millis = self.clock.since_unix_epoch().as_millis();
        EngineTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// The target of the request. Both services accept only POST.
fn target(parts: &Parts) -> Option<Target<'_>> {
    let header = parts.headers.get("x-amz-target").filter(|_| parts.method == Method::POST)?;
    Target::parse(header.to_str().ok()?)
}

/// An HTML page of a proxy between client and service.
fn intercepted(status: u16, page: String) -> Response<Body> {
    let mut answer = Response::new(Body::Whole(Bytes::from(page)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/html"));
    answer
}

/// The answer of AWS's front end, which rejects the request before a service reads it.
fn too_large() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(b"<RequestEntityTooLargeException/>\n"));
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    answer
}
