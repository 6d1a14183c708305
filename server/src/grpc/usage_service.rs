//! UsageService.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_server::UsageService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::authorize::{caller_of, pins_of, while_authorized};
use super::convert::amend;
use super::convert::api_key::may_watch;
use super::convert::budget::to_state;
use super::convert::cost::to_charge;
use super::convert::dimensions::matches;
use super::convert::event::{event, external_key, to_first_record, to_record};
use super::convert::page_token::{page_token as next_page, read_page_token};
use super::convert::reservation::to_reservation;
use super::convert::summary;
use super::convert::totals::{scopes, to_group, to_totals};
use super::convert::values::{duration, page_size, timestamp, to_timestamp, uuid};
use super::planned::planned;
use super::status::{item_error, status};
use super::tenant_of;
use crate::app::stream::{self, NamedReading, NamedScope, StreamRequest, TotalsRequest};
use crate::app::summary::summarize_page;
use crate::app::totals::{Scope, ScopeQuery, read_scopes};
use crate::app::usage::ListRequest;
use crate::app::{App, AppError};
use crate::auth::Caller;
use crate::ledger::RecordAnswer;
use crate::live::WatchedScope;
use crate::tenant::TenantId;
use tollgate_domain::event::EventKey;

/// Most events of one batch.
const BATCH_LIMIT: usize = 500;
/// Most scopes of one stream.
const SCOPES_LIMIT: usize = 64;
const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1_000;
const MODELS_LIMIT: usize = 100;
const LONGEST_HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(3_600);

/// The service.
#[derive(Debug, Clone)]
pub struct UsageApi {
    app: App,
}

impl UsageApi {
    /// Serves the use cases of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    async fn recorded(
        &self,
        tenant: TenantId,
        answer: RecordAnswer,
        view: v1::ResponseView,
    ) -> Result<v1::RecordUsageResponse, AppError> {
        let RecordAnswer { duplicate, event_id, charge, charge_time, notices, reservation, budgets, session_id } =
            answer;
        let full = view == v1::ResponseView::Full;
        let result = if duplicate { v1::RecordResult::Duplicate } else { v1::RecordResult::Recorded };
        let mut response = v1::RecordUsageResponse {
            result: result.into(),
            event_id: event_id.to_string(),
            cost: (view != v1::ResponseView::Ack).then(|| to_charge(&charge)),
            charge_time: Some(to_timestamp(charge_time)),
            notices: notices.names().into_iter().map(str::to_owned).collect(),
            reservation: None,
            session_totals: None,
            budgets: Vec::new(),
        };
        if !full {
            return Ok(response);
        }
        let now = Timestamp::now();
        response.budgets = budgets.iter().map(|state| to_state(state, now)).collect();
        if let Some(reservation) = &reservation {
            // The event is recorded: what only shows more of it must not turn the answer into an error.
            let names = self.app.part_budgets(tenant, reservation.parts.iter()).await.unwrap_or_default();
            let name = |part: &tollgate_domain::reservation::Part| names.get(&(part.budget, part.scope)).cloned();
            response.reservation = Some(to_reservation(reservation, now, name));
        }
        if let Some(session) = session_id {
            let query =
                ScopeQuery { scope: Scope::Session(session), window: None, breakdown: None, breakdown_limit: 1 };
            let read = read_scopes(&self.app.tenants, &self.app.dictionary, tenant, &[query], now).await;
            response.session_totals = read.ok().and_then(|read| read.first().map(|reading| to_totals(&reading.totals)));
        }
        Ok(response)
    }
}

fn view(value: i32) -> Result<v1::ResponseView, AppError> {
    match v1::ResponseView::try_from(value) {
        Ok(v1::ResponseView::Unspecified) => Ok(v1::ResponseView::Cost),
        Ok(view) => Ok(view),
        Err(_) => Err(AppError::invalid("view", "must be a value that this version knows")),
    }
}

fn checked(found: Violations) -> Result<(), AppError> {
    found.into_result(()).map_err(AppError::from)
}

