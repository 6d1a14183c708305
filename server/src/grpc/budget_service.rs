//! BudgetService.

use std::collections::HashMap;

use jiff::Timestamp;
use tollgate_domain::budget::Budget;
use tollgate_domain::dimensions::{DimensionMatch, check_text};
use tollgate_domain::reservation::Part;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::budget_service_server::BudgetService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::authorize::{caller_of, pins_of};
use super::convert::budget::{budget, to_budget, to_state};
use super::convert::check::{check, extension, to_answer, to_decision};
use super::convert::dimensions::matches;
use super::convert::page_token::{page_token as next_page, read_page_token};
use super::convert::reservation::{state, to_reservation};
use super::convert::values::{page_size, text, timestamp, uuid};
use super::overrides;
use super::status::status;
use super::tenant_of;
use crate::app::budgets::PartBudget;
use crate::app::{App, AppError};
use crate::store::budgets::StoredBudget;
use crate::store::reservations::Reservation;
use crate::tenant::TenantId;

const REASON_BYTES_LIMIT: usize = 256;
const REQUEST_ID_BYTES_LIMIT: usize = 128;
const BUDGET_ID_BYTES_LIMIT: usize = 64;
const VALUE_BYTES_LIMIT: usize = 256;
const FILTER_LIMIT: usize = 16;
pub(super) const PAGE_SIZE: u32 = 100;
pub(super) const PAGE_SIZE_LIMIT: u32 = 1_000;

/// The service.
#[derive(Debug, Clone)]
pub struct BudgetApi {
    app: App,
}

impl BudgetApi {
    /// Serves the use cases of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// What the parts of reservations show of their budgets.
    async fn part_names(
        &self,
        tenant: TenantId,
        reservations: &[&Reservation],
    ) -> Result<HashMap<(i64, Uuid), PartBudget>, AppError> {
        let parts = reservations.iter().flat_map(|reservation| &reservation.parts);
        self.app.part_budgets(tenant, parts).await
    }
}

fn named(names: &HashMap<(i64, Uuid), PartBudget>) -> impl Fn(&Part) -> Option<PartBudget> + '_ {
    |part| names.get(&(part.budget, part.scope)).cloned()
}

/// An id or page token that a budget could have; empty = absent. No other text is worth asking the database for.
pub(super) fn named_budget(found: &mut Violations, field: &str, id: String) -> Option<String> {
    text(found, field, id, BUDGET_ID_BYTES_LIMIT)
}

pub(super) fn parsed<T>(found: Violations, value: Option<T>) -> Result<T, AppError> {
    match (found.into_result(()), value) {
        (Ok(()), Some(value)) => Ok(value),
        (Ok(()), None) => Err(AppError::Internal),
        (Err(violations), _) => Err(violations.into()),
    }
}

