//! How an event is written: as the composite type `usage_event_v2`, in few bytes. The view `usage_event_wide` undoes it.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Postgres, Type};
use uuid::Uuid;

use super::event_row::EventRow;
use super::record::RecordWriter;

/// Most that fits beside the codes; a later attempt stands in `wide`.
const ATTEMPT_LIMIT: i16 = 1_023;
/// Its place there.
const ATTEMPT: usize = 1;

/// What is read.
impl Type<Postgres> for EventRow {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("usage_event_v1")
    }
}

/// What is written.
impl PgHasArrayType for EventRow {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("usage_event_v2")
    }
}

impl Encode<'_, Postgres> for EventRow {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut wide = Wide::default();
        let trace = self.trace_id.as_deref().and_then(hexadecimal::<32>).map(Uuid::from_u128);
        let span = self.span_id.as_deref().and_then(hexadecimal::<16>);
        let span = span.and_then(|number| u64::try_from(number).ok()).map(u64::cast_signed);
        let duration = self.end_time.map(|end| (end - self.start_time).whole_microseconds());
        let duration = duration.and_then(|microseconds| i32::try_from(microseconds).ok());
        let facts = facts(self, &mut wide)?;
        let mut row = RecordWriter::new(buffer);
        // In the order of the type; the number is the place in `wide`.
        row.uuid(Some(self.event_id))?;
        row.uuid(Some(self.fingerprint))?;
        row.time(Some(self.start_time))?;
        row.time(Some(self.record_time))?;
        row.integer(wide.narrow(3, Some(self.shape_id)))?;
        row.integer(Some(facts))?;
        row.integer(wide.narrow(4, self.price_sheet_id))?;
        row.uuid(trace)?;
        row.count(span);
        row.time((self.charge_time != self.start_time).then_some(self.charge_time))?;
        row.time(self.end_time.filter(|_| duration.is_none()))?;
        row.integer(wide.narrow(5, self.user_id))?;
        row.integer(wide.narrow(7, self.session_id))?;
        row.integer(wide.narrow(16, self.input_tokens))?;
        row.integer(wide.narrow(17, self.output_tokens))?;
        row.integer(duration)?;
        row.integer(wide.narrow(2, self.time_to_first_token_us))?;
        row.integer(wide.narrow(19, self.cache_read_tokens))?;
        row.integer(wide.narrow(6, self.customer_id))?;
        row.integer(wide.narrow(8, self.parent_session_id))?;
        row.integer(wide.narrow(9, self.root_session_id))?;
        row.integer(wide.narrow(10, self.thread_id))?;
        row.integer(wide.narrow(11, self.room_id))?;
        row.integer(wide.narrow(12, self.instance_id))?;
        row.integer(wide.narrow(13, self.workflow_id))?;
        row.integer(wide.narrow(14, self.panel_id))?;
        row.integer(wide.narrow(15, self.task_id))?;
        row.integer(self.workflow_step)?;
        row.integer(self.panel_position)?;
        row.integer(self.panel_size)?;
        row.integer(wide.narrow(18, self.reported_total))?;
        row.integer(wide.narrow(20, self.cache_write_tokens))?;
        row.integer(wide.narrow(21, self.audio_in_tokens))?;
        row.integer(wide.narrow(22, self.image_in_tokens))?;
        row.integer(wide.narrow(23, self.video_in_tokens))?;
        row.integer(wide.narrow(24, self.cache_read_audio_tokens))?;
        row.integer(wide.narrow(25, self.cache_read_image_tokens))?;
        row.integer(wide.narrow(26, self.cache_read_video_tokens))?;
        row.integer(wide.narrow(27, self.tool_in_tokens))?;
        row.integer(wide.narrow(28, self.reasoning_tokens))?;
        row.integer(wide.narrow(29, self.audio_out_tokens))?;
        row.integer(wide.narrow(30, self.image_out_tokens))?;
        row.integer(wide.narrow(31, self.video_out_tokens))?;
        row.integer(wide.narrow(32, self.citation_tokens))?;
        row.uuid(self.reservation_id)?;
        row.small(self.notices)?;
        row.number(Some(self.usd))?;
        row.number(self.saved_usd)?;
        row.number(self.reported_cost)?;
        row.text(self.reported_currency.as_deref())?;
        row.counts(self.cache_write_ttls.as_deref())?;
        row.json(self.units.as_ref())?;
        row.json(self.labels.as_ref())?;
        row.text(self.call_id.as_deref())?;
        row.text(self.response_id.as_deref())?;
        row.text(self.batch_id.as_deref())?;
        row.text(self.error_type.as_deref())?;
        row.text(self.trace_id.as_deref().filter(|_| trace.is_none()))?;
        row.text(self.span_id.as_deref().filter(|_| span.is_none()))?;
        row.text(self.external_source.as_deref())?;
        row.text(self.external_key.as_deref())?;
        row.text(self.metadata.as_deref())?;
        row.json(self.additional.as_ref())?;
        row.text(self.usage_api.as_deref())?;
        row.counts(wide.0.as_deref())?;
        row.finish();
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_name("usage_event_v2"))
    }
}