#[tonic::async_trait]
impl UsageService for UsageApi {
    async fn record_usage(
        &self,
        request: Request<v1::RecordUsageRequest>,
    ) -> Result<Response<v1::RecordUsageResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let v1::RecordUsageRequest { event: message, view: wanted } = request.into_inner();
        let answered = async {
            let view = view(wanted)?;
            let event = event(message, "event", &caller.stamp)?;
            let answer = self.app.record(tenant, event, pins_of(&caller), view == v1::ResponseView::Full).await?;
            self.recorded(tenant, answer, view).await
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn batch_record_usage(
        &self,
        request: Request<v1::BatchRecordUsageRequest>,
    ) -> Result<Response<v1::BatchRecordUsageResponse>, Status> {
        let caller = caller_of(&request);
        let tenant = caller.tenant;
        let v1::BatchRecordUsageRequest { events, view: wanted } = request.into_inner();
        let view = view(wanted).map_err(|error| status(&error))?;
        if events.is_empty() || events.len() > BATCH_LIMIT {
            let rule = format!("must have 1 to {BATCH_LIMIT} entries");
            return Err(status(&AppError::invalid("events", rule)));
        }
        let ready = |message| event(Some(message), "event", &caller.stamp);
        let (pins, wants_budgets) = (pins_of(&caller), view == v1::ResponseView::Full);
        let enqueued = self.app.enqueue_batch(tenant, events, ready, &pins, wants_budgets).await;
        let enqueued = enqueued.map_err(|error| status(&error))?;
        let mut items = Vec::with_capacity(enqueued.len());
        for waiting in enqueued {
            let answered = async {
                let answer = waiting?.await.unwrap_or(Err(AppError::Unavailable))?;
                self.recorded(tenant, answer, view).await
            };
            let item = match answered.await {
                Ok(response) => v1::batch_record_usage_response::item::Item::Ok(response),
                Err(error) => v1::batch_record_usage_response::item::Item::Error(item_error(&error)),
            };
            items.push(v1::batch_record_usage_response::Item { item: Some(item) });
        }
        Ok(Response::new(v1::BatchRecordUsageResponse { items }))
    }

    async fn amend_usage(
        &self,
        request: Request<v1::AmendUsageRequest>,
    ) -> Result<Response<v1::AmendUsageResponse>, Status> {
        let caller = caller_of(&request);
        let answered = async {
            let asked = amend::request(request.into_inner(), &caller.pinned)?;
            let answer = self.app.amend(caller.tenant, pins_of(&caller), asked).await?;
            Ok(amend::to_response(&answer, Timestamp::now()))
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn get_usage(&self, request: Request<v1::GetUsageRequest>) -> Result<Response<v1::GetUsageResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::GetUsageRequest { key } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let key = match key {
                Some(v1::get_usage_request::Key::EventId(id)) => uuid(&mut found, "event_id", &id).map(EventKey::Id),
                Some(v1::get_usage_request::Key::ExternalKey(key)) => external_key(&mut found, "external_key", key),
                None => {
                    found.add("event_id", "must be set, or external_key");
                    None
                }
            };
            checked(found)?;
            let stored = self.app.usage(tenant, &key.ok_or(AppError::Internal)?).await?;
            Ok(v1::GetUsageResponse { record: Some(to_record(&stored)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn list_usage(
        &self,
        request: Request<v1::ListUsageRequest>,
    ) -> Result<Response<v1::ListUsageResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListUsageRequest { start_time, end_time, filter, models, reservation_id, page_size: size, page_token } =
            request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let reservation = match reservation_id.as_str() {
                "" => None,
                id => uuid(&mut found, "reservation_id", id),
            };
            found.add_if(models.len() > MODELS_LIMIT, "models", format!("must have at most {MODELS_LIMIT} entries"));
            let request = ListRequest {
                from: timestamp(&mut found, "start_time", start_time),
                until: timestamp(&mut found, "end_time", end_time),
                filter: matches(&mut found, "filter", filter),
                models,
                reservation,
                after: list_position(&page_token)?,
                limit: page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize,
            };
            found.add_if(request.filter.len() > 16, "filter", "must have at most 16 entries");
            checked(found)?;
            let (events, next) = self.app.usage_history(tenant, &request).await?;
            let next = next.map(|(at, id)| next_page(at.as_microsecond(), id));
            Ok(v1::ListUsageResponse {
                records: events.iter().map(to_first_record).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    type ExportUsageStream = BoxStream<'static, Result<v1::ExportUsageResponse, Status>>;

    async fn export_usage(
        &self,
        _request: Request<v1::ExportUsageRequest>,
    ) -> Result<Response<Self::ExportUsageStream>, Status> {
        Err(planned("UsageService.ExportUsage"))
    }

    type StreamUsageStream = BoxStream<'static, Result<v1::StreamUsageResponse, Status>>;

    async fn stream_usage(
        &self,
        request: Request<v1::StreamUsageRequest>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        let caller = caller_of(&request);
        let v1::StreamUsageRequest { scopes: messages, min_interval, heartbeat } = request.into_inner();
        let subscribed = async {
            let mut found = Violations::new();
            let scopes = named(watched(&mut found, messages, &caller)?);
            let min_interval = duration(&mut found, "min_interval", min_interval, LONGEST_HEARTBEAT);
            let heartbeat = duration(&mut found, "heartbeat", heartbeat, LONGEST_HEARTBEAT);
            checked(found)?;
            stream::subscribe(&self.app.hub, caller.tenant, StreamRequest { scopes, min_interval, heartbeat }).await
        };
        let messages = subscribed.await.map_err(|error: AppError| status(&error))?;
        let encoded = messages.map(|message| {
            let message = message.map_err(|error| status(&error))?;
            Ok(v1::StreamUsageResponse {
                scopes: message.scopes.iter().map(to_scope).collect(),
                snapshot: message.snapshot,
                as_of: Some(to_timestamp(message.as_of)),
            })
        });
        Ok(Response::new(while_authorized(caller, encoded)))
    }

    async fn get_totals(
        &self,
        request: Request<v1::GetTotalsRequest>,
    ) -> Result<Response<v1::GetTotalsResponse>, Status> {
        let caller = caller_of(&request);
        let v1::GetTotalsRequest { scopes: messages, after_versions, wait } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let scopes = named(watched(&mut found, messages, &caller)?);
            let wait = duration(&mut found, "wait", wait, std::time::Duration::from_secs(30)).unwrap_or_default();
            checked(found)?;
            let request = TotalsRequest { scopes, after_versions, wait };
            let totals = stream::get_totals(&self.app.hub, caller.tenant, request).await?;
            Ok(v1::GetTotalsResponse {
                scopes: totals.scopes.iter().map(to_scope).collect(),
                as_of: Some(to_timestamp(totals.as_of)),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn get_summary(
        &self,
        request: Request<v1::GetSummaryRequest>,
    ) -> Result<Response<v1::GetSummaryResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = async {
            let (request, mask, token) = summary::request(request.into_inner())?;
            let _turn = self.app.turn_to_read(tenant).await?;
            let page = summarize_page(&self.app.tenants, &self.app.dictionary, tenant, &request, &token).await?;
            summary::to_response(page, &mask)
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }
}

/// The scopes that are asked for, where the caller may watch them.
fn watched(
    found: &mut Violations,
    messages: Vec<v1::WatchScope>,
    caller: &Caller,
) -> Result<Vec<(String, WatchedScope)>, AppError> {
    let wanted = scopes(found, messages, SCOPES_LIMIT);
    may_watch(caller, &wanted)?;
    Ok(wanted)
}

fn named(scopes: Vec<(String, WatchedScope)>) -> Vec<NamedScope> {
    scopes.into_iter().map(|(key, scope)| NamedScope { key: Arc::from(key), scope }).collect()
}

fn to_scope(named: &NamedReading) -> v1::ScopeTotals {
    let totals = &named.reading.totals;
    v1::ScopeTotals {
        key: named.key.to_string(),
        totals: Some(to_totals(&totals.totals)),
        parts: totals
            .parts
            .iter()
            .map(|(group, measures)| v1::scope_totals::Part {
                group: Some(to_group(group)),
                totals: Some(to_totals(measures)),
            })
            .collect(),
        budgets: named.reading.budgets.iter().map(|state| to_state(state, named.reading.as_of)).collect(),
        version: totals.version,
        window_start: totals.window.map(|window| to_timestamp(window.start)),
    }
}

fn list_position(token: &str) -> Result<Option<(Timestamp, Uuid)>, AppError> {
    let Some((at, id)) = read_page_token::<i64, Uuid>(token)? else { return Ok(None) };
    let at = Timestamp::from_microsecond(at).map_err(|_| AppError::PageTokenInvalid)?;
    Ok(Some((at, id)))
}
