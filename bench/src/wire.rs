//! Calls of the service with requests that are encoded already.

use std::marker::PhantomData;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes};
use prost::Message;
use tollgate_proto::v1;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    channels: Vec<Channel>,
}

impl Connections {
    /// Opens so many.
    pub(crate) async fn open(url: &str, count: usize) -> anyhow::Result<Self> {
        Self::connect(url, count, |endpoint| endpoint).await
    }

    /// Opens so many on which a stream may send only so many bytes before they are read.
    pub(crate) async fn open_narrow(url: &str, count: usize, window: u32) -> anyhow::Result<Self> {
        Self::connect(url, count, |endpoint| endpoint.initial_stream_window_size(window)).await
    }

    async fn connect(url: &str, count: usize, adapt: impl FnOnce(Endpoint) -> Endpoint) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(CONNECT_LIMIT).tcp_nodelay(true);
        let endpoint = adapt(endpoint);
        let mut channels = Vec::new();
        for _ in 0..count {
            channels.push(endpoint.connect().await.with_context(|| format!("{url} cannot be reached"))?);
        }
        Ok(Self { channels })
    }

    /// The one whose turn it is.
    pub(crate) fn nth(&self, number: usize) -> anyhow::Result<Wire> {
        let index = number.checked_rem(self.channels.len()).context("there are no connections")?;
        let channel = self.channels.get(index).context("there are no connections")?;
        Ok(Wire { grpc: Grpc::new(channel.clone()) })
    }
}

/// What a caller sends on.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    grpc: Grpc<Channel>,
}

impl Wire {
    /// RecordUsage.
    pub(crate) async fn record(&mut self, message: Bytes) -> Result<v1::RecordUsageResponse, Status> {
        self.call(message, "/tollgate.v1.UsageService/RecordUsage").await
    }

    /// BatchRecordUsage.
    pub(crate) async fn record_batch(&mut self, message: Bytes) -> Result<v1::BatchRecordUsageResponse, Status> {
        self.call(message, "/tollgate.v1.UsageService/BatchRecordUsage").await
    }

    /// CheckBudget.
    pub(crate) async fn check(&mut self, message: Bytes) -> Result<v1::CheckBudgetResponse, Status> {
        self.call(message, "/tollgate.v1.BudgetService/CheckBudget").await
    }

    /// GetSummary.
    pub(crate) async fn summary(&mut self, message: Bytes) -> Result<v1::GetSummaryResponse, Status> {
        self.call(message, "/tollgate.v1.UsageService/GetSummary").await
    }

    /// ListUsage.
    pub(crate) async fn list(&mut self, message: Bytes) -> Result<v1::ListUsageResponse, Status> {
        self.call(message, "/tollgate.v1.UsageService/ListUsage").await
    }

    /// StreamUsage.
    pub(crate) async fn stream(&mut self, message: Bytes) -> Result<Streaming<v1::StreamUsageResponse>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/tollgate.v1.UsageService/StreamUsage");
        let answer = self.grpc.server_streaming(Request::new(message), path, Encoded::default()).await?;
        Ok(answer.into_inner())
    }

    async fn call<A>(&mut self, message: Bytes, path: &'static str) -> Result<A, Status>
    where
        A: Message + Default + 'static,
    {
        self.ready().await?;
        let path = PathAndQuery::from_static(path);
        Ok(self.grpc.unary(Request::new(message), path, Encoded::default()).await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// Sends what is encoded, and decodes what comes back.
#[derive(Debug)]
struct Encoded<A>(PhantomData<A>);

impl<A> Default for Encoded<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Message + Default + 'static> Codec for Encoded<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = AsItIs;
    type Decoder = Self;

    fn encoder(&mut self) -> AsItIs {
        AsItIs
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<A: Message + Default> Decoder for Encoded<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        A::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Debug)]
struct AsItIs;

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}
