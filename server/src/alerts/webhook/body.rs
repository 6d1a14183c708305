//! What is posted.

use hyper::body::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize;
use thiserror::Error;
use tollgate_proto::FILE_DESCRIPTOR_SET;

use crate::grpc::convert::alert::to_alert;
use crate::store::alerts::StoredAlert;

/// What a message is about: `type` of the payload.
const ALERT_RAISED: &str = "tollgate.alert.raised";
const ALERT_MESSAGE: &str = "tollgate.v1.Alert";

/// Why no message can be made.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    #[error("the contract cannot be read")]
    Descriptor(#[from] prost_reflect::DescriptorError),
    #[error("the contract has no message {ALERT_MESSAGE}")]
    Missing,
    #[error("the alert is not of the contract")]
    Decode(#[from] prost::DecodeError),
    #[error("the alert cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The payload, in the form that Standard Webhooks recommends.
#[derive(Serialize)]
struct Payload {
    r#type: &'static str,
    /// When the alert was raised.
    timestamp: String,
    /// The alert, in the JSON form of Protocol Buffers.
    data: DynamicMessage,
}

/// Writes alerts down.
#[derive(Debug)]
pub(super) struct Bodies {
    descriptor: MessageDescriptor,
}

impl Bodies {
    pub(super) fn new() -> Result<Self, BodyError> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
        let descriptor = pool.get_message_by_name(ALERT_MESSAGE).ok_or(BodyError::Missing)?;
        Ok(Self { descriptor })
    }

    /// The alert as it was raised: the same for every attempt, whoever has acknowledged it meanwhile.
    pub(super) fn of(&self, alert: &StoredAlert) -> Result<Bytes, BodyError> {
        let raised = StoredAlert { acknowledgement: None, ..alert.clone() };
        let message = to_alert(&raised).encode_to_vec();
        let data = DynamicMessage::decode(self.descriptor.clone(), message.as_slice())?;
        let payload = Payload { r#type: ALERT_RAISED, timestamp: alert.create_time.to_string(), data };
        Ok(serde_json::to_vec(&payload)?.into())
    }
}
