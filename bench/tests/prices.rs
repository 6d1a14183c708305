//! `tollgate-bench prices` on files of a few lines.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::Write as _;
use std::process::{Command, Output};

fn run(option: &str, lines: &[&str]) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_tollgate-bench"))
        .args(["prices", option])
        .arg(file.path())
        .arg("--json")
        .output()
        .unwrap()
}

/// The last line that was printed: the sum.
fn sum(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap().lines().last().unwrap_or_default().to_owned()
}

const RIGHT: &str = r#"{"id":"1","category":"base","provider":"openai","model":"gpt-4o","timestamp":"2026-11-01T00:00:00Z","context":{},"usage":{"input_uncached":45230,"output_text":12890},"expected":{"status":"priced","cost_usd":"0.241975"}}"#;
const UNKNOWN: &str = r#"{"id":"2","category":"unknown","provider":"openai","model":"gpt-17","timestamp":"2026-11-01T00:00:00Z","usage":{"input_uncached":1},"expected":{"status":"unknown"}}"#;
/// A weekend, on which one known price list charges DeepSeek's peak.
const CONTESTED: &str = r#"{"id":"3","category":"hours","provider":"deepseek","model":"deepseek-v4-pro","timestamp":"2026-11-21T02:00:00Z","usage":{"input_uncached":1000000},"expected":{"status":"priced","cost_usd":"1.32"},"contested":"weekends"}"#;

#[test]
fn lines_that_agree_and_contested_ones_with_a_reason_are_good() {
    let output = run("--oracle", &[RIGHT, UNKNOWN, CONTESTED]);
    assert_eq!(sum(&output), r#"{"category":"all","matched":2,"decided":1,"differing":0}"#);
    assert!(output.status.success());
}

#[test]
fn a_line_that_differs_fails() {
    let off_by_the_last_digit = RIGHT.replace("0.241975", "0.241975000001");
    let uncontested = CONTESTED.replace(r#","contested":"weekends""#, "");
    let priced = UNKNOWN.replace("gpt-17", "gpt-4o");
    for line in [off_by_the_last_digit, uncontested, priced] {
        let output = run("--oracle", &[RIGHT, &line]);
        assert_eq!(sum(&output), r#"{"category":"all","matched":1,"decided":0,"differing":1}"#, "{line}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn nothing_to_compare_is_not_good() {
    assert_eq!(run("--oracle", &[]).status.code(), Some(1));
}

#[test]
fn answers_are_compared_by_class_cost_and_reported_cost() {
    let line = r#"{"id":"1","shape":"chat","provider":"openrouter","api":"chat","model":"anthropic/claude-sonnet-4.5","timestamp":"2026-11-08T14:51:59Z","body":{"usage":{"prompt_tokens":4060,"completion_tokens":1044,"total_tokens":5104,"cost":0.0177,"prompt_tokens_details":{"cached_tokens":2466,"cache_write_tokens":809}}},"expected_usage":{"input_uncached":785,"cache_read":2466,"cache_write":809,"output_text":1044},"expected_cost_usd":"0.02178855","extra":{"reported_cost_usd":"0.0177"}}"#;
    assert!(run("--responses", &[line]).status.success());
    let wrong = [
        line.replace("\"cache_read\":2466", "\"cache_read\":2467"),
        line.replace("0.02178855", "0.02178856"),
        line.replace("\"reported_cost_usd\":\"0.0177\"", "\"reported_cost_usd\":\"0.0178\""),
    ];
    for line in wrong {
        assert_eq!(run("--responses", &[&line]).status.code(), Some(1), "{line}");
    }
}
