//! Requests for summaries: what they ask for is bounded before a database is asked.

use jiff::tz::TimeZone;
use prost::Message;
use tollgate_domain::calendar::buckets;
use tollgate_domain::summary::ROWS_LIMIT;
use tollgate_domain::window::zone;
use tollgate_proto::v1;
use tollgate_server::grpc::convert::summary;
use tollgate_server::grpc::status::status;

/// Bytes of a request.
pub fn run(bytes: &[u8]) {
    let Ok(message) = v1::GetSummaryRequest::decode(bytes) else { return };
    let asked = match summary::request(message) {
        Ok((asked, _, _)) => asked,
        Err(error) => {
            let status = status(&error);
            assert!(status.message().len() + status.details().len() <= 8 << 10, "{status:?}");
            return;
        }
    };
    let zone = match asked.time_zone.as_str() {
        "" => TimeZone::UTC,
        name => zone(name).expect("a zone that was accepted"),
    };
    let Ok(found) = buckets(asked.range, asked.granularity, &zone, ROWS_LIMIT) else { return };
    assert!(found.len() <= ROWS_LIMIT);
    let mut at = asked.range.start;
    for bucket in &found {
        assert!(bucket.clipped.start == at && bucket.clipped.end > at, "buckets tile the range: {found:?}");
        at = bucket.clipped.end;
    }
    assert!(found.is_empty() || at == asked.range.end, "buckets tile the range: {found:?}");
}
