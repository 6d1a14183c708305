//! AlertService.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::alert_service_server::AlertService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::authorize::{caller_of, while_authorized};
use super::convert::alert::to_alert;
use super::convert::values::{duration, page_size, text, timestamp, uuid};
use super::status::status;
use super::tenant_of;
use crate::app::alerts::{AlertMessage, AlertQuery, AlertStreamRequest};
use crate::app::{App, AppError};

const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1_000;
const BUDGETS_LIMIT: usize = 100;
const BUDGET_ID_BYTES_LIMIT: usize = 64;
const NOTE_BYTES_LIMIT: usize = 512;
const HEARTBEAT: Duration = Duration::from_secs(15);
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(5);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);

/// The service.
#[derive(Debug, Clone)]
pub struct AlertApi {
    app: App,
}

impl AlertApi {
    /// Serves the use cases of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AlertService for AlertApi {
    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListAlertsRequest { start_time, end_time, budget_id, unacknowledged_only, page_size: size, page_token } =
            request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let query = AlertQuery {
                from: timestamp(&mut found, "start_time", start_time),
                until: timestamp(&mut found, "end_time", end_time),
                budget_id: text(&mut found, "budget_id", budget_id, BUDGET_ID_BYTES_LIMIT),
                unacknowledged_only,
            };
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize;
            found.into_result(()).map_err(AppError::from)?;
            let before = page(&page_token, &query)?;
            let (alerts, next) = self.app.list_alerts(tenant, &query, before, limit).await?;
            let next = next.map(|position| URL_SAFE_NO_PAD.encode(format!("{} {position}", query.digest())));
            Ok(v1::ListAlertsResponse {
                alerts: alerts.iter().map(to_alert).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    type StreamAlertsStream = BoxStream<'static, Result<v1::StreamAlertsResponse, Status>>;

    async fn stream_alerts(
        &self,
        request: Request<v1::StreamAlertsRequest>,
    ) -> Result<Response<Self::StreamAlertsStream>, Status> {
        let caller = caller_of(&request);
        let answered = async {
            let request = stream_request(request.into_inner())?;
            let messages = self.app.stream_alerts(caller.tenant, request).await?;
            let messages = messages.map(|message| message.map(to_message).map_err(|error| status(&error)));
            Ok(while_authorized(caller, messages))
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<v1::AcknowledgeAlertRequest>,
    ) -> Result<Response<v1::AcknowledgeAlertResponse>, Status> {
        let caller = caller_of(&request);
        let v1::AcknowledgeAlertRequest { alert_id, note } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let alert_id = uuid(&mut found, "alert_id", &alert_id);
            let note = text(&mut found, "note", note, NOTE_BYTES_LIMIT).unwrap_or_default();
            let alert_id = found.into_result(alert_id)?.ok_or(AppError::Internal)?;
            let alert = self.app.acknowledge_alert(caller.tenant, alert_id, caller.api_key_id, note).await?;
            Ok(v1::AcknowledgeAlertResponse { alert: Some(to_alert(&alert)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }
}

fn to_message(message: AlertMessage) -> v1::StreamAlertsResponse {
    let AlertMessage { alerts, position } = message;
    v1::StreamAlertsResponse { alerts: alerts.iter().map(to_alert).collect(), cursor: cursor(position) }
}

fn stream_request(message: v1::StreamAlertsRequest) -> Result<AlertStreamRequest, AppError> {
    let v1::StreamAlertsRequest { mut budget_ids, cursor, heartbeat } = message;
    let mut found = Violations::new();
    found.add_if(budget_ids.len() > BUDGETS_LIMIT, "budget_ids", format!("must have at most {BUDGETS_LIMIT} entries"));
    budget_ids.truncate(BUDGETS_LIMIT);
    for (position, id) in budget_ids.iter().enumerate() {
        let field = format!("budget_ids[{position}]");
        found.add_if(id.is_empty(), &field, "must be set");
        text(&mut found, &field, id.clone(), BUDGET_ID_BYTES_LIMIT);
    }
    let after = match cursor.as_str() {
        "" => None,
        text => {
            let position = position(text);
            found.add_if(position.is_none(), "cursor", "must be that of a message of a stream, or empty");
            position
        }
    };
    let heartbeat = duration(&mut found, "heartbeat", heartbeat, LONGEST_HEARTBEAT).unwrap_or(HEARTBEAT);
    found.add_if(
        heartbeat < SHORTEST_HEARTBEAT,
        "heartbeat",
        format!("must be at least {} s", SHORTEST_HEARTBEAT.as_secs()),
    );
    Ok(found.into_result(AlertStreamRequest { budget_ids, after, heartbeat })?)
}

/// A position, for the wire: opaque, so that nobody counts on its numbers.
fn cursor(position: i64) -> String {
    URL_SAFE_NO_PAD.encode(position.to_be_bytes())
}

fn position(cursor: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?)).filter(|position| *position >= 0)
}

/// Where a page begins.
fn page(token: &str, query: &AlertQuery) -> Result<Option<i64>, AppError> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parsed = decoded.as_deref().and_then(|text| {
        let (digest, position) = text.split_once(' ')?;
        let own = Uuid::try_parse(digest).ok()? == query.digest();
        position.parse().ok().filter(|_| own)
    });
    parsed.map(Some).ok_or(AppError::PageTokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        for at in [0, 1, 4_711, i64::MAX] {
            assert_eq!(position(&cursor(at)), Some(at));
        }
        for text in ["x", "AAAA", "!!", &cursor(-1)] {
            assert_eq!(position(text), None, "{text}");
        }
    }

    #[test]
    fn a_heartbeat_has_bounds() {
        let with = |seconds| {
            let heartbeat = Some(prost_types::Duration { seconds, nanos: 0 });
            stream_request(v1::StreamAlertsRequest { heartbeat, ..Default::default() })
        };
        assert!(with(5).is_ok() && with(60).is_ok());
        assert!(with(4).is_err() && with(61).is_err());
        let unset = stream_request(v1::StreamAlertsRequest::default()).unwrap();
        assert_eq!((unset.heartbeat, unset.after), (HEARTBEAT, None));
    }
}
