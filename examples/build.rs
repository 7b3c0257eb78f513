//! Makes the Rust side of the inventory service from a description in code, so that no `protoc` is
//! needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::inventory::{input}"))
            .output_type(format!("crate::inventory::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let inventory = Service::builder()
        .name("Inventory")
        .package("shop")
        .method(method("reserve", "Reserve", "ReserveRequest", "ReserveReply").build())
        .method(method("watch", "Watch", "WatchRequest", "StockLevel").server_streaming().build())
        .build();
    Builder::new().compile(&[inventory]);
}
