//! The client and the server of one method that takes and returns a string. As a Rust type, so that no protoc is needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let revert = Method::builder()
        .name("revert")
        .route_name("Revert")
        .input_type("String")
        .output_type("String")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    Builder::new().compile(&[Service::builder().name("Text").package("peer").method(revert).build()]);
}
