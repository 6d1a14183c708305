//! Measures as the database carries them: one composite value, for writing deltas and for reading sums.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};
use time::OffsetDateTime;
use tollgate_domain::amount::Usd;
use tollgate_domain::measures::Measures;

use super::error::StoreError;
use super::money::Money;
use super::record::RecordWriter;
use super::time::{from_database, to_database};

/// The composite type `measures`. Field for field the columns of the totals and rollups.
#[derive(Debug, Clone, Default, sqlx::Decode)]
pub struct MeasuresRow {
    calls: i64,
    attempts: i64,
    errors: i64,
    unpriced: i64,
    estimated: i64,
    response_cache_hits: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
    audio_in_tokens: Option<i64>,
    image_in_tokens: Option<i64>,
    video_in_tokens: Option<i64>,
    cache_read_audio_tokens: Option<i64>,
    cache_read_image_tokens: Option<i64>,
    cache_read_video_tokens: Option<i64>,
    tool_in_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    audio_out_tokens: Option<i64>,
    image_out_tokens: Option<i64>,
    video_out_tokens: Option<i64>,
    citation_tokens: Option<i64>,
    usd: Money,
    memo_usd: Money,
    saved_usd: Option<Money>,
    reported_usd: Option<Money>,
    reported_own_usd: Option<Money>,
    text_in_usd: Option<Money>,
    text_out_usd: Option<Money>,
    cache_read_usd: Option<Money>,
    cache_write_usd: Option<Money>,
    audio_in_usd: Option<Money>,
    image_in_usd: Option<Money>,
    video_in_usd: Option<Money>,
    cache_read_audio_usd: Option<Money>,
    cache_read_image_usd: Option<Money>,
    cache_read_video_usd: Option<Money>,
    tool_in_usd: Option<Money>,
    reasoning_usd: Option<Money>,
    audio_out_usd: Option<Money>,
    image_out_usd: Option<Money>,
    video_out_usd: Option<Money>,
    citation_usd: Option<Money>,
    units_usd: Option<Money>,
    first_time: Option<OffsetDateTime>,
    last_time: Option<OffsetDateTime>,
    partial: i64,
    free: i64,
}

/// The name of the composite type.
const TYPE_NAME: &str = "measures";

impl Type<Postgres> for MeasuresRow {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(TYPE_NAME)
    }
}

impl PgHasArrayType for MeasuresRow {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of(TYPE_NAME)
    }
}

impl Encode<'_, Postgres> for MeasuresRow {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Self {
            calls,
            attempts,
            errors,
            unpriced,
            estimated,
            response_cache_hits,
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            audio_in_tokens,
            image_in_tokens,
            video_in_tokens,
            cache_read_audio_tokens,
            cache_read_image_tokens,
            cache_read_video_tokens,
            tool_in_tokens,
            reasoning_tokens,
            audio_out_tokens,
            image_out_tokens,
            video_out_tokens,
            citation_tokens,
            usd,
            memo_usd,
            saved_usd,
            reported_usd,
            reported_own_usd,
            text_in_usd,
            text_out_usd,
            cache_read_usd,
            cache_write_usd,
            audio_in_usd,
            image_in_usd,
            video_in_usd,
            cache_read_audio_usd,
            cache_read_image_usd,
            cache_read_video_usd,
            tool_in_usd,
            reasoning_usd,
            audio_out_usd,
            image_out_usd,
            video_out_usd,
            citation_usd,
            units_usd,
            first_time,
            last_time,
            partial,
            free,
        } = self;
        let mut record = RecordWriter::new(buffer);
        let counts = [calls, attempts, errors, unpriced, estimated, response_cache_hits, input_tokens, output_tokens];
        for count in counts {
            record.count(Some(*count));
        }
        let classes = [
            cache_read_tokens,
            cache_write_tokens,
            audio_in_tokens,
            image_in_tokens,
            video_in_tokens,
            cache_read_audio_tokens,
            cache_read_image_tokens,
            cache_read_video_tokens,
            tool_in_tokens,
            reasoning_tokens,
            audio_out_tokens,
            image_out_tokens,
            video_out_tokens,
            citation_tokens,
        ];
        for count in classes {
            record.count(*count);
        }
        for sum in [usd, memo_usd] {
            record.money(Some(*sum))?;
        }
        let sums = [
            saved_usd,
            reported_usd,
            reported_own_usd,
            text_in_usd,
            text_out_usd,
            cache_read_usd,
            cache_write_usd,
            audio_in_usd,
            image_in_usd,
            video_in_usd,
            cache_read_audio_usd,
            cache_read_image_usd,
            cache_read_video_usd,
            tool_in_usd,
            reasoning_usd,
            audio_out_usd,
            image_out_usd,
            video_out_usd,
            citation_usd,
            units_usd,
        ];
        for sum in sums {
            record.money(*sum)?;
        }
        for time in [first_time, last_time] {
            record.time(*time)?;
        }
        for count in [partial, free] {
            record.count(Some(*count));
        }
        record.finish();
        Ok(IsNull::No)
    }
}

