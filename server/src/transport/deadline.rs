//! How long a call may take.

use std::time::Duration;

use http::HeaderMap;

use crate::config::CallsConfig;

/// The deadline that a caller asks for.
const TIMEOUT_HEADER: &str = "grpc-timeout";
/// Most digits of it, by the protocol of gRPC over HTTP/2.
const MOST_DIGITS: usize = 8;
/// Calls that take long by their nature: they wait for a change, or work through much in one go.
const LONG_CALLS: [&str; 3] = [
    "/tollgate.v1.UsageService/GetTotals",
    "/tollgate.v1.UsageService/RepriceUsage",
    "/tollgate.v1.AdminService/RunAudit",
];

/// How long this call may take until its answer begins: what the caller asks for within the bound, else the default.
pub(super) fn of_call(path: &str, headers: &HeaderMap, config: &CallsConfig) -> Duration {
    let asked = headers.get(TIMEOUT_HEADER).and_then(|value| parse(value.to_str().ok()?));
    let usual = if LONG_CALLS.contains(&path) { config.longest_timeout } else { config.timeout };
    asked.unwrap_or(usual).min(config.longest_timeout)
}

/// Digits and a unit. What is neither counts as not said, so that the default holds.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_deadline_is_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("+1S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_counts_within_the_bound_and_else_the_default() {
        let config = CallsConfig::default();
        let headers = |text: &str| {
            HeaderMap::from_iter([(TIMEOUT_HEADER.parse().unwrap(), HeaderValue::from_str(text).unwrap())])
        };
        let record = "/tollgate.v1.UsageService/RecordUsage";
        assert_eq!(of_call(record, &HeaderMap::new(), &config), config.timeout);
        assert_eq!(of_call(record, &headers("nonsense"), &config), config.timeout);
        assert_eq!(of_call(record, &headers("5m"), &config), Duration::from_millis(5));
        assert_eq!(of_call(record, &headers("1M"), &config), Duration::from_secs(60));
        assert_eq!(of_call(record, &headers("99H"), &config), config.longest_timeout);
        assert_eq!(of_call(LONG_CALLS[0], &HeaderMap::new(), &config), config.longest_timeout);
    }
}
