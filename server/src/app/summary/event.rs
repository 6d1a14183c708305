//! One event's values and sums, read from its row.

use tollgate_domain::amount::Usd;
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionKind};
use tollgate_domain::measures::Measures;
use tollgate_domain::price::PriceState;
use tollgate_domain::tokens::TokenClass;

use super::key::Part;
use crate::store::StoreError;
use crate::store::summaries::SummedEvent;
use crate::store::time::from_database;
use crate::store::usage::state_of;

/// Stands for a value that is absent: numbers of the database begin at 1.
pub(super) const NO_NUMBER: i64 = 0;

/// The number of a dimension with many values.
pub(super) fn number(event: &SummedEvent, dimension: Dimension) -> Option<i64> {
    match dimension {
        Dimension::UserId => event.user_id,
        Dimension::CustomerId => event.customer_id,
        Dimension::SessionId => event.session_id,
        Dimension::ParentSessionId => event.parent_session_id,
        Dimension::RootSessionId => event.root_session_id,
        Dimension::ThreadId => event.thread_id,
        Dimension::RoomId => event.room_id,
        Dimension::InstanceId => event.instance_id,
        Dimension::WorkflowId => event.workflow_id,
        Dimension::PanelId => event.panel_id,
        Dimension::TaskId => event.task_id,
        _ => None,
    }
}

/// A place in a workflow or panel.
pub(super) fn position(event: &SummedEvent, dimension: Dimension) -> Option<i32> {
    match dimension {
        Dimension::WorkflowStep => event.workflow_step,
        Dimension::PanelPosition => event.panel_position,
        Dimension::PanelSize => event.panel_size,
        _ => None,
    }
}

/// The value of a label.
pub(super) fn label<'a>(event: &'a SummedEvent, label: &str) -> Option<&'a str> {
    event.labels.as_ref()?.get(label)?.as_str()
}

/// What a dimension that is not in the shape contributes to the group; `None` where it is in the shape.
pub(super) fn part(event: &SummedEvent, key: &DimensionKey) -> Option<Part> {
    match key {
        DimensionKey::Label(name) => Some(Part::of_text(label(event, name))),
        DimensionKey::Dimension(dimension) => match dimension.kind() {
            DimensionKind::Shape | DimensionKind::Call => None,
            DimensionKind::Entity => Some(Part::of_number(number(event, *dimension))),
            DimensionKind::Position => {
                let place = position(event, *dimension).map(|place| place.to_string());
                Some(Part::of_text(place.as_deref()))
            }
        },
    }
}

/// How long the attempt took, in microseconds, where its end is known.
pub(super) fn duration(event: &SummedEvent) -> Option<i64> {
    let micros = (event.end_time? - event.start_time).whole_microseconds();
    i64::try_from(micros).ok().filter(|micros| *micros >= 0)
}

/// The parts that the event reported, by [`TokenClass::index`].
pub(super) fn class_tokens(event: &SummedEvent) -> [Option<i64>; TokenClass::ALL.len()] {
    TokenClass::ALL.map(|class| match class {
        TokenClass::CacheRead => event.cache_read_tokens,
        TokenClass::CacheWrite => event.cache_write_tokens,
        TokenClass::AudioIn => event.audio_in_tokens,
        TokenClass::ImageIn => event.image_in_tokens,
        TokenClass::VideoIn => event.video_in_tokens,
        TokenClass::CacheReadAudio => event.cache_read_audio_tokens,
        TokenClass::CacheReadImage => event.cache_read_image_tokens,
        TokenClass::CacheReadVideo => event.cache_read_video_tokens,
        TokenClass::ToolIn => event.tool_in_tokens,
        TokenClass::Reasoning => event.reasoning_tokens,
        TokenClass::AudioOut => event.audio_out_tokens,
        TokenClass::ImageOut => event.image_out_tokens,
        TokenClass::VideoOut => event.video_out_tokens,
        TokenClass::Citation => event.citation_tokens,
    })
}

/// What the event adds to sums, as [`Measures::of`] tells it, but for the cost by class: that follows from its price
/// sheet.
///
/// # Errors
/// [`StoreError::Unreadable`].
pub(super) fn measures(event: &SummedEvent) -> Result<Measures, StoreError> {
    let money = |value| Usd::new(value).map_err(|_| StoreError::Unreadable { what: "amount" });
    let hit = event.response_cache_hit;
    let usd = money(event.usd)?;
    let reported_usd = event.reported_usd.map(money).transpose()?;
    let start = from_database(event.start_time)?;
    let state = state_of(event.price_state).ok_or(StoreError::Unreadable { what: "event" })?;
    let is = |wanted: &[PriceState]| i64::from(wanted.contains(&state));
    Ok(Measures {
        calls: i64::from(event.attempt <= 1),
        attempts: 1,
        errors: i64::from(event.failed),
        unpriced: is(&[PriceState::Unpriced, PriceState::Partial]),
        partial: is(&[PriceState::Partial]),
        free: is(&[PriceState::Free]),
        estimated: i64::from(event.estimated),
        response_cache_hits: i64::from(hit),
        input_tokens: event.input_tokens.filter(|_| !hit).unwrap_or(0),
        output_tokens: event.output_tokens.filter(|_| !hit).unwrap_or(0),
        class_tokens: class_tokens(event).map(|tokens| tokens.filter(|_| !hit)),
        usd: if event.memo { Usd::ZERO } else { usd },
        memo_usd: if event.memo { usd } else { Usd::ZERO },
        saved_usd: event.saved_usd.map(money).transpose()?,
        reported_usd,
        reported_own_usd: reported_usd.map(|_| usd),
        class_usd: Measures::default().class_usd,
        first_time: Some(start),
        last_time: Some(start),
    })
}