fn money(Money(usd): Money) -> Usd {
    usd
}

impl From<&Measures> for MeasuresRow {
    fn from(measures: &Measures) -> Self {
        let Measures {
            calls,
            attempts,
            errors,
            unpriced,
            partial,
            free,
            estimated,
            response_cache_hits,
            input_tokens,
            output_tokens,
            class_tokens,
            usd,
            memo_usd,
            saved_usd,
            reported_usd,
            reported_own_usd,
            class_usd,
            first_time,
            last_time,
        } = measures;
        let [
            cache_read_tokens,
            cache_write_tokens,
            audio_in_tokens,
            image_in_tokens,
            video_in_tokens,
            cache_read_audio_tokens,
            cache_read_image_tokens,
            cache_read_video_tokens,
            tool_in_tokens,
            reasoning_tokens,
            audio_out_tokens,
            image_out_tokens,
            video_out_tokens,
            citation_tokens,
        ] = *class_tokens;
        let [
            text_in_usd,
            text_out_usd,
            cache_read_usd,
            cache_write_usd,
            audio_in_usd,
            image_in_usd,
            video_in_usd,
            cache_read_audio_usd,
            cache_read_image_usd,
            cache_read_video_usd,
            tool_in_usd,
            reasoning_usd,
            audio_out_usd,
            image_out_usd,
            video_out_usd,
            citation_usd,
            units_usd,
        ] = class_usd.map(|amount| amount.map(Money));
        Self {
            calls: *calls,
            attempts: *attempts,
            errors: *errors,
            unpriced: *unpriced,
            partial: *partial,
            free: *free,
            estimated: *estimated,
            response_cache_hits: *response_cache_hits,
            input_tokens: *input_tokens,
            output_tokens: *output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            audio_in_tokens,
            image_in_tokens,
            video_in_tokens,
            cache_read_audio_tokens,
            cache_read_image_tokens,
            cache_read_video_tokens,
            tool_in_tokens,
            reasoning_tokens,
            audio_out_tokens,
            image_out_tokens,
            video_out_tokens,
            citation_tokens,
            usd: Money(*usd),
            memo_usd: Money(*memo_usd),
            saved_usd: saved_usd.map(Money),
            reported_usd: reported_usd.map(Money),
            reported_own_usd: reported_own_usd.map(Money),
            text_in_usd,
            text_out_usd,
            cache_read_usd,
            cache_write_usd,
            audio_in_usd,
            image_in_usd,
            video_in_usd,
            cache_read_audio_usd,
            cache_read_image_usd,
            cache_read_video_usd,
            tool_in_usd,
            reasoning_usd,
            audio_out_usd,
            image_out_usd,
            video_out_usd,
            citation_usd,
            units_usd,
            first_time: first_time.map(to_database),
            last_time: last_time.map(to_database),
        }
    }
}

impl TryFrom<MeasuresRow> for Measures {
    type Error = StoreError;

