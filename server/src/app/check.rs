//! CheckBudget, and what follows a hold: extend, release, look at it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_domain::budget::Demand;
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Estimate, PriceBook};
use tollgate_domain::reservation::State;
use tollgate_domain::tokens::TokenUsage;
use uuid::Uuid;

use super::budgets::known;
use super::error::Named;
use super::{App, AppError};
use crate::ledger::{CheckAnswer, CheckPlan, Claim, ExtendAnswer, Extension, Pins, ReleaseAnswer, Reserve};
use crate::store::reservations::{self, Filter, Reservation};
use crate::tenant::TenantId;

/// Most reads for one page, where a filter is decided row by row.
const ROUNDS: usize = 20;

/// A validated check.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// Who and where.
    pub dimensions: Dimensions,
    /// The model asked for; empty with an estimate in dollars.
    pub model: ModelRef,
    /// Models that the caller may switch to unasked.
    pub fallbacks: Vec<ModelRef>,
    /// What the caller estimates.
    pub estimate: Estimate,
    /// Whether its input tokens were estimated from the length of a text.
    pub input_estimated: bool,
    /// What to do about it.
    pub mode: CheckMode,
}

/// What a check does besides deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMode {
    /// Nothing.
    Peek,
    /// Hold.
    Reserve {
        /// The id that a hold consumes.
        id: Uuid,
        /// How long the hold lasts.
        ttl: Duration,
        /// Whether a call that does not fit is cut to the output that does.
        headroom: bool,
    },
}

/// A validated extension.
#[derive(Debug, Clone)]
pub struct ExtendRequest {
    /// Which one.
    pub id: Uuid,
    /// New lead from now.
    pub ttl: Option<Duration>,
    /// Rises.
    pub sequence: i64,
    /// Cumulative usage so far.
    pub running: Option<TokenUsage>,
    /// A new estimate to hold for, and its model where that changes.
    pub raise: Option<(Option<ModelRef>, Estimate)>,
}

impl CheckRequest {
    /// Digest of what was asked: the same id with another one is another check.
    fn fingerprint(&self) -> Uuid {
        let Self { dimensions, model, fallbacks, estimate, input_estimated: _, mode } = self;
        let headroom = matches!(mode, CheckMode::Reserve { headroom: true, .. });
        let mut digester = Digester::new();
        digester.shown(format_args!("{:?}", dimensions.without_api_key())).shown(format_args!("{model:?}"));
        digester.shown(format_args!("{fallbacks:?}")).shown(format_args!("{estimate:?}")).field([u8::from(headroom)]);
        digester.finish()
    }
}

impl App {
    /// Decides a check: on the counters or, while the database is away, without them.
    ///
    /// # Errors
    /// [`AppError`]. A refusal by a budget is no error.
    pub async fn check(&self, tenant: TenantId, request: &CheckRequest) -> Result<CheckAnswer, AppError> {
        let presence = self.ledger.presence();
        if presence.is_away() {
            return self.degraded(tenant, request);
        }
        let claim = Claim::default();
        let mut deciding = pin!(self.decided(tenant, request, claim.clone()));
        let decided = tokio::select! {
            biased;
            decided = &mut deciding => decided,
            () = presence.went_away() => match claim.give_up() {
                true => return self.degraded(tenant, request),
                // The ledger was a moment faster: its answer is on the way.
                false => deciding.await,
            },
        };
        match decided {
            Err(AppError::Unavailable) if presence.confirm_away().await => self.degraded(tenant, request),
            decided => decided,
        }
    }

    /// Decides on the counters, and holds where the mode says so; else it reads only, and never waits behind writers.
    async fn decided(&self, tenant: TenantId, request: &CheckRequest, claim: Claim) -> Result<CheckAnswer, AppError> {
        let plan = plan(request, self.prices.book(tenant).await?)?;
        match request.mode {
            CheckMode::Peek => self.peeks.decide(tenant, plan).await,
            CheckMode::Reserve { id, ttl, .. } => {
                let fingerprint = request.fingerprint();
                self.ledger.reserve(tenant, Reserve { id, fingerprint, plan, ttl, claim }).await
            }
        }
    }

    /// Decides without the database, by the prices and budgets that this replica saw last.
    fn degraded(&self, tenant: TenantId, request: &CheckRequest) -> Result<CheckAnswer, AppError> {
        let prices = self.prices.remembered(tenant).ok_or(AppError::Unavailable)?;
        let plan = plan(request, prices.book.clone())?;
        let id = match request.mode {
            CheckMode::Peek => None,
            CheckMode::Reserve { id, .. } => Some(id),
        };
        self.ledger.degraded(tenant, &plan, id)
    }