/// Numbers that do not fit their columns, by place (from 1 on); `None` where there are none.
#[derive(Debug, Default)]
struct Wide(Option<Vec<Option<i64>>>);

impl Wide {
    /// The number where four bytes hold it; else it is kept here.
    fn narrow(&mut self, place: usize, number: Option<i64>) -> Option<i32> {
        let number = number?;
        i32::try_from(number).inspect_err(|_| self.put(place, number)).ok()
    }

    fn put(&mut self, place: usize, number: i64) {
        let numbers = self.0.get_or_insert_default();
        if numbers.len() < place {
            numbers.resize(place, None);
        }
        if let Some(entry) = numbers.get_mut(place - 1) {
            *entry = Some(number);
        }
    }
}

/// Codes and flags in one number: the bits that `usage_facts` of the migration lists.
fn facts(event: &EventRow, wide: &mut Wide) -> Result<i32, BoxDynError> {
    let attempt = if event.attempt > ATTEMPT_LIMIT {
        wide.put(ATTEMPT, event.attempt.into());
        0
    } else {
        event.attempt
    };
    let parts = [
        (event.outcome, 4),
        (event.price_state, 3),
        (event.quality.unwrap_or(0), 3),
        (event.accounting, 2),
        (event.origin, 3),
        (event.response_cache_hit.into(), 1),
        (event.keep_open.into(), 1),
        (event.fingerprint_version, 4),
        (attempt, 10),
    ];
    let mut facts = 0;
    let mut shift = 0;
    for (code, bits) in parts {
        let code = i32::from(code);
        if code >> bits != 0 {
            return Err(format!("a code of an event does not fit {bits} bits: {code}").into());
        }
        facts |= code << shift;
        shift += bits;
    }
    Ok(facts)
}

/// The number of exactly so many lower-case hexadecimal digits, which alone come back as the same text.
fn hexadecimal<const DIGITS: usize>(text: &str) -> Option<u128> {
    if text.len() != DIGITS {
        return None;
    }
    text.bytes().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_that_comes_back_becomes_a_number() {
        assert_eq!(hexadecimal::<16>("00000000000000ff"), Some(255));
        assert_eq!(hexadecimal::<16>("ffffffffffffffff"), Some(u64::MAX.into()));
        for other in ["", "ff", "00000000000000FF", "00000000000000f-", "000000000000000ff", "+0000000000000ff"] {
            assert_eq!(hexadecimal::<16>(other), None, "{other}");
        }
    }

    #[test]
    fn what_does_not_fit_stands_in_its_place() {
        let mut wide = Wide::default();
        assert_eq!(wide.narrow(2, Some(i32::MAX.into())), Some(i32::MAX));
        assert_eq!(wide.narrow(2, None), None);
        assert_eq!(wide.0, None);
        assert_eq!(wide.narrow(3, Some(1 << 31)), None);
        assert_eq!(wide.narrow(1, Some(i64::MIN)), None);
        assert_eq!(wide.0, Some(vec![Some(i64::MIN), None, Some(1 << 31)]));
    }
}
