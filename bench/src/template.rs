//! Requests that are encoded once and sent with fresh ids, so that what is measured is the server and not its load.

use bytes::{Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;

/// Length of an id in text.
const LENGTH: usize = 36;
/// Stands where an event's id belongs.
pub(crate) const EVENT: &str = "00000000-0000-7000-8000-0000000e0e01";
/// Stands where a reservation's id belongs.
pub(crate) const RESERVATION: &str = "00000000-0000-7000-8000-0000000e0e02";

/// An encoded request with holes for ids.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    message: Bytes,
    events: Vec<usize>,
    reservations: Vec<usize>,
}

impl Template {
    /// Encodes a request whose ids are [`EVENT`] and [`RESERVATION`].
    pub(crate) fn new(message: &impl Message) -> Self {
        let message = message.encode_to_vec();
        let find = |marker: &str| {
            let places = message.windows(LENGTH).enumerate();
            places.filter(|(_, text)| *text == marker.as_bytes()).map(|(place, _)| place).collect()
        };
        Self { events: find(EVENT), reservations: find(RESERVATION), message: message.into() }
    }

    /// How many events it carries.
    pub(crate) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    /// The request with fresh ids, each event with its own.
    pub(crate) fn fresh(&self) -> Bytes {
        self.for_reservation(Uuid::now_v7())
    }

    /// The same, of this reservation.
    pub(crate) fn for_reservation(&self, reservation: Uuid) -> Bytes {
        let mut message = BytesMut::from(self.message.as_ref());
        for place in &self.events {
            write(&mut message, *place, Uuid::now_v7());
        }
        for place in &self.reservations {
            write(&mut message, *place, reservation);
        }
        message.freeze()
    }
}

fn write(message: &mut BytesMut, place: usize, id: Uuid) {
    if let Some(hole) = message.get_mut(place..place + LENGTH) {
        id.hyphenated().encode_lower(hole);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_proto::v1;

    use super::*;

    #[test]
    fn every_event_gets_an_id_of_its_own() {
        let event = v1::UsageEvent { key: Some(v1::usage_event::Key::EventId(EVENT.to_owned())), ..Default::default() };
        let reservation = v1::ReservationUse { reservation_id: RESERVATION.to_owned(), keep_open: false };
        let events = vec![v1::UsageEvent { reservation: Some(reservation), ..event.clone() }, event];
        let template = Template::new(&v1::BatchRecordUsageRequest { events, view: 0 });
        assert_eq!(template.len(), 2);
        let paying = Uuid::now_v7();
        let message = v1::BatchRecordUsageRequest::decode(template.for_reservation(paying)).unwrap();
        let ids: Vec<_> = message.events.iter().map(|event| event.key.clone().unwrap()).collect();
        assert_ne!(ids[0], ids[1]);
        assert!(!ids.contains(&v1::usage_event::Key::EventId(EVENT.to_owned())));
        assert_eq!(message.events[0].reservation.as_ref().unwrap().reservation_id, paying.to_string());
    }
}
