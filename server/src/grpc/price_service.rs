//! PriceService.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_domain::price::UnitCount;
use tollgate_domain::tokens::UsageQuality;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::price_service_server::PriceService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::check::estimate;
use super::convert::cost::to_cost;
use super::convert::dimensions::{model, required_model};
use super::convert::price::{terms, to_price, to_tenant_price};
use super::convert::provider_usage::provider_usage;
use super::convert::tokens::{units, usage};
use super::convert::values::{page_size, text, timestamp, uuid};
use super::reprice::reprice_usage;
use super::status::status;
use super::tenant_of;
use crate::app::prices::{Exact, ListedPrice, PriceCursor, PriceFilter, PriceSource, Quantities};
use crate::app::{App, AppError};

const PRICE_ID_BYTES_LIMIT: usize = 256;
const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1_000;

/// The service.
#[derive(Debug, Clone)]
pub struct PriceApi {
    app: App,
}

impl PriceApi {
    /// Serves the use cases of `app`.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl PriceService for PriceApi {
    async fn set_price(&self, request: Request<v1::SetPriceRequest>) -> Result<Response<v1::SetPriceResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::SetPriceRequest { price: message, request_id, validate_only } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let terms = terms(&mut found, "price", message);
            let request_id = optional_uuid(&mut found, "request_id", &request_id);
            let Some(terms) = checked(found, terms)? else { return Err(AppError::Internal) };
            let set = self.app.set_price(tenant, terms, request_id, validate_only).await?;
            let mut price = to_tenant_price(&set.price);
            if validate_only {
                // Nothing has this id.
                price.price_id.clear();
                price.create_time = None;
            }
            let superseded = set.superseded.iter().map(|price| to_tenant_price(price)).collect();
            Ok(v1::SetPriceResponse { price: Some(price), superseded })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn list_prices(
        &self,
        request: Request<v1::ListPricesRequest>,
    ) -> Result<Response<v1::ListPricesResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListPricesRequest { model: wanted, at, source, page_size: size, page_token } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let filter = PriceFilter {
                model: wanted.map(|wanted| model(&mut found, "model", wanted)).unwrap_or_default(),
                at: timestamp(&mut found, "at", at),
                source: self::source(&mut found, source),
            };
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize;
            checked(found, ())?;
            let after = cursor(&page_token, &filter)?;
            let page = self.app.list_prices(tenant, &filter, after, limit, to_price).await?;
            Ok(v1::ListPricesResponse {
                prices: page.prices,
                next_page_token: page.next.map(|next| token(&next, &filter)).unwrap_or_default(),
                catalog_version: page.catalog_version,
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn end_price(&self, request: Request<v1::EndPriceRequest>) -> Result<Response<v1::EndPriceResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::EndPriceRequest { price_id, end_time, request_id } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            found.add_if(price_id.is_empty(), "price_id", "must be set");
            let price_id = text(&mut found, "price_id", price_id, PRICE_ID_BYTES_LIMIT).unwrap_or_default();
            let end_time = timestamp(&mut found, "end_time", end_time);
            // Ending once more changes nothing, so that a repeated request needs no memory.
            let _request_id = optional_uuid(&mut found, "request_id", &request_id);
            checked(found, ())?;
            let price = self.app.end_price(tenant, &price_id, end_time).await?;
            Ok(v1::EndPriceResponse { price: Some(to_price(ListedPrice::Tenant(&price))) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn estimate_cost(
        &self,
        request: Request<v1::EstimateCostRequest>,
    ) -> Result<Response<v1::EstimateCostResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::EstimateCostRequest { model: wanted, usage, units: unit_messages, start_time } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let model = required_model(&mut found, "model", wanted);
            let at = timestamp(&mut found, "start_time", start_time);
            let units = units(&mut found, "units", unit_messages);
            let (quantities, input_estimated) = quantities(&mut found, usage, units)?;
            let Some(quantities) = checked(found, quantities)? else { return Err(AppError::Internal) };
            let cost = self.app.estimate_cost(tenant, &model, &quantities, at).await?;
            Ok(v1::EstimateCostResponse { cost: Some(to_cost(&cost)), input_estimated })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn reprice_usage(
        &self,
        request: Request<v1::RepriceUsageRequest>,
    ) -> Result<Response<v1::RepriceUsageResponse>, Status> {
        reprice_usage(&self.app, request).await
    }
}

/// What a call uses by a request, and whether its input was estimated from characters.
///
/// # Errors
/// [`AppError::Invalid`] with every violation, and [`AppError::NotImplemented`].
pub fn quantities_of(
    message: Option<v1::estimate_cost_request::Usage>,
    unit_messages: Vec<v1::UnitCount>,
) -> Result<(Quantities, bool), AppError> {
    let mut found = Violations::new();
    let units = units(&mut found, "units", unit_messages);
    let (quantities, input_estimated) = quantities(&mut found, message, units)?;
    let quantities = checked(found, quantities)?.ok_or(AppError::Internal)?;
    Ok((quantities, input_estimated))
}

fn quantities(
    found: &mut Violations,
    message: Option<v1::estimate_cost_request::Usage>,
    units: Vec<UnitCount>,
) -> Result<(Option<Quantities>, bool), AppError> {
    use v1::estimate_cost_request::Usage;
    match message {
        None => {
            found.add("usage", "must be set: estimate, tokens or provider_usage");
            Ok((None, false))
        }
        Some(Usage::Estimate(message)) => {
            found.add_if(!units.is_empty(), "units", "must be unset with an estimate: use estimate.units");
            let (estimate, input_estimated) = estimate(found, "estimate", Some(message));
            Ok((Some(Quantities::AtMost(estimate)), input_estimated))
        }
        Some(Usage::Tokens(message)) => {
            let usage = usage(found, "tokens", message);
            let unknown = usage.as_ref().is_some_and(|usage| usage.quality == UsageQuality::Unknown);
            found.add_if(unknown, "tokens.quality", "must not be unknown: there would be nothing to price");
            let exact = Exact { usage, units, ..Exact::default() };
            Ok((Some(Quantities::Exactly(Box::new(exact))), false))
        }
        Some(Usage::ProviderUsage(message)) => {
            let reported = provider_usage(found, "provider_usage", message);
            Ok((reported.map(|reported| Quantities::Exactly(Box::new(reported.exact(units)))), false))
        }
    }
}

fn checked<T>(found: Violations, value: T) -> Result<T, AppError> {
    found.into_result(value).map_err(AppError::from)
}

fn optional_uuid(found: &mut Violations, field: &str, text: &str) -> Option<Uuid> {
    if text.is_empty() { None } else { uuid(found, field, text) }
}

fn source(found: &mut Violations, value: i32) -> Option<PriceSource> {
    match v1::price::Source::try_from(value) {
        Ok(v1::price::Source::Unspecified) => None,
        Ok(v1::price::Source::Tenant) => Some(PriceSource::Tenant),
        Ok(v1::price::Source::Catalog) => Some(PriceSource::Catalog),
        Err(_) => {
            found.add("source", "must be a value that this version knows");
            None
        }
    }
}

/// The token of a page: which request it belongs to, and where it begins.
fn token(next: &PriceCursor, filter: &PriceFilter) -> String {
    let source = match next.source {
        PriceSource::Tenant => "tenant",
        PriceSource::Catalog => "catalog",
    };
    let PriceCursor { source: _, position, catalog_version } = next;
    URL_SAFE_NO_PAD.encode(format!("{} {source} {position} {catalog_version}", filter.digest()))
}

fn cursor(token: &str, filter: &PriceFilter) -> Result<Option<PriceCursor>, AppError> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parsed = decoded.as_deref().and_then(|text| {
        let mut parts = text.splitn(4, ' ');
        let own = Uuid::try_parse(parts.next()?).ok()? == filter.digest();
        let source = match parts.next()? {
            "tenant" => PriceSource::Tenant,
            "catalog" => PriceSource::Catalog,
            _ => return None,
        };
        let position = parts.next()?.parse().ok()?;
        let cursor = PriceCursor { source, position, catalog_version: parts.next()?.to_owned() };
        own.then_some(cursor)
    });
    parsed.map(Some).ok_or(AppError::PageTokenInvalid)
}
