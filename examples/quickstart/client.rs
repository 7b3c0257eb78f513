//! Sends a scene's request over a real connection: HTTP with hyper, gRPC with tonic's own client
//! and its own TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use ztlib_testing::HttpsClient;

use crate::inventory::{InventoryClient, ReserveRequest, WatchRequest};
use crate::scenes::{Ask, Scene};
use crate::world::{Failure, World};

/// What the caller sees.
#[derive(Debug)]
pub enum Answer {
    NoConnection(String),
    /// The status, and for a refusal its id.
    Http(u16, Option<String>),
    Grpc(u16),
}

pub async fn send(
    world: &World,
    scene: &Scene,
    shop: SocketAddr,
    inventory: SocketAddr,
) -> Result<Answer, Failure> {
    match scene.request {
        Ask::Http(method, path) => http(world, scene, method, path, shop).await,
        Ask::Grpc(method) => grpc(world, scene, method, inventory).await,
    }
}

async fn http(
    world: &World,
    scene: &Scene,
    method: &str,
    path: &str,
    address: SocketAddr,
) -> Result<Answer, Failure> {
    let identity = scene.peer.as_ref().map(|peer| (peer.chain(), peer.key()));
    let client = HttpsClient::new(world.mesh.certificate(), identity)?;
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if let Some(token) = &scene.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = match client.send(address, request.body(Full::new(Bytes::new()))?).await {
        Ok(response) => response,
        Err(error) => return Ok(Answer::NoConnection(error.to_string())),
    };
    let status = response.status().as_u16();
    let problem: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    let id = problem.and_then(|problem| problem.get("id")?.as_str().map(str::to_owned));
    Ok(Answer::Http(status, id))
}

async fn grpc(world: &World, scene: &Scene, method: &str, address: SocketAddr) -> Result<Answer, Failure> {
    let peer = scene.peer.as_ref().ok_or("a gRPC scene has a peer")?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(world.mesh.certificate_pem()))
        .identity(Identity::from_pem(peer.chain_pem(), peer.key_pem()))
        .domain_name("localhost");
    let channel = Endpoint::from_shared(format!("https://localhost:{}", address.port()))?.tls_config(tls)?;
    let channel = channel.connect().await?;
    let bearer =
        scene.token.as_ref().map(|token| MetadataValue::try_from(format!("Bearer {token}"))).transpose()?;
    let authorize = |mut request: tonic::Request<()>| {
        if let Some(bearer) = &bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    };
    let result = match method {
        "Watch" => {
            let mut client = InventoryClient::with_interceptor(channel, authorize);
            watch(client.watch(WatchRequest::default()).await).await
        }
        "Reserve" => {
            let mut client = InventoryClient::with_interceptor(channel, authorize);
            client.reserve(ReserveRequest::default()).await.map(|_| ())
        }
        other => {
            let mut client = tonic::client::Grpc::new(tonic::service::interceptor::InterceptedService::new(
                channel, authorize,
            ));
            client.ready().await?;
            let codec = tonic_prost::ProstCodec::<WatchRequest, WatchRequest>::default();
            let path = format!("/shop.Inventory/{other}").parse()?;
            client.unary(tonic::Request::new(WatchRequest::default()), path, codec).await.map(|_| ())
        }
    };
    let code = result.err().map_or(Code::Ok, |status| status.code());
    Ok(Answer::Grpc(code as u16))
}

/// Reads a stream to its end.
async fn watch(
    stream: Result<tonic::Response<tonic::Streaming<crate::inventory::StockLevel>>, Status>,
) -> Result<(), Status> {
    let mut stream = stream?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}
