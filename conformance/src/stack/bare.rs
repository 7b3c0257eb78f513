//! The bare stack: `GuardLayer` around a router of a few lines, without sockets, runtime or
//! framework.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use tower_layer::Layer as _;
use tower_service::Service;
use ztlib::authenticate::peer::PeerCertificates;
use ztlib::enforce::{Guard, GuardLayer, MatchedRoute, Permit, Protocol, Refusal};

use super::reply::REACHED;
use super::{Reply, Seen, StackUnderTest};
use crate::scenario::{Case, Cast, Exchange, ScenarioError};
use ztlib_testing::Events;

/// The routes of the HTTP service, in axum's notation; every method reaches a handler.
pub const HTTP_ROUTES: &[&str] = &[
    "/",
    "/healthz",
    "/orders",
    "/orders/{id}",
    "/orders/{id}/cancel",
    "/items/{name}",
    "/files/{*path}",
    "/admin",
    "/admin/users/{id}",
    "/profile",
    "/transfers",
    "/reports/{year}/{month}",
    "/v1/status",
    "/v1/orders/{id}",
];

/// The gRPC services with their methods.
pub const SERVICES: &[(&str, &[&str])] = &[
    ("shop.Inventory", &["Stock", "Reserve", "Watch"]),
    ("shop.Admin", &["Purge"]),
    ("grpc.health.v1.Health", &["Check", "Watch"]),
];

/// `GuardLayer` around a router of a few lines.
#[derive(Debug, Default)]
pub struct BareStack {
    guards: BTreeMap<String, (Guard, Events)>,
}

impl BareStack {
    /// Guards are made when the first case asks for them.
    pub fn new() -> Self {
        Self::default()
    }
}

impl StackUnderTest for BareStack {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn takes(&self, _: &Exchange) -> bool {
        true
    }

    fn send(&mut self, cast: &Cast<'_>, case: &Case, exchange: &Exchange) -> Result<Seen, ScenarioError> {
        if !self.guards.contains_key(&case.service) {
            self.guards.insert(case.service.clone(), cast.guard(&case.service, true)?);
        }
        let (guard, events) = self.guards.get(&case.service).ok_or_else(|| ScenarioError::new("no guard"))?;
        let mut request = request(exchange)?;
        if let Some(peer) = cast.peer(case) {
            request.extensions_mut().insert(PeerCertificates::foreign(peer.chain()));
        }
        let response = ask(guard, request)?;
        let (parts, mut body) = response.into_parts();
        if let Some(refusal) = parts.extensions.get::<Refusal>()
            && exchange.method == "HEAD"
        {
            if !body.is_empty() {
                return Err(ScenarioError::new("a refused HEAD has content"));
            }
            // It has no place to tell the code in: that of its GET has.
            let get = refusal.clone().into_response::<Full<Bytes>>(Protocol::Http).into_body();
            let Some(Ok(whole)) = at_once(get.collect()) else {
                return Err(ScenarioError::new("a refusal waited for something"));
            };
            body = whole.to_bytes();
        }
        let mut reply = Reply::read(parts.status, &parts.headers, &body)?;
        if let Some(refusal) = parts.extensions.get::<Refusal>() {
            // Both rows of the table, whichever protocol was spoken.
            reply.status = Some(refusal.status().as_u16());
            reply.grpc = Some(refusal.grpc_code());
        }
        Ok(Seen { events: events.take(), reply: Some(reply), refused_connection: None })
    }
}

/// The request as an acceptor would hand it over.
pub(crate) fn request(exchange: &Exchange) -> Result<Request<Full<Bytes>>, ScenarioError> {
    let mut builder = Request::builder().method(exchange.method.as_str());
    match (&exchange.host, exchange.grpc) {
        (Some(host), true) => {
            builder = builder.version(Version::HTTP_2).uri(format!("https://{host}{}", exchange.target));
        }
        (Some(host), false) => builder = builder.uri(&exchange.target).header("host", host),
        (None, _) => builder = builder.uri(&exchange.target),
    }
    for (name, value) in &exchange.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::default())
        .map_err(|error| ScenarioError::because("the request cannot be made", &error))
}

