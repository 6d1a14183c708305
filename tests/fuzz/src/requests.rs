//! Decode, validate and convert: every message that changes something or holds money.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use prost::Message;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::price::{Catalog, price, sheet_with_others, worst_case};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_server::app::AppError;
use tollgate_server::grpc::convert::{amend, budget, check, event, price as prices, reprice, totals};
use tollgate_server::grpc::status::status;

/// Longest details of a status: it travels in a header.
const STATUS_BYTES_LIMIT: usize = 8 << 10;
/// Most scopes of one stream.
const SCOPES_LIMIT: usize = 64;

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Catalog::builtin().expect("the catalog is built in"));

/// The first byte says which message follows.
pub fn run(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => told(decode::<v1::RecordUsageRequest>(message).map(|request| recorded(request.event))),
        1 => told(decode::<v1::BatchRecordUsageRequest>(message).map(|request| {
            request.events.into_iter().for_each(|event| told(Some(recorded(Some(event)))));
            Ok(())
        })),
        2 => told(decode::<v1::CheckBudgetRequest>(message).map(checked)),
        3 => told(decode::<v1::ExtendReservationRequest>(message).map(|request| check::extension(request).map(drop))),
        4 => told(decode::<v1::CreateBudgetRequest>(message).map(|request| budgeted(request.budget))),
        5 => told(
            decode::<v1::AmendUsageRequest>(message)
                .map(|request| amend::request(request, &Dimensions::default()).map(drop)),
        ),
        6 => told(decode::<v1::RepriceUsageRequest>(message).map(|request| reprice::request(request).map(drop))),
        _ => {
            if let Some(request) = decode::<v1::SetPriceRequest>(message) {
                let mut found = Violations::new();
                let terms = prices::terms(&mut found, "price", request.price);
                told(Some(found.into_result(terms).map(drop).map_err(AppError::from)));
            }
            if let Some(request) = decode::<v1::StreamUsageRequest>(message) {
                let mut found = Violations::new();
                let scopes = totals::scopes(&mut found, request.scopes, SCOPES_LIMIT);
                told(Some(found.into_result(scopes).map(drop).map_err(AppError::from)));
            }
        }
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok()
}

/// A refusal fits into a header.
fn told(outcome: Option<Result<(), AppError>>) {
    let Some(Err(error)) = outcome else { return };
    let status = status(&error);
    let size = status.message().len() + status.details().len();
    assert!(size <= STATUS_BYTES_LIMIT, "a status of {size} bytes: {status:?}");
}

fn recorded(message: Option<v1::UsageEvent>) -> Result<(), AppError> {
    let from_provider =
        message.as_ref().is_some_and(|message| matches!(message.usage, Some(v1::usage_event::Usage::ProviderUsage(_))));
    let accepted = event::event(message, "event", &Dimensions::default())?;
    if !from_provider {
        let shown = event::to_event(&accepted);
        let again = event::event(Some(shown), "event", &Dimensions::default())
            .expect("what is shown of an event is accepted again");
        assert_eq!(again, accepted);
    }
    charged(&accepted);
    Ok(())
}

/// Lines add up to what is charged.
fn charged(event: &UsageEvent) {
    let find = |model: &_| CATALOG.find(model, event.start_time);
    let sheet = sheet_with_others(event.model(), &event.additional, find);
    let Ok(cost) = event.used().bill(sheet.as_deref()) else { return };
    let mut sum = tollgate_domain::amount::Usd::ZERO;
    for line in &cost.lines {
        sum = sum.plus(line.usd).expect("a sum that was formed once");
        assert!(!line.usd.is_negative(), "{line:?}");
    }
    assert_eq!(sum, cost.usd, "{cost:?}");
}

/// The worst case of an estimate is at least what it costs without any output.
fn checked(message: v1::CheckBudgetRequest) -> Result<(), AppError> {
    let asked = check::check(message, &Dimensions::default())?;
    let sheet = CATALOG.find(&asked.model, Timestamp::UNIX_EPOCH);
    if let (Ok(worst), Ok(units)) =
        (worst_case(&asked.estimate, sheet.as_deref()), price(None, &asked.estimate.units, sheet.as_deref()))
    {
        let free = asked.estimate.amount_usd.is_some();
        assert!(free || worst.cost.usd >= units.usd, "{worst:?} of {asked:?}");
    }
    Ok(())
}

/// A budget has a window at every time, and its stored form is read back as it is.
fn budgeted(message: Option<v1::Budget>) -> Result<(), AppError> {
    let accepted = budget::budget(message)?;
    for at in [0, 951_782_400, 1_767_225_600, 253_370_764_799] {
        let at = Timestamp::from_second(at).expect("a year of four digits");
        if let Ok(bounds) = accepted.window.bounds(at) {
            assert!(bounds.start <= at && at < bounds.end, "{bounds:?} does not hold {at}: {:?}", accepted.window);
        }
    }
    Ok(())
}
