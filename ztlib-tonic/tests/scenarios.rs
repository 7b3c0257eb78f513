//! The gRPC scenarios of `conformance/` against a guarded tonic server over mTLS on a real socket,
//! compared with the reference model.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::io::Write as _;
use std::path::Path;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower_service::Service;
use ztlib::enforce::Permit;
use ztlib_conformance::scenario::{Cast, Scenarios};
use ztlib_conformance::stack::{SERVICES, SocketStack, run};
use ztlib_tonic::{GuardedRoutes, serve};

/// What generated code would be: a named service that answers its methods, and says of others that
/// it has none.
#[derive(Clone)]
struct Fake<const SERVICE: usize>;

impl NamedService for Fake<0> {
    const NAME: &'static str = "shop.Inventory";
}

impl NamedService for Fake<1> {
    const NAME: &'static str = "shop.Admin";
}

impl NamedService for Fake<2> {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl<const SERVICE: usize> Service<Request<Body>> for Fake<SERVICE> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(request.extensions().get::<Permit>().is_some(), "a method ran without a permit");
        let (service, methods) = SERVICES.get(SERVICE).copied().unwrap_or_default();
        let known = methods.iter().any(|method| request.uri().path() == format!("/{service}/{method}"));
        let mut response = Response::new(Body::default());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(if known { "0" } else { "12" }));
        headers.insert("x-reached", HeaderValue::from_static(if known { "method" } else { "fallback" }));
        ready(Ok(response))
    }
}

#[test]
fn tonic_over_sockets_and_the_model_agree_on_every_grpc_scenario() {
    let names = [<Fake<0>>::NAME, <Fake<1>>::NAME, <Fake<2>>::NAME];
    assert_eq!(names.to_vec(), SERVICES.iter().map(|(name, _)| *name).collect::<Vec<_>>());

    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance"));
    let scenarios = Scenarios::read(folder).unwrap_or_else(|error| panic!("{error}"));
    let cast = Cast::new(&scenarios).unwrap_or_else(|error| panic!("{error}"));
    let mut stack = SocketStack::new("tonic", true, |server, guard| {
        let routes = Routes::new(Fake::<0>).add_service(Fake::<1>).add_service(Fake::<2>);
        let guarded = GuardedRoutes::new(guard, routes);
        Box::pin(async move {
            serve(server, guarded, pending()).await;
        })
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let report = run(&cast, &mut stack).unwrap_or_else(|error| panic!("{error}"));
    // Not `println!`: how many cases ran is to be seen where the test passes too.
    let _ = writeln!(std::io::stderr(), "{}", report.summary());
    report.verdict(50).unwrap_or_else(|disagreements| panic!("{disagreements}"));
}