/// Sends a request through a guarded router of the bare stack, over the route that its path
/// matches. It waits for nothing.
///
/// # Errors
/// The stack waited, which it never should.
pub fn ask(guard: &Guard, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ScenarioError> {
    let matched = matched(request.uri().path(), request.version() == Version::HTTP_2);
    ask_matched(guard, request, matched)
}

/// The same over a route that the test chooses.
///
/// # Errors
/// The stack waited, which it never should.
pub fn ask_matched(
    guard: &Guard,
    mut request: Request<Full<Bytes>>,
    matched: MatchedRoute,
) -> Result<Response<Bytes>, ScenarioError> {
    let waited = || ScenarioError::new("a guarded call waited for something");
    request.extensions_mut().insert(matched);
    let mut service = GuardLayer::new(guard.clone()).layer(Router);
    let response = at_once(service.call(request)).ok_or_else(waited)?;
    let Ok(response) = response;
    let (parts, body) = response.into_parts();
    let body = at_once(body.collect()).ok_or_else(waited)?;
    let body =
        body.map(|body| body.to_bytes()).map_err(|error| ScenarioError::because("the body", &error))?;
    Ok(Response::from_parts(parts, body))
}

fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn matched(path: &str, grpc: bool) -> MatchedRoute {
    let (template, params) = matched_route(path, grpc);
    let matched = template.map_or_else(MatchedRoute::none, MatchedRoute::new);
    let matched = matched.served_in(if grpc { Protocol::Grpc } else { Protocol::Http });
    params.into_iter().fold(matched, |matched, (name, value)| matched.with_param(name, value))
}

/// The template that matches a path, and its parameters, decoded. Of a known gRPC service every
/// method is a route.
pub(crate) fn matched_route(path: &str, grpc: bool) -> (Option<String>, Vec<(String, String)>) {
    if grpc {
        let method = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let known = method.is_some_and(|(service, method)| {
            !method.is_empty() && !method.contains('/') && SERVICES.iter().any(|(name, _)| *name == service)
        });
        return (known.then(|| path.to_owned()), Vec::new());
    }
    let found =
        HTTP_ROUTES.iter().find_map(|template| Some(((*template).to_owned(), params(template, path)?)));
    let Some((template, params)) = found else { return (None, Vec::new()) };
    (Some(template), params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The parameters of a template that matches, as axum's router matches it: a parameter is never
/// empty. None where it does not match.
fn params<'t>(template: &'t str, path: &str) -> Option<Vec<(&'t str, String)>> {
    let mut params = Vec::new();
    let mut path = Some(path.strip_prefix('/')?);
    for expected in template.strip_prefix('/')?.split('/') {
        let rest = path?;
        if let Some(name) = expected.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
            params.push((name, decode(rest)?));
            path = None;
            continue;
        }
        let (segment, after) =
            rest.split_once('/').map_or((rest, None), |(segment, after)| (segment, Some(after)));
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => params.push((name, decode(segment)?)),
            None if expected == segment => {}
            None => return None,
        }
        path = after;
    }
    (path.is_none() && params.iter().all(|(_, value)| !value.is_empty())).then_some(params)
}

/// Once, and only what is UTF-8 then.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Says which handler ran. It cannot run without a permit.
#[derive(Clone, Copy)]
struct Router;

impl Service<Request<Full<Bytes>>> for Router {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::default());
        if request.extensions().get::<Permit>().is_none() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return ready(Ok(response));
        }
        let reached = reached(request.uri().path(), request.version() == Version::HTTP_2);
        response.headers_mut().insert(REACHED, HeaderValue::from_static(reached));
        ready(Ok(response))
    }
}

/// What runs for a path.
pub(crate) fn reached(path: &str, grpc: bool) -> &'static str {
    if grpc {
        let known = SERVICES
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(move |method| (service, method)));
        let found = known.into_iter().find(|(service, method)| path == format!("/{service}/{method}"));
        return if found.is_some() { "method" } else { "fallback" };
    }
    HTTP_ROUTES.iter().find(|template| params(template, path).is_some()).copied().unwrap_or("fallback")
}
