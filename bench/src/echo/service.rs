//! The handlers that answer at once.

use std::sync::Arc;

use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::{Item, item};
use tollgate_proto::v1::budget_service_server::BudgetService;
use tollgate_proto::v1::usage_event::Key;
use tollgate_proto::v1::usage_service_server::UsageService;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::Replies;

/// Repeats what it was told.
#[derive(Debug, Clone)]
pub(super) struct Parrot(Arc<Replies>);

impl Parrot {
    /// With these replies.
    pub(super) fn new(replies: Replies) -> Self {
        Self(Arc::new(replies))
    }

    fn record(&self, event: Option<v1::UsageEvent>) -> v1::RecordUsageResponse {
        let event_id = match event.and_then(|event| event.key) {
            Some(Key::EventId(id)) => id,
            Some(Key::ExternalKey(_)) | None => String::new(),
        };
        v1::RecordUsageResponse { event_id, ..self.0.record.clone() }
    }
}

/// What nobody asks a baseline for.
fn unanswered<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this server only answers what is measured"))
}

/// A service with some calls that are answered, and the names of all others.
macro_rules! service {
    ($service:ident { $($answered:tt)* } unanswered { $($name:ident($request:ident) -> $answer:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for Parrot {
            $($answered)*

            $(async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$answer>, Status> {
                unanswered()
            })*
        }
    };
}

service! {
    UsageService {
        type ExportUsageStream = BoxStream<v1::ExportUsageResponse>;
        type StreamUsageStream = BoxStream<v1::StreamUsageResponse>;

        async fn record_usage(
            &self,
            request: Request<v1::RecordUsageRequest>,
        ) -> Result<Response<v1::RecordUsageResponse>, Status> {
            Ok(Response::new(self.record(request.into_inner().event)))
        }

        async fn batch_record_usage(
            &self,
            request: Request<v1::BatchRecordUsageRequest>,
        ) -> Result<Response<v1::BatchRecordUsageResponse>, Status> {
            let answer = |event| Item { item: Some(item::Item::Ok(self.record(Some(event)))) };
            let items = request.into_inner().events.into_iter().map(answer).collect();
            Ok(Response::new(v1::BatchRecordUsageResponse { items }))
        }

        async fn stream_usage(
            &self,
            _: Request<v1::StreamUsageRequest>,
        ) -> Result<Response<Self::StreamUsageStream>, Status> {
            unanswered()
        }

        async fn export_usage(
            &self,
            _: Request<v1::ExportUsageRequest>,
        ) -> Result<Response<Self::ExportUsageStream>, Status> {
            unanswered()
        }
    }
    unanswered {
        amend_usage(AmendUsageRequest) -> AmendUsageResponse;
        get_usage(GetUsageRequest) -> GetUsageResponse;
        list_usage(ListUsageRequest) -> ListUsageResponse;
        get_totals(GetTotalsRequest) -> GetTotalsResponse;
        get_summary(GetSummaryRequest) -> GetSummaryResponse;
    }
}

service! {
    BudgetService {
        async fn check_budget(
            &self,
            request: Request<v1::CheckBudgetRequest>,
        ) -> Result<Response<v1::CheckBudgetResponse>, Status> {
            let mut answer = self.0.check.clone();
            if let Some(reservation) = &mut answer.reservation {
                reservation.reservation_id = request.into_inner().reservation_id;
            }
            Ok(Response::new(answer))
        }
    }
    unanswered {
        extend_reservation(ExtendReservationRequest) -> ExtendReservationResponse;
        release_reservation(ReleaseReservationRequest) -> ReleaseReservationResponse;
        get_reservation(GetReservationRequest) -> GetReservationResponse;
        list_reservations(ListReservationsRequest) -> ListReservationsResponse;
        create_budget(CreateBudgetRequest) -> CreateBudgetResponse;
        get_budget(GetBudgetRequest) -> GetBudgetResponse;
        list_budgets(ListBudgetsRequest) -> ListBudgetsResponse;
        update_budget(UpdateBudgetRequest) -> UpdateBudgetResponse;
        delete_budget(DeleteBudgetRequest) -> DeleteBudgetResponse;
        set_budget_override(SetBudgetOverrideRequest) -> SetBudgetOverrideResponse;
        list_budget_overrides(ListBudgetOverridesRequest) -> ListBudgetOverridesResponse;
        delete_budget_override(DeleteBudgetOverrideRequest) -> DeleteBudgetOverrideResponse;
        list_budget_states(ListBudgetStatesRequest) -> ListBudgetStatesResponse;
    }
}