    fn try_from(row: MeasuresRow) -> Result<Self, StoreError> {
        let MeasuresRow {
            calls,
            attempts,
            errors,
            unpriced,
            partial,
            free,
            estimated,
            response_cache_hits,
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            audio_in_tokens,
            image_in_tokens,
            video_in_tokens,
            cache_read_audio_tokens,
            cache_read_image_tokens,
            cache_read_video_tokens,
            tool_in_tokens,
            reasoning_tokens,
            audio_out_tokens,
            image_out_tokens,
            video_out_tokens,
            citation_tokens,
            usd,
            memo_usd,
            saved_usd,
            reported_usd,
            reported_own_usd,
            text_in_usd,
            text_out_usd,
            cache_read_usd,
            cache_write_usd,
            audio_in_usd,
            image_in_usd,
            video_in_usd,
            cache_read_audio_usd,
            cache_read_image_usd,
            cache_read_video_usd,
            tool_in_usd,
            reasoning_usd,
            audio_out_usd,
            image_out_usd,
            video_out_usd,
            citation_usd,
            units_usd,
            first_time,
            last_time,
        } = row;
        Ok(Self {
            calls,
            attempts,
            errors,
            unpriced,
            partial,
            free,
            estimated,
            response_cache_hits,
            input_tokens,
            output_tokens,
            class_tokens: [
                cache_read_tokens,
                cache_write_tokens,
                audio_in_tokens,
                image_in_tokens,
                video_in_tokens,
                cache_read_audio_tokens,
                cache_read_image_tokens,
                cache_read_video_tokens,
                tool_in_tokens,
                reasoning_tokens,
                audio_out_tokens,
                image_out_tokens,
                video_out_tokens,
                citation_tokens,
            ],
            usd: usd.0,
            memo_usd: memo_usd.0,
            saved_usd: saved_usd.map(money),
            reported_usd: reported_usd.map(money),
            reported_own_usd: reported_own_usd.map(money),
            class_usd: [
                text_in_usd.map(money),
                text_out_usd.map(money),
                cache_read_usd.map(money),
                cache_write_usd.map(money),
                audio_in_usd.map(money),
                image_in_usd.map(money),
                video_in_usd.map(money),
                cache_read_audio_usd.map(money),
                cache_read_image_usd.map(money),
                cache_read_video_usd.map(money),
                tool_in_usd.map(money),
                reasoning_usd.map(money),
                audio_out_usd.map(money),
                image_out_usd.map(money),
                video_out_usd.map(money),
                citation_usd.map(money),
                units_usd.map(money),
            ],
            first_time: first_time.map(from_database).transpose()?,
            last_time: last_time.map(from_database).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::types::PgRecordEncoder;

    use super::*;

    fn row() -> MeasuresRow {
        let money = |text: &str| Money(text.parse().unwrap());
        MeasuresRow {
            calls: 1,
            attempts: -2,
            errors: 3,
            input_tokens: i64::MAX,
            output_tokens: i64::MIN,
            cache_read_tokens: Some(4),
            citation_tokens: Some(0),
            usd: money("12.000345"),
            saved_usd: Some(money("0")),
            text_in_usd: Some(money("-0.000000000001")),
            units_usd: Some(money("9999999999999999.999999999999")),
            first_time: Some(OffsetDateTime::UNIX_EPOCH),
            partial: 5,
            free: 6,
            ..MeasuresRow::default()
        }
    }

    /// Column by column as the library writes composite values, with the types that the columns have.
    fn written_by_the_library(row: &MeasuresRow) -> Result<Vec<u8>, BoxDynError> {
        let mut buffer = PgArgumentBuffer::default();
        let mut encoder = PgRecordEncoder::new(&mut buffer);
        encoder.encode(row.calls)?;
        encoder.encode(row.attempts)?;
        encoder.encode(row.errors)?;
        encoder.encode(row.unpriced)?;
        encoder.encode(row.estimated)?;
        encoder.encode(row.response_cache_hits)?;
        encoder.encode(row.input_tokens)?;
        encoder.encode(row.output_tokens)?;
        encoder.encode(row.cache_read_tokens)?;
        encoder.encode(row.cache_write_tokens)?;
        encoder.encode(row.audio_in_tokens)?;
        encoder.encode(row.image_in_tokens)?;
        encoder.encode(row.video_in_tokens)?;
        encoder.encode(row.cache_read_audio_tokens)?;
        encoder.encode(row.cache_read_image_tokens)?;
        encoder.encode(row.cache_read_video_tokens)?;
        encoder.encode(row.tool_in_tokens)?;
        encoder.encode(row.reasoning_tokens)?;
        encoder.encode(row.audio_out_tokens)?;
        encoder.encode(row.image_out_tokens)?;
        encoder.encode(row.video_out_tokens)?;
        encoder.encode(row.citation_tokens)?;
        encoder.encode(row.usd)?;
        encoder.encode(row.memo_usd)?;
        encoder.encode(row.saved_usd)?;
        encoder.encode(row.reported_usd)?;
        encoder.encode(row.reported_own_usd)?;
        encoder.encode(row.text_in_usd)?;
        encoder.encode(row.text_out_usd)?;
        encoder.encode(row.cache_read_usd)?;
        encoder.encode(row.cache_write_usd)?;
        encoder.encode(row.audio_in_usd)?;
        encoder.encode(row.image_in_usd)?;
        encoder.encode(row.video_in_usd)?;
        encoder.encode(row.cache_read_audio_usd)?;
        encoder.encode(row.cache_read_image_usd)?;
        encoder.encode(row.cache_read_video_usd)?;
        encoder.encode(row.tool_in_usd)?;
        encoder.encode(row.reasoning_usd)?;
        encoder.encode(row.audio_out_usd)?;
        encoder.encode(row.image_out_usd)?;
        encoder.encode(row.video_out_usd)?;
        encoder.encode(row.citation_usd)?;
        encoder.encode(row.units_usd)?;
        encoder.encode(row.first_time)?;
        encoder.encode(row.last_time)?;
        encoder.encode(row.partial)?;
        encoder.encode(row.free)?;
        encoder.finish();
        Ok(buffer.to_vec())
    }

    #[test]
    fn a_row_is_written_as_the_library_writes_it() {
        for row in [row(), MeasuresRow::default()] {
            let mut buffer = PgArgumentBuffer::default();
            assert!(matches!(row.encode_by_ref(&mut buffer), Ok(IsNull::No)));
            assert_eq!(buffer.to_vec(), written_by_the_library(&row).unwrap());
        }
    }
}
