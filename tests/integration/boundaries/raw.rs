//! Calls with bytes instead of messages, so that anything can be sent.

use http::uri::PathAndQuery;
use prost::bytes::{Buf, BufMut, Bytes};
use prost_reflect::MethodDescriptor;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A connection.
#[derive(Clone)]
pub(super) struct RawCalls {
    channel: Channel,
}

impl RawCalls {
    pub(super) async fn to(url: &str) -> Self {
        Self { channel: Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap() }
    }

    /// Sends the bytes; of a stream, the first message is the answer.
    pub(super) async fn call(&self, method: &MethodDescriptor, bytes: Vec<u8>) -> Result<(), Status> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path: PathAndQuery = path.parse().unwrap();
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let request = Request::new(Bytes::from(bytes));
        if method.is_server_streaming() {
            let mut stream = client.server_streaming(request, path, Raw).await?.into_inner();
            stream.message().await?;
            return Ok(());
        }
        client.unary(request, path, Raw).await.map(drop)
    }
}

struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
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
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
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
