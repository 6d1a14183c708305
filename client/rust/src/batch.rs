//! Splitting events into batches that Tollgate accepts.

use prost::Message;
use tollgate_proto::v1;

use crate::refusal::Refusal;

/// The most events of one batch.
pub(crate) const MAX_EVENTS: usize = 500;
/// The most bytes of one batch. The contract allows 1 MiB for the whole message; what frames it has room in the rest.
pub(crate) const MAX_BYTES: usize = 1024 * 1024 - 4096;

/// What one event adds to the size of a batch: its bytes, a tag, and its length in at most five more.
pub(crate) fn encoded_bytes(event: &v1::UsageEvent) -> usize {
    event.encoded_len() + 6
}

/// A stretch of consecutive events.
pub(crate) enum Chunk {
    /// Fits one batch.
    Sendable(Vec<v1::UsageEvent>),
    /// Fits none.
    TooLarge(Box<v1::UsageEvent>),
}

/// Splits events into batches, keeping their order.
pub(crate) fn split(events: Vec<v1::UsageEvent>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = encoded_bytes(&event);
        if size > MAX_BYTES {
            close(&mut chunks, &mut batch, &mut bytes);
            chunks.push(Chunk::TooLarge(Box::new(event)));
            continue;
        }
        if batch.len() == MAX_EVENTS || bytes + size > MAX_BYTES {
            close(&mut chunks, &mut batch, &mut bytes);
        }
        bytes += size;
        batch.push(event);
    }
    close(&mut chunks, &mut batch, &mut bytes);
    chunks
}

fn close(chunks: &mut Vec<Chunk>, batch: &mut Vec<v1::UsageEvent>, bytes: &mut usize) {
    if !batch.is_empty() {
        chunks.push(Chunk::Sendable(std::mem::take(batch)));
        *bytes = 0;
    }
}

/// The refusal of an event that fits no batch.
pub(crate) fn too_large(event: &v1::UsageEvent) -> Refusal {
    Refusal::local("event", format!("it has {} bytes; keep it below {MAX_BYTES}", event.encoded_len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(chunks: &[Chunk]) -> Vec<usize> {
        chunks.iter().map(|chunk| if let Chunk::Sendable(events) = chunk { events.len() } else { 0 }).collect()
    }

    fn event(bytes: usize) -> v1::UsageEvent {
        v1::UsageEvent { metadata_json: "x".repeat(bytes), ..Default::default() }
    }

    #[test]
    fn batches_are_bounded_in_events() {
        assert_eq!(sizes(&split(vec![event(1); 1_201])), [500, 500, 201]);
        assert!(split(Vec::new()).is_empty());
    }

    #[test]
    fn batches_are_bounded_in_bytes() {
        let chunks = split(vec![event(300 * 1024); 7]);
        assert_eq!(sizes(&chunks), [3, 3, 1]);
        for chunk in chunks {
            let Chunk::Sendable(events) = chunk else { panic!("too large") };
            assert!(v1::BatchRecordUsageRequest { events, view: 0 }.encoded_len() <= 1024 * 1024);
        }
    }

    #[test]
    fn an_event_too_large_for_any_batch_stands_alone() {
        assert_eq!(sizes(&split(vec![event(1), event(2 * 1024 * 1024), event(1)])), [1, 0, 1]);
    }
}
