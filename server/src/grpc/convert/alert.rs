//! Alerts.

use tollgate_domain::alert::{AlertKind, Severity, Subject};
use tollgate_domain::amount::Usd;
use tollgate_domain::budget::OverrunCause;
use tollgate_proto::v1;

use super::budget::{to_rule, to_state};
use super::dimensions::to_model;
use super::values::to_timestamp;
use crate::store::alerts::{Acknowledgement, StoredAlert};

/// For the wire.
pub fn to_alert(alert: &StoredAlert) -> v1::Alert {
    let StoredAlert { alert_id, position: _, create_time, event_id, reservation_id, subject, acknowledgement } = alert;
    let (acknowledge_time, acknowledged_by, note) = match acknowledgement {
        Some(Acknowledgement { time, by, note }) => (Some(to_timestamp(*time)), by.clone(), note.clone()),
        None => (None, String::new(), String::new()),
    };
    let rule = match subject {
        Subject::RuleFired { rule, .. } => Some(to_rule(rule)),
        _ => None,
    };
    let cause = match subject {
        Subject::Overrun { cause, .. } => to_cause(*cause),
        _ => String::new(),
    };
    let (reported_usd, computed_usd) = match subject {
        Subject::ReportedCostDiffers { reported_usd, computed_usd, .. } => {
            (to_usd(*reported_usd), to_usd(*computed_usd))
        }
        _ => (String::new(), String::new()),
    };
    let (audit_check, drifting_rows) = match subject {
        Subject::AuditMismatch { check, rows } => (check.clone(), i64::try_from(*rows).unwrap_or(i64::MAX)),
        _ => (String::new(), 0),
    };
    v1::Alert {
        alert_id: alert_id.to_string(),
        kind: to_kind(subject.kind()).into(),
        rule,
        // As it was when the alert was raised, how long its window was to last included.
        budget: subject.budget().map(|state| to_state(state, *create_time)),
        model: subject.model().map(to_model),
        summary: subject.summary(),
        create_time: Some(to_timestamp(*create_time)),
        acknowledge_time,
        acknowledged_by,
        note,
        severity: to_severity(subject.severity()).into(),
        cause,
        event_id: event_id.map(|id| id.to_string()).unwrap_or_default(),
        reservation_id: reservation_id.map(|id| id.to_string()).unwrap_or_default(),
        reported_usd,
        computed_usd,
        audit_check,
        drifting_rows,
    }
}

fn to_usd(usd: Usd) -> String {
    usd.to_string()
}

fn to_cause(cause: OverrunCause) -> String {
    cause.name().to_ascii_uppercase()
}

fn to_kind(kind: AlertKind) -> v1::alert::Kind {
    match kind {
        AlertKind::RuleFired => v1::alert::Kind::RuleFired,
        AlertKind::Overrun => v1::alert::Kind::Overrun,
        AlertKind::UnpricedModel => v1::alert::Kind::UnpricedModel,
        AlertKind::ReservationExpired => v1::alert::Kind::ReservationExpired,
        AlertKind::ReportedCostDiffers => v1::alert::Kind::ReportedCostDiffers,
        AlertKind::AuditMismatch => v1::alert::Kind::AuditMismatch,
    }
}

fn to_severity(severity: Severity) -> v1::alert::Severity {
    match severity {
        Severity::Info => v1::alert::Severity::Info,
        Severity::Warning => v1::alert::Severity::Warning,
        Severity::Critical => v1::alert::Severity::Critical,
    }
}
