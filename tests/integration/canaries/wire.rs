//! Calls of any method with messages that are known by their descriptors alone.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::harness::wait::bounded;

/// Sends messages as they are and takes answers as they come.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls the method; of a stream, the first message is enough.
pub(super) async fn call(
    channel: &Channel,
    method: &MethodDescriptor,
    message: &DynamicMessage,
    traceparent: &str,
) -> Result<Bytes, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut request = Request::new(message.encode_to_vec());
    for (name, value) in [("x-other-key", "canary-key"), ("traceparent", traceparent), ("x-extra", "canary-header")] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    if !method.is_server_streaming() {
        return Ok(bounded(method.name(), client.unary(request, path, Raw)).await?.into_inner());
    }
    let mut stream = bounded(method.name(), client.server_streaming(request, path, Raw)).await?.into_inner();
    Ok(bounded(method.name(), stream.message()).await?.unwrap_or_default())
}
