//! Many callers of many routes at random: what a service sees, where one caller of one route is the
//! best that can be.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use tower::Service;

use crate::Failure;
use crate::measure::now;
use crate::ours::Wire;

/// Callers: each has a connection and a token of its own.
pub const CALLERS: usize = 256;

/// Routes, and a path of each.
const ROUTES: [(&str, &str); 8] = [
    ("/api/v190/users/{id}/items/{item}", "/api/v190/users/4711/items/9"),
    ("/api/v20/users/{id}/items/{item}", "/api/v20/users/4711/items/9"),
    ("/api/v44/users/{id}/items/{item}", "/api/v44/users/4711/items/9"),
    ("/api/v68/users/{id}/items/{item}", "/api/v68/users/4711/items/9"),
    ("/api/v92/users/{id}/items/{item}", "/api/v92/users/4711/items/9"),
    ("/api/v116/users/{id}/items/{item}", "/api/v116/users/4711/items/9"),
    ("/api/v140/users/{id}/items/{item}", "/api/v140/users/4711/items/9"),
    ("/api/v164/users/{id}/items/{item}", "/api/v164/users/4711/items/9"),
];

/// The router of all routes.
pub fn router() -> Router {
    let routes = ROUTES
        .iter()
        .fold(Router::new(), |router, (template, _)| router.route(template, get(|| async { "hello" })));
    routes.with_state(())
}

/// The callers.
#[derive(Debug)]
pub struct Crowd(Vec<Wire>);

impl Crowd {
    /// So many callers, each after a real handshake.
    ///
    /// # Errors
    /// A handshake failed.
    pub fn new(first: &Wire, callers: usize) -> Result<Self, Failure> {
        (0..callers).map(|user| first.another(user)).collect::<Result<_, _>>().map(Self)
    }

    /// Each caller calls each route once: from then on everything is warm, as far as it can be.
    ///
    /// # Panics
    /// The answer is not a 200.
    pub fn warm_up<S, R>(&self, service: &mut S) -> u64
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    {
        for wire in &self.0 {
            ROUTES.iter().for_each(|(_, path)| call(service, wire, *path));
        }
        (self.0.len() * ROUTES.len()) as u64
    }

    /// Calls this many times: a caller and a route drawn anew each time, in the same order for
    /// every service.
    ///
    /// # Panics
    /// The answer is not a 200.
    pub fn call<S, R>(&self, service: &mut S, draw: &mut Draw, times: u64)
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    {
        for _ in 0..times {
            let drawn = draw.next() as usize;
            let wire = &self.0[drawn % self.0.len()];
            let (_, path) = ROUTES[drawn / self.0.len() % ROUTES.len()];
            call(service, wire, path);
        }
    }
}

fn call<S, R>(service: &mut S, wire: &Wire, path: &'static str)
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    let answer = now(service.call(wire.request("GET", path)));
    assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
}

/// Numbers at random (SplitMix64), the same in each run.
#[derive(Debug, Clone, Default)]
pub struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Half of it is enough, and fits every platform's `usize`.
        (mixed ^ (mixed >> 31)) >> 33
    }
}
