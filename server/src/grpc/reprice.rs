//! PriceService.RepriceUsage.

use tollgate_proto::v1;
use tonic::{Request, Response, Status};

use super::convert::reprice;
use super::status::status;
use super::tenant_of;
use crate::app::{App, AppError};

/// Prices the events of one step again.
pub(super) async fn reprice_usage(
    app: &App,
    request: Request<v1::RepriceUsageRequest>,
) -> Result<Response<v1::RepriceUsageResponse>, Status> {
    let tenant = tenant_of(&request);
    let answered = async {
        let request = reprice::request(request.into_inner())?;
        Ok(reprice::to_response(&app.reprice(tenant, &request).await?))
    };
    answered.await.map(Response::new).map_err(|error: AppError| status(&error))
}
