//! Audits between the wire and the use case.

use tollgate_domain::violation::Violations;
use tollgate_domain::window::Bounds;
use tollgate_proto::v1;

use super::values::{timestamp, to_timestamp};
use crate::app::AppError;
use crate::app::audit::{AuditReport, Check};
use crate::store::audit::Example;

/// The stretch of time that is asked for; `None` = everything.
///
/// # Errors
/// [`AppError::Invalid`].
pub fn range(request: v1::RunAuditRequest) -> Result<Option<Bounds>, AppError> {
    let v1::RunAuditRequest { start_time, end_time } = request;
    let mut found = Violations::new();
    let one_is_missing = start_time.is_some() != end_time.is_some();
    found.add_if(one_is_missing && start_time.is_none(), "start_time", "must be set with end_time");
    found.add_if(one_is_missing && end_time.is_none(), "end_time", "must be set with start_time");
    let bounds = timestamp(&mut found, "start_time", start_time).zip(timestamp(&mut found, "end_time", end_time));
    let bounds = bounds.map(|(start, end)| Bounds { start, end });
    found.add_if(bounds.is_some_and(|bounds| bounds.is_empty()), "end_time", "must be after start_time");
    found.into_result(bounds).map_err(AppError::from)
}

/// For the wire, with at most `limit` findings.
pub fn to_response(report: &AuditReport, limit: usize) -> v1::RunAuditResponse {
    let mut findings: Vec<v1::AuditFinding> = report.checks.iter().flat_map(findings_of).collect();
    let unnamed = report.checks.iter().any(|check| {
        u64::try_from(check.comparison.examples.len()).is_ok_and(|named| named < check.comparison.drifting)
    });
    let truncated = unnamed || findings.len() > limit;
    findings.truncate(limit);
    v1::RunAuditResponse {
        findings,
        truncated,
        events: i64::try_from(report.events.attempts).unwrap_or(i64::MAX),
        as_of: Some(to_timestamp(report.events.as_of)),
    }
}

fn findings_of(check: &Check) -> impl Iterator<Item = v1::AuditFinding> {
    let each = |example: &'_ Example| {
        let subject = |figure: &str| format!("{}: {}: {figure}", check.name, example.id);
        let differences = example.differences.iter();
        differences
            .map(|difference| v1::AuditFinding {
                subject: subject(&difference.figure),
                expected: difference.ledger.clone().unwrap_or_default(),
                found: difference.stored.clone().unwrap_or_default(),
            })
            .collect::<Vec<_>>()
    };
    check.comparison.examples.iter().flat_map(each)
}
