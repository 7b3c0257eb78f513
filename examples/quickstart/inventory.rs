//! A gRPC inventory: an ordinary tonic service. Nothing in it knows of authentication but what it
//! asks for.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use ztlib_tonic::GuardedRequest;

/// Made by `build.rs`.
#[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/shop.Inventory.rs"));
}

pub use generated::inventory_client::InventoryClient;
use generated::inventory_server::Inventory;
pub use generated::inventory_server::InventoryServer;

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReserveRequest {
    #[prost(string, tag = "1")]
    pub sku: String,
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReserveReply {
    /// Who reserved: the service and the user, as the guard established them.
    #[prost(string, tag = "1")]
    pub reserved_for: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    #[prost(string, tag = "1")]
    pub sku: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StockLevel {
    #[prost(uint32, tag = "1")]
    pub count: u32,
}

/// Three of everything.
pub struct Warehouse;

#[tonic::async_trait]
impl Inventory for Warehouse {
    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveReply>, Status> {
        let peer = request.peer_identity()?.to_string();
        let user = request.principal()?.claims().and_then(|claims| claims.subject()).unwrap_or("nobody");
        Ok(Response::new(ReserveReply { reserved_for: format!("{user} through {peer}") }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<StockLevel, Status>> + Send>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let levels = [3, 2, 1].map(|count| Ok(StockLevel { count }));
        Ok(Response::new(Box::pin(tokio_stream::iter(levels))))
    }
}
