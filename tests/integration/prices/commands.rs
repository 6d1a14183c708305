//! `tollgate prices`, the program itself: without a server on catalogs, with one on the tenant's prices.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tollgate_proto::v1;

use super::{own_prices, recorded};
use crate::harness::TestServer;
use crate::harness::build::gpt_4o;

/// What the program answered.
struct Answer {
    code: Option<i32>,
    text: String,
    error: String,
}

fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code(),
        text: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `tollgate prices`, without the settings of whoever runs the tests.
fn offline(arguments: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    answer(command.env_clear().stdin(Stdio::null()).arg("prices").args(arguments).output().unwrap())
}

/// The same against a server; in a thread of its own, as the server runs in this process.
async fn online(server: &TestServer, arguments: &[&str]) -> Answer {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().env("TOLLGATE_URL", &server.url).stdin(Stdio::null());
    answer(command.arg("prices").args(arguments).output().await.unwrap())
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.code, Some(0), "{}{}", answer.text, answer.error);
    serde_json::from_str(&answer.text).unwrap()
}

fn catalog(path: &Path, version: &str, rates: &str) {
    let head = format!(r#"{{"catalog":{{"format":1,"version":"{version}","sources":[]}}}}"#);
    let prices = format!(r#"[{{"id":"acme/m","rates":{rates},"source":"https://acme.example","reason":"misprint"}}]"#);
    let model = format!(r#"{{"provider":"acme","model":"m","match":[{{"prefix":"m"}}],"prices":{prices}}}"#);
    std::fs::write(path, format!("{head}\n{{\"provider\":\"acme\"}}\n{model}\n")).unwrap();
}

#[test]
fn without_a_server_the_built_in_catalog_is_looked_at() {
    let listed = offline(&["list", "--provider", "openai", "--model", "gpt-4o", "--at", "now"]);
    assert!(listed.code == Some(0) && listed.text.contains("openai/gpt-4o"), "{}", listed.text);
    let listed = json(&offline(&["list", "--provider", "openai", "--json"]));
    assert!(listed["catalogVersion"].is_string() && listed["prices"].as_array().unwrap().len() > 100);
    let shown = offline(&["show", "openai/gpt-4o-2024-08-06", "--tier", "batch"]);
    for expected in ["cache_read", "tier batch", "1M", "web_search", "1k"] {
        assert!(shown.text.contains(expected), "{expected}: {}", shown.text);
    }
    assert!(!shown.text.contains("tier priority"), "{}", shown.text);
    let estimate = json(&offline(&["estimate", "openai/gpt-4o", "--input", "45230", "--output", "12890", "--json"]));
    assert_eq!((estimate["usd"].as_str(), estimate["state"].as_str()), (Some("0.241975"), Some("PRICE_STATE_PRICED")));
    let free = offline(&["estimate", "vllm/llama", "--input", "1", "--output", "1"]);
    assert!(free.code == Some(0) && free.text.contains("free"), "{}", free.text);
    assert!(offline(&["diff", "builtin", "builtin"]).text.contains("no price differs"));
}

#[test]
fn what_is_not_there_or_not_possible_says_what_to_do() {
    for (arguments, expected) in [
        (&["show", "openai/gpt-4p"][..], "called alike"),
        (&["show", "nobody/m"], "tollgate prices set nobody/m"),
        (&["show", "gpt-4o"], "PROVIDER/MODEL"),
        (&["set", "openai/gpt-4o", "input=1"], "--url"),
        (&["set", "openai/gpt-4o", "input"], "input=2.5/1M"),
        (&["list", "--source", "tenant"], "--url"),
        (&["list", "--catalog", "/nowhere/catalog.jsonl"], "/nowhere/catalog.jsonl"),
        (&["list", "--at", "soon"], "2026-01-31T12:00:00Z"),
        (&["estimate", "openai/gpt-4o"], "--input"),
    ] {
        let refused = offline(arguments);
        assert_ne!(refused.code, Some(0), "{arguments:?}: {}", refused.text);
        assert!(refused.error.contains(expected), "{arguments:?}: {}", refused.error);
    }
    let unknown = offline(&["estimate", "nobody/m", "--input", "1", "--output", "1"]);
    assert!(unknown.code == Some(1) && unknown.text.contains("no price is known"), "{}", unknown.text);
}

#[test]
fn a_catalog_in_a_file_is_looked_at_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.jsonl"), folder.path().join("new.jsonl"));
    catalog(&old, "1", r#"{"input":"1","output":"2"}"#);
    catalog(&new, "2", r#"{"input":{"usd":"1.5","tiers":[{"above":200000,"usd":"3"}]},"page":"2"}"#);
    let file = new.to_str().unwrap();
    let shown = offline(&["show", "acme/m-1", "--catalog", file]);
    for expected in ["catalog 2", "200000", "misprint", "https://acme.example"] {
        assert!(shown.text.contains(expected), "{expected}: {}", shown.text);
    }
    let difference = json(&offline(&["diff", old.to_str().unwrap(), file, "--json"]));
    let changed = difference["providers"]["acme"]["changed"].as_array().unwrap();
    let lines: Vec<&str> = changed.iter().map(|change| change["line"].as_str().unwrap()).collect();
    assert_eq!(lines, ["input", "input above 200000", "output", "page"]);
    let text = folder.path().join("prompt.txt");
    std::fs::write(&text, "ä".repeat(2_998)).unwrap();
    let text = text.to_str().unwrap();
    let estimate = ["estimate", "acme/m", "--catalog", file, "--text", text, "--output", "0", "--json"];
    let estimate = json(&offline(&estimate));
    assert_eq!((estimate["usd"].as_str(), estimate["inputEstimated"].as_bool()), (Some("0.0015"), Some(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_set_listed_shown_and_ended_on_a_server() {
    let server = TestServer::start().await;
    let set =
        ["set", "openai/gpt-4o", "input=2/1M", "inptu=1", "--lines-only", "--from", "2024-01-01", "--note", "May"];
    let dry = online(&server, &[&set[..], &["--dry-run"]].concat()).await;
    assert!(dry.code == Some(0) && dry.text.starts_with("would be set"), "{}{}", dry.text, dry.error);
    assert_eq!(own_prices(&server).await, []);
    let done = online(&server, &set).await;
    assert!(done.text.starts_with("set:") && done.text.contains("`inptu`"), "{}{}", done.text, done.error);
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.012");
    let discount = json(&online(&server, &["set", "openai/*", "--multiplier", "0.5", "--json"]).await);
    assert_eq!(discount["price"]["coverage"], "COVERAGE_LINES");
    let later = online(&server, &["set", "openai/*", "--multiplier", "0.6"]).await;
    assert!(later.text.contains("ended: tenant price"), "{}", later.text);
    let listed = online(&server, &["list", "--source", "tenant"]).await;
    assert_eq!(listed.text.matches("| tenant").count(), 3, "{}", listed.text);
    let shown = online(&server, &["show", "openai/gpt-4o"]).await;
    assert!(shown.text.contains("tenant price") && shown.text.contains("catalog price"), "{}", shown.text);
    let estimate =
        online(&server, &["estimate", "openai/gpt-4o", "--input", "1000", "--output", "1000", "--json"]).await;
    assert_eq!(json(&estimate)["usd"], "0.0072");
    let prices = own_prices(&server).await;
    let open = prices.iter().find(|price| price.end_time.is_none() && !price.multiplier.is_empty()).unwrap();
    let ended = online(&server, &["end", &open.price_id]).await;
    assert!(ended.code == Some(0) && ended.text.starts_with("ended:"), "{}{}", ended.text, ended.error);
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.012");
    let catalog = online(&server, &["end", "openai/gpt-4o"]).await;
    assert!(catalog.code == Some(1) && catalog.error.contains("set a price of your own over it"), "{}", catalog.error);
    let bad = online(&server, &["set", "openai/gpt-4o", "input=x", "output=-1"]).await;
    assert!(bad.error.contains("rates[0].usd") && bad.error.contains("rates[1].usd"), "{}", bad.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_sets_every_good_line_and_fails_for_the_bad_ones() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.jsonl");
    let line = |model: &str, usd: &str| {
        format!(
            r#"{{"model":{{"providerName":"acme","model":"{model}"}},"coverage":"COVERAGE_MODEL","rates":[{{"line":"input","usd":"{usd}","per":"1000000"}}],"startTime":"2024-01-01T00:00:00Z"}}"#
        )
    };
    std::fs::write(&file, format!("{}\nnot json\n\n{}\n{}\n", line("a", "1"), line("b", "-1"), line("c", "3")))
        .unwrap();
    let path = file.to_str().unwrap();
    let dry = online(&server, &["import", path, "--dry-run"]).await;
    assert!(dry.code == Some(1) && dry.text.contains("2 would be set, 2 failed"), "{}{}", dry.text, dry.error);
    assert_eq!(own_prices(&server).await, []);
    let imported = online(&server, &["import", path]).await;
    assert_eq!(imported.code, Some(1), "{}{}", imported.text, imported.error);
    for expected in
        ["line 1: acme/a set as", "line 2: FAILED", "line 4: FAILED acme/b", "price.rates[0].usd", "line 5: acme/c"]
    {
        assert!(imported.text.contains(expected), "{expected}: {}", imported.text);
    }
    let models: Vec<String> =
        own_prices(&server).await.into_iter().map(|price: v1::Price| price.model.unwrap().model).collect();
    assert_eq!(models, ["a", "c"]);
    // What one command prints another takes.
    let listed = json(&online(&server, &["list", "--source", "tenant", "--json"]).await);
    let again: Vec<String> = listed["prices"].as_array().unwrap().iter().map(ToString::to_string).collect();
    std::fs::write(&file, again.join("\n")).unwrap();
    let imported = online(&server, &["import", path, "--json"]).await;
    assert_eq!(imported.code, Some(0), "{}{}", imported.text, imported.error);
    assert_eq!(imported.text.lines().count(), 2);
}
