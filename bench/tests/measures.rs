//! Short runs of scenarios with the server of this build: what is reported, not how fast it is.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The rows of a run of one round.
fn measure(scenario: &[&str]) -> Vec<Value> {
    let own = Path::new(env!("CARGO_BIN_EXE_tollgate-bench"));
    let mut command = Command::new(own);
    command.args(scenario).args(["--seconds", "1", "--rounds", "1", "--json"]);
    // Built beside this one by the same run of cargo; where it is not, the run builds it.
    let server = own.with_file_name("tollgate");
    if server.is_file() {
        command.arg("--binary").arg(server);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A field; one that is not there fails every comparison.
fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or(f64::NAN)
}

#[test]
fn a_lone_caller_is_compared_with_an_echo() {
    let rows = measure(&["record-lone"]);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (&row["scenario"], &row["unit"], &row["baseline"]),
        (&"record-lone".into(), &"us p50".into(), &"echo".into())
    );
    assert_eq!((&row["goal"], row["met"].is_boolean()), (&"<= 1000".into(), true));
    for field in ["value", "baseline_value", "ratio", "ratio_low", "ratio_high", "measured_s", "server_rss_mib"] {
        assert!(number(row, field) > 0.0, "{field} of {row}");
    }
    assert!(number(row, "p50_us") <= number(row, "p99_us"));
    // A commit takes longer than an echo, whatever the machine.
    assert!(number(row, "ratio") > 1.0);
}

#[test]
fn many_callers_are_compared_with_every_baseline() {
    let rows = measure(&["record-unary"]);
    let baselines: Vec<_> = rows.iter().filter_map(|row| row["baseline"].as_str()?.split(',').next()).collect();
    assert_eq!(baselines, ["echo", "SQL per call"]);
    assert!(rows.iter().all(|row| row["met"].is_boolean()), "{rows:?}");
    let last = &rows[rows.len() - 1];
    assert_eq!((&last["scenario"], &last["unit"]), (&"record-unary p99".into(), &"ms".into()));
}

#[test]
fn disk_is_reported_by_table() {
    let rows = measure(&["disk", "--events", "5000"]);
    let of =
        |scenario: &str| rows.iter().find(|row| row["scenario"] == scenario).unwrap_or_else(|| panic!("{scenario}"));
    assert_eq!(of("disk")["goal"], "<= 300");
    // An event has more than its id and its times.
    assert!(number(of("disk, usage_event"), "value") > 50.0);
    assert!(number(of("disk, recording"), "value") > 0.0);
}