#[tonic::async_trait]
impl BudgetService for BudgetApi {
    async fn check_budget(
        &self,
        request: Request<v1::CheckBudgetRequest>,
    ) -> Result<Response<v1::CheckBudgetResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let message = request.into_inner();
        let all_budgets = message.view != i32::from(v1::ResponseView::Ack);
        let answered = async {
            let request = check(message, &caller.stamp)?;
            let answer = self.app.check(tenant, &request).await?;
            let held: Vec<&Reservation> = answer.reservation.iter().collect();
            // The hold is made: what only names it must not turn the answer into an error.
            let names = self.part_names(tenant, &held).await.unwrap_or_default();
            let reservation = |reservation: &Reservation, now| to_reservation(reservation, now, named(&names));
            Ok(to_answer(answer, all_budgets, request.input_estimated, reservation))
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn extend_reservation(
        &self,
        request: Request<v1::ExtendReservationRequest>,
    ) -> Result<Response<v1::ExtendReservationResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let answered = async {
            let answer = self.app.extend(tenant, pins_of(&caller), extension(request.into_inner())?).await?;
            let names = self.part_names(tenant, &[&answer.reservation]).await.unwrap_or_default();
            let now = Timestamp::now();
            Ok(v1::ExtendReservationResponse {
                decision: to_decision(&answer.decision).into(),
                reservation: Some(to_reservation(&answer.reservation, now, named(&names))),
                budgets: answer.budgets.iter().map(|state| to_state(state, now)).collect(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn release_reservation(
        &self,
        request: Request<v1::ReleaseReservationRequest>,
    ) -> Result<Response<v1::ReleaseReservationResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let v1::ReleaseReservationRequest { reservation_id, reason } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let id = super::convert::values::uuid_v7(&mut found, "reservation_id", &reservation_id);
            let reason = text(&mut found, "reason", reason, REASON_BYTES_LIMIT).unwrap_or_default();
            let answer = self.app.release(tenant, pins_of(&caller), parsed(found, id)?, reason).await?;
            let names = self.part_names(tenant, &[&answer.reservation]).await.unwrap_or_default();
            let now = Timestamp::now();
            Ok(v1::ReleaseReservationResponse {
                reservation: Some(to_reservation(&answer.reservation, now, named(&names))),
                budgets: answer.budgets.iter().map(|state| to_state(state, now)).collect(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let v1::GetReservationRequest { reservation_id } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let id = uuid(&mut found, "reservation_id", &reservation_id);
            let reservation = self.app.reservation(tenant, &pins_of(&caller), parsed(found, id)?).await?;
            let names = self.part_names(tenant, &[&reservation]).await?;
            let reservation = to_reservation(&reservation, Timestamp::now(), named(&names));
            Ok(v1::GetReservationResponse { reservation: Some(reservation) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListReservationsRequest {
            states,
            budget_id,
            filter,
            page_size: size,
            page_token,
            ended_since,
            ended_before,
        } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let filter: Vec<DimensionMatch> = matches(&mut found, "filter", filter);
            found.add_if(filter.len() > FILTER_LIMIT, "filter", format!("must have at most {FILTER_LIMIT} entries"));
            let budget_id = named_budget(&mut found, "budget_id", budget_id);
            let states: Vec<_> =
                states.into_iter().map(|value| v1::reservation::State::try_from(value).ok().and_then(state)).collect();
            found.add_if(states.contains(&None), "states", "must hold states that this version knows");
            let since = timestamp(&mut found, "ended_since", ended_since);
            let until = timestamp(&mut found, "ended_before", ended_before);
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize;
            let before = match page_token.as_str() {
                "" => None,
                token => Some(Uuid::try_parse(token).map_err(|_| AppError::PageTokenInvalid)?),
            };
            parsed(found, Some(()))?;
            let accepts = |reservation: &Reservation| {
                let dimensions = reservation.context.as_ref().map(|context| &context.dimensions);
                let ended = reservation.end_time;
                since.is_none_or(|since| ended.is_some_and(|ended| since <= ended))
                    && until.is_none_or(|until| ended.is_some_and(|ended| ended < until))
                    && filter.iter().all(|condition| {
                        condition.accepts(dimensions.and_then(|dimensions| dimensions.get_key(&condition.key)))
                    })
            };
            let budget_id = budget_id.as_deref();
            let states = states.into_iter().flatten().collect();
            let (found, next) = self.app.reservations(tenant, states, budget_id, before, limit, accepts).await?;
            let names = self.part_names(tenant, &found.iter().collect::<Vec<_>>()).await?;
            let now = Timestamp::now();
            Ok(v1::ListReservationsResponse {
                next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
                reservations: found.iter().map(|one| to_reservation(one, now, named(&names))).collect(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn create_budget(
        &self,
        request: Request<v1::CreateBudgetRequest>,
    ) -> Result<Response<v1::CreateBudgetResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::CreateBudgetRequest { budget: message, request_id, validate_only } = request.into_inner();
        let answered = async {
            let budget = budget(message)?;
            let mut found = Violations::new();
            let request_id = text(&mut found, "request_id", request_id, REQUEST_ID_BYTES_LIMIT).unwrap_or_default();
            parsed(found, Some(()))?;
            let stored = self.app.create_budget(tenant, budget, &request_id, validate_only).await?;
            Ok(v1::CreateBudgetResponse { budget: Some(to_budget(&stored)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn get_budget(
        &self,
        request: Request<v1::GetBudgetRequest>,
    ) -> Result<Response<v1::GetBudgetResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::GetBudgetRequest { budget_id } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let budget_id = named_budget(&mut found, "budget_id", budget_id).unwrap_or_default();
            parsed(found, Some(()))?;
            let stored = self.app.budget(tenant, &budget_id).await?;
            Ok(v1::GetBudgetResponse { budget: Some(to_budget(&stored)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn list_budgets(
        &self,
        request: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListBudgetsRequest { page_size: size, page_token, show_deleted } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT);
            let page_token = named_budget(&mut found, "page_token", page_token).unwrap_or_default();
            parsed(found, Some(()))?;
            let budgets = self.app.budgets(tenant, &page_token, show_deleted, i64::from(limit)).await?;
            let last = budgets.last().filter(|_| budgets.len() == limit as usize);
            Ok(v1::ListBudgetsResponse {
                next_page_token: last.map(|stored| stored.budget.budget_id.clone()).unwrap_or_default(),
                budgets: budgets.iter().map(to_budget).collect(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn update_budget(
        &self,
        request: Request<v1::UpdateBudgetRequest>,
    ) -> Result<Response<v1::UpdateBudgetResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::UpdateBudgetRequest { budget: message, update_mask, request_id: _, validate_only } =
            request.into_inner();
        let answered = async {
            let Some(message) = message else { return Err(AppError::invalid("budget", "must be set")) };
            let etag = message.etag.clone();
            let mut found = Violations::new();
            let id = named_budget(&mut found, "budget.budget_id", message.budget_id.clone()).unwrap_or_default();
            parsed(found, Some(()))?;
            let paths = update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
            // What the mask leaves out is taken from the budget as it stands when it is changed.
            let change = |stored: &StoredBudget| {
                let wanted = budget(Some(masked(&to_budget(stored), message, paths.as_deref())?))?;
                changed(&stored.budget, wanted)
            };
            let stored = self.app.update_budget(tenant, &id, &etag, validate_only, change).await?;
            Ok(v1::UpdateBudgetResponse { budget: Some(to_budget(&stored)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn delete_budget(
        &self,
        request: Request<v1::DeleteBudgetRequest>,
    ) -> Result<Response<v1::DeleteBudgetResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::DeleteBudgetRequest { budget_id, etag, request_id: _ } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let budget_id = named_budget(&mut found, "budget_id", budget_id).unwrap_or_default();
            parsed(found, Some(()))?;
            let stored = self.app.delete_budget(tenant, &budget_id, &etag).await?;
            Ok(v1::DeleteBudgetResponse { budget: Some(to_budget(&stored)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn set_budget_override(
        &self,
        request: Request<v1::SetBudgetOverrideRequest>,
    ) -> Result<Response<v1::SetBudgetOverrideResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = overrides::set(&self.app, tenant, request.into_inner()).await;
        answered.map(Response::new).map_err(|error| status(&error))
    }

    async fn list_budget_overrides(
        &self,
        request: Request<v1::ListBudgetOverridesRequest>,
    ) -> Result<Response<v1::ListBudgetOverridesResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = overrides::list(&self.app, tenant, request.into_inner()).await;
        answered.map(Response::new).map_err(|error| status(&error))
    }

    async fn delete_budget_override(
        &self,
        request: Request<v1::DeleteBudgetOverrideRequest>,
    ) -> Result<Response<v1::DeleteBudgetOverrideResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = overrides::delete(&self.app, tenant, request.into_inner()).await;
        answered.map(Response::new).map_err(|error| status(&error))
    }

    async fn list_budget_states(
        &self,
        request: Request<v1::ListBudgetStatesRequest>,
    ) -> Result<Response<v1::ListBudgetStatesResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListBudgetStatesRequest { budget_id, per_values, at, page_size: size, page_token } =
            request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let at = timestamp(&mut found, "at", at);
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize;
            let budget_id = named_budget(&mut found, "budget_id", budget_id);
            for (key, value) in &per_values {
                check_text(&mut found, "per_values".to_owned(), key, VALUE_BYTES_LIMIT);
                check_text(&mut found, format!("per_values[{key}]"), value, VALUE_BYTES_LIMIT);
            }
            parsed(found, Some(()))?;
            let after = states_token(&page_token)?;
            let budget_id = budget_id.as_deref();
            let states = self.app.budget_states(tenant, budget_id, &per_values, at, after, limit).await?;
            let now = Timestamp::now();
            let last = states.last().filter(|_| states.len() == limit);
            let next = last.map(|(key, _)| next_page(key.budget, key.scope));
            Ok(v1::ListBudgetStatesResponse {
                next_page_token: next.unwrap_or_default(),
                states: states.iter().map(|(_, state)| to_state(state, now)).collect(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }
}

fn states_token(token: &str) -> Result<(i64, Uuid), AppError> {
    Ok(read_page_token(token)?.unwrap_or((0, Uuid::nil())))
}

/// The fields that an update may name.
const MUTABLE: [&str; 11] = [
    "display_name",
    "annotations",
    "limit",
    "rules",
    "mode",
    "unpriced",
    "unavailable",
    "on_expire",
    "carry",
    "start_time",
    "end_time",
];

/// The budget as it stands with the named fields of `update`; without names, with every field that may change.
fn masked(current: &v1::Budget, update: v1::Budget, paths: Option<&[String]>) -> Result<v1::Budget, AppError> {
    if let Some(unknown) = paths.unwrap_or_default().iter().find(|path| !MUTABLE.contains(&path.as_str())) {
        let advice = format!("`{unknown}` cannot be changed: use {}", MUTABLE.join(", "));
        return Err(AppError::invalid("update_mask", advice));
    }
    let named = |field: &str| paths.is_none_or(|paths| paths.iter().any(|path| path == field));
    let mut merged = current.clone();
    let v1::Budget {
        budget_id: _,
        display_name,
        annotations,
        selector,
        models,
        per,
        per_absent,
        unit,
        window,
        limit,
        rules,
        mode,
        unpriced,
        unavailable,
        on_expire,
        carry,
        start_time,
        end_time,
        count_from,
        state: _,
        etag: _,
        create_time: _,
        update_time: _,
        last_match_time: _,
    } = update;
    if paths.is_none() {
        // A whole budget is sent: what cannot change must be as it is, and is compared when the change is applied.
        merged.selector = selector;
        merged.models = models;
        merged.per = per;
        merged.per_absent = if per_absent == 0 { merged.per_absent } else { per_absent };
        merged.unit = unit;
        merged.window = window;
        merged.count_from = count_from.or(merged.count_from);
    }
    if named("display_name") {
        merged.display_name = display_name;
    }
    if named("annotations") {
        merged.annotations = annotations;
    }
    if named("limit") {
        merged.limit = limit;
    }
    if named("rules") {
        merged.rules = rules;
    }
    if named("mode") {
        merged.mode = mode;
    }
    if named("unpriced") {
        merged.unpriced = unpriced;
    }
    if named("unavailable") {
        merged.unavailable = unavailable;
    }
    if named("on_expire") {
        merged.on_expire = on_expire;
    }
    if named("carry") {
        merged.carry = carry;
    }
    if named("start_time") {
        merged.start_time = start_time;
    }
    if named("end_time") {
        merged.end_time = end_time;
    }
    Ok(merged)
}

/// The changed budget; a change of what is fixed is refused.
fn changed(stored: &Budget, wanted: Budget) -> Result<Budget, AppError> {
    let mut found = Violations::new();
    let fixed = [
        ("budget.selector", stored.selector == wanted.selector),
        ("budget.models", stored.models == wanted.models),
        ("budget.per", stored.per == wanted.per),
        ("budget.per_absent", stored.effective_per_absent() == wanted.effective_per_absent()),
        ("budget.unit", stored.unit == wanted.unit),
        ("budget.window", stored.window == wanted.window),
    ];
    for (field, same) in fixed {
        found.add_if(!same, field, "cannot be changed: create another budget");
    }
    parsed(found, Some(()))?;
    Ok(Budget { count_from: stored.count_from, per_absent: stored.per_absent, ..wanted })
}
