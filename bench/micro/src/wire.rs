//! From bytes to a validated event, and its fingerprint.

use std::hint::black_box;

use prost::Message as _;
use tollgate_domain::dimensions::Dimensions;
use tollgate_proto::v1;
use tollgate_server::grpc::convert;

use crate::{Routine, sample};

fn request() -> Vec<u8> {
    v1::RecordUsageRequest { event: Some(sample::message()), view: v1::ResponseView::Ack.into() }.encode_to_vec()
}

/// The message alone.
pub(crate) fn decode() -> anyhow::Result<Routine> {
    let bytes = request();
    v1::RecordUsageRequest::decode(&*bytes)?;
    Ok(Routine::new(move || {
        drop(black_box(v1::RecordUsageRequest::decode(black_box(&*bytes))));
    }))
}

/// The message, validated.
pub(crate) fn decode_and_convert() -> anyhow::Result<Routine> {
    let bytes = request();
    convert::event::event(v1::RecordUsageRequest::decode(&*bytes)?.event, "event", &Dimensions::default())?;
    let stamp = Dimensions::default();
    Ok(Routine::new(move || {
        let event = v1::RecordUsageRequest::decode(black_box(&*bytes)).ok().and_then(|request| request.event);
        drop(black_box(convert::event::event(event, "event", &stamp)));
    }))
}

/// The digest by which a retry is known.
pub(crate) fn fingerprint() -> anyhow::Result<Routine> {
    let event = sample::event()?;
    Ok(Routine::new(move || {
        black_box(black_box(&event).fingerprint());
    }))
}
