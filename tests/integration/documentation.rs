//! What `docs/operations.md` says about the configuration, beside what the program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use tollgate_server::config::Config;

const PAGE: &str = include_str!("../../docs/operations.md");
/// Keys whose defaults the page puts into words.
const IN_WORDS: [&str; 3] = ["ledger.retention", "prices.free_providers", "alerts.webhook_secrets"];

/// The keys of the page with their defaults, as they are written there.
fn documented() -> BTreeMap<String, String> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.filter(|(key, _)| is_key(key))
        .map(|(key, rest)| (key.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned()))
        .collect()
}

fn is_key(text: &str) -> bool {
    let named =
        |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    text.contains('.') && text.split('.').all(named)
}

/// Adds what stands below `prefix`, each key with its whole path.
fn flatten(prefix: &str, table: toml::Table, keys: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, keys),
            toml::Value::String(text) => {
                keys.insert(key, text);
            }
            other => {
                keys.insert(key, other.to_string());
            }
        }
    }
}

/// The keys that the program prints with these variables set, and their values.
fn printed(environment: &[(&str, &str)]) -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--print-config"])
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sections: toml::Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    let mut keys = BTreeMap::new();
    flatten("", sections, &mut keys);
    keys
}

#[test]
fn every_key_is_documented_with_its_default() {
    let documented = documented();
    let defaults = printed(&[]);
    for (key, value) in defaults.iter().filter(|(key, _)| !IN_WORDS.contains(&key.as_str())) {
        assert_eq!(documented.get(key), Some(&format!("`{value}`")), "docs/operations.md: {key}");
    }
    // What is not set is not printed.
    let all = printed(&[
        ("TOLLGATE_SERVER__TLS__CERTIFICATE", "server.pem"),
        ("TOLLGATE_SERVER__TLS__PRIVATE_KEY", "server.key"),
        ("TOLLGATE_SERVER__TLS__CLIENT_CA", "clients.pem"),
        ("TOLLGATE_SERVER__TLS__CLIENT_AUTH", "required"),
        ("DATABASE_URL", "postgres://localhost/tollgate"),
        ("TOLLGATE_DATABASE__DIRECT_URL", "postgres://localhost/tollgate"),
        ("TOLLGATE_EMBEDDED__DATA_DIR", "data"),
        ("TOLLGATE_EMBEDDED__BINARIES_DIR", "binaries"),
        ("TOLLGATE_PRICES__CATALOG_FILE", "catalog.jsonl"),
        ("TOLLGATE_ALERTS__WEBHOOK_URL", "https://hooks.example.com/"),
        ("TOLLGATE_ALERTS__WEBHOOK_SECRETS", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
        ("TOLLGATE_METRICS__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:4317"),
    ]);
    let printed: BTreeSet<&String> = all.keys().collect();
    assert_eq!(
        documented.keys().collect::<BTreeSet<_>>(),
        printed,
        "docs/operations.md names exactly the keys there are"
    );
    assert_eq!(Config::default().ledger.retention.as_secs(), 400 * 86_400, "as the page says in words");
}
