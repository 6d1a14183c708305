//! GetUsage and ListUsage: single events and history.

use jiff::Timestamp;
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionKind, DimensionMatch, Dimensions};
use tollgate_domain::event::EventKey;
use uuid::Uuid;

use super::error::Named;
use super::{App, AppError};
use crate::store::adjustments::{self, Standing};
use crate::store::shape::{OTHER, Shape};
use crate::store::usage::{self, ListFilter};
use crate::store::{ledger, summaries};
use crate::tenant::TenantId;

/// Most reads for one page, where a filter is decided row by row.
const ROUNDS: usize = 20;

/// A validated question for history.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Earliest start.
    pub from: Option<Timestamp>,
    /// Starts before this.
    pub until: Option<Timestamp>,
    /// All must match.
    pub filter: Vec<DimensionMatch>,
    /// Models that ran; empty = all.
    pub models: Vec<String>,
    /// Of this reservation.
    pub reservation: Option<Uuid>,
    /// Where the page before ended.
    pub after: Option<(Timestamp, Uuid)>,
    /// Most events.
    pub limit: usize,
}

impl App {
    /// Reads one event, as it stands after corrections.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and others.
    pub async fn usage(&self, tenant: TenantId, key: &EventKey) -> Result<Standing, AppError> {
        let mut connection = self.snapshot(tenant).await?;
        let (id, shown) = match key {
            EventKey::Id(id) => (Some(*id), id.to_string()),
            EventKey::External { source, key } => {
                let keys = (std::slice::from_ref(source), std::slice::from_ref(key));
                let found = ledger::find_external_keys(&mut connection, tenant, keys.0, keys.1).await?;
                (found.first().map(|(_, _, id)| *id), format!("{source}/{key}"))
            }
        };
        let rows = match id {
            Some(id) => usage::rows(&mut connection, tenant, &[id]).await?,
            None => Vec::new(),
        };
        let found = adjustments::standing(&mut connection, &self.dictionary, tenant, rows).await?;
        found.into_iter().next().ok_or(AppError::NotFound { what: Named::Event, id: shown })
    }

    /// Lists events by their first rows, newest start first; says where to go on, where there may be more.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn usage_history(
        &self,
        tenant: TenantId,
        request: &ListRequest,
    ) -> Result<(Vec<Standing>, Option<(Timestamp, Uuid)>), AppError> {
        let _turn = self.turn_to_read(tenant).await?;
        let mut transaction = self.snapshot(tenant).await?;
        let mut filter = ListFilter {
            from: request.from,
            until: request.until,
            reservation: request.reservation,
            after: request.after,
            ..ListFilter::default()
        };
        // Conditions on what the index and the columns know are left to the database, the rest is checked on its rows.
        let mut by_row = Vec::new();
        let mut by_shape = Vec::new();
        for condition in &request.filter {
            match &condition.key {
                DimensionKey::Dimension(dimension) if dimension.is_in_shape() => by_shape.push(condition),
                DimensionKey::Dimension(dimension) if dimension.kind() == DimensionKind::Entity => {
                    let mut numbers = Vec::new();
                    for value in &condition.values {
                        let number = self.dictionary.find_symbol(&mut transaction, tenant, *dimension, value).await?;
                        numbers.extend(number);
                    }
                    if let ([only], false, false, Dimension::SessionId) =
                        (numbers.as_slice(), condition.negate, condition.absent, *dimension)
                    {
                        filter.session = Some(*only);
                    }
                    if numbers.is_empty() && !condition.absent && !condition.negate {
                        // Values that no event has.
                        return Ok((Vec::new(), None));
                    }
                    if condition.absent {
                        numbers.push(0);
                    }
                    filter.entities.push((dimension.code(), numbers, condition.negate));
                }
                _ => by_row.push(condition),
            }
        }
        if !by_shape.is_empty() || !request.models.is_empty() {
            let numbers = summaries::shape_ids(&mut transaction, tenant).await?;
            let shapes = self.dictionary.shapes(&mut transaction, tenant, numbers).await?;
            let matching =
                shapes.into_iter().filter(|(_, shape)| selects(shape, &by_shape, &request.models, Certainty::Perhaps));
            filter.shapes = Some(matching.map(|(number, _)| number).collect());
        }
        let chunk = i64::try_from(request.limit).unwrap_or(i64::MAX);
        let mut found: Vec<Standing> = Vec::new();
        for _ in 0..ROUNDS {
            let rows = usage::list(&mut transaction, tenant, &filter, chunk).await?;
            let exhausted = rows.len() < request.limit;
            let events = adjustments::standing(&mut transaction, &self.dictionary, tenant, rows).await?;
            for event in events {
                filter.after = Some((event.first.event.start_time, event.first.event_id));
                let first = &event.first.event;
                let exact = filter.shapes.is_none()
                    || selects(&Shape::of(first, &first.dimensions), &by_shape, &request.models, Certainty::Exact);
                if exact && meets(&first.dimensions, &by_row) {
                    found.push(event);
                }
                if found.len() == request.limit {
                    break;
                }
            }
            if found.len() == request.limit {
                return Ok((found, filter.after));
            }
            if exhausted {
                return Ok((found, None));
            }
        }
        // Few events meet the filter: what was found so far is a page, and the next goes on from here.
        Ok((found, filter.after))
    }
}

/// How much a shape says of an event's values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// What is folded may be anything.
    Perhaps,
    Exact,
}

fn selects(shape: &Shape, conditions: &[&DimensionMatch], models: &[String], certainty: Certainty) -> bool {
    let perhaps = |value: Option<&str>| certainty == Certainty::Perhaps && value == Some(OTHER);
    let value = |key: &DimensionKey| match key {
        DimensionKey::Dimension(dimension) => shape.values.get(dimension).map(String::as_str),
        DimensionKey::Label(_) => None,
    };
    let model = &shape.model().model;
    (models.is_empty() || models.contains(model) || perhaps(Some(model)))
        && conditions.iter().all(|condition| {
            let value = value(&condition.key);
            perhaps(value) || condition.accepts(value)
        })
}

fn meets(dimensions: &Dimensions, conditions: &[&DimensionMatch]) -> bool {
    conditions.iter().all(|condition| condition.accepts(dimensions.get_key(&condition.key)))
}