    /// Extends a reservation.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn extend(&self, tenant: TenantId, pins: Pins, request: ExtendRequest) -> Result<ExtendAnswer, AppError> {
        if self.ledger.presence().is_away() {
            return Err(AppError::Unavailable);
        }
        let known = self.reservation(tenant, &Pins::default(), request.id).await?;
        let book = self.prices.book(tenant).await?;
        let context = known.context.as_ref();
        let model_of = |model: Option<ModelRef>| model.or_else(|| context.map(|context| context.model.clone()));
        let running_sheet = model_of(None).and_then(|model| book.find(&model, known.create_time));
        let raise = match request.raise {
            None => None,
            Some((model, estimate)) => {
                let check = CheckRequest {
                    dimensions: context.map(|context| context.dimensions.clone()).unwrap_or_default(),
                    model: model_of(model).unwrap_or_default(),
                    fallbacks: Vec::new(),
                    estimate,
                    input_estimated: false,
                    mode: CheckMode::Peek,
                };
                Some(plan(&check, book)?)
            }
        };
        let extension = Extension {
            id: request.id,
            ttl: request.ttl,
            sequence: request.sequence,
            running: request.running,
            running_sheet,
            raise,
            pins,
        };
        self.ledger.extend(tenant, extension).await
    }

    /// Releases a reservation.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn release(
        &self,
        tenant: TenantId,
        pins: Pins,
        id: Uuid,
        reason: String,
    ) -> Result<ReleaseAnswer, AppError> {
        self.ledger.release(tenant, id, reason, pins).await
    }

    /// Reads a reservation; one that contradicts the pins of the caller's key is not there for it.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and others.
    pub async fn reservation(&self, tenant: TenantId, pins: &Pins, id: Uuid) -> Result<Reservation, AppError> {
        let mut connection = self.snapshot(tenant).await?;
        let found = reservations::get(&mut connection, tenant, id).await?;
        let found = found.filter(|known| pins.admit_reservation(known, &[]));
        found.ok_or_else(|| AppError::NotFound { what: Named::Reservation, id: id.to_string() })
    }

    /// Lists reservations, newest id first: up to `limit` from `before` on that also meet `accepts`; says where to go on,
    /// where there may be more.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn reservations(
        &self,
        tenant: TenantId,
        states: Vec<State>,
        budget_id: Option<&str>,
        before: Option<Uuid>,
        limit: usize,
        accepts: impl Fn(&Reservation) -> bool,
    ) -> Result<(Vec<Reservation>, Option<Uuid>), AppError> {
        let _turn = self.turn_to_read(tenant).await?;
        let mut connection = self.snapshot(tenant).await?;
        let budget = match budget_id {
            None => None,
            Some(id) => Some(known(&mut connection, tenant, id).await?.number),
        };
        let mut filter = Filter { states, budget, before };
        let mut found: Vec<Reservation> = Vec::new();
        let chunk = i64::try_from(limit).unwrap_or(i64::MAX);
        for _ in 0..ROUNDS {
            let page = reservations::list(&mut connection, tenant, &filter, chunk).await?;
            let exhausted = page.len() < limit;
            filter.before = page.last().map(|reservation| reservation.id).or(filter.before);
            found.extend(page.into_iter().filter(|reservation| accepts(reservation)));
            if found.len() >= limit {
                found.truncate(limit);
                let next = found.last().map(|reservation| reservation.id);
                return Ok((found, next));
            }
            if exhausted {
                return Ok((found, None));
            }
        }
        // Few meet the filter: what was found so far is a page, and the next goes on from here.
        Ok((found, filter.before))
    }
}

/// The worst case on every model of the check.
fn plan(request: &CheckRequest, prices: Arc<PriceBook>) -> Result<CheckPlan, AppError> {
    let headroom = matches!(request.mode, CheckMode::Reserve { headroom: true, .. });
    // Prices change by the day: this replica's clock is near enough to choose among them.
    let priced_at = Timestamp::now();
    let mut demands = Vec::with_capacity(1 + request.fallbacks.len());
    for model in std::iter::once(&request.model).chain(&request.fallbacks) {
        let sheet = prices.find(model, priced_at);
        let demand = Demand::new(model.clone(), sheet, request.estimate.clone())
            .map_err(|_| AppError::invalid("estimate", "its worst case is above what can be held"))?;
        demands.push(demand);
    }
    Ok(CheckPlan {
        dimensions: request.dimensions.clone(),
        demands,
        estimate: request.estimate.clone(),
        headroom,
        prices,
        priced_at,
    })
}

#[cfg(test)]
mod tests {
    use tollgate_domain::dimensions::Dimension;
    use tollgate_domain::price::UnitCount;

    use super::*;

    /// It is stored with the hold, and a retry may come across an upgrade.
    #[test]
    fn the_fingerprint_of_a_check_never_changes() {
        let units = vec![UnitCount { unit: "web_search".to_owned(), quantity: "2.50".parse().unwrap() }];
        let estimate = Estimate {
            input_tokens: Some(4_096),
            units,
            amount_usd: Some("0.0100".parse().unwrap()),
            ..Estimate::default()
        };
        let request = CheckRequest {
            dimensions: Dimensions::default().with(Dimension::UserId, "u \"1\""),
            model: ModelRef::new("openai", "gpt-4o"),
            fallbacks: vec![ModelRef::new("openai", "gpt-4o-mini")],
            estimate,
            input_estimated: true,
            mode: CheckMode::Reserve { id: Uuid::nil(), ttl: Duration::ZERO, headroom: true },
        };
        assert_eq!(request.fingerprint().to_string(), "b032e0a7-d0c8-6374-1c55-e5d7c6a7e5f9");
        let dimensions = request.dimensions.clone().with(Dimension::ApiKeyId, "another");
        assert_eq!(CheckRequest { dimensions, ..request.clone() }.fingerprint(), request.fingerprint());
    }
}
