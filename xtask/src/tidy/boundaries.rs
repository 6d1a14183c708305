//! Rules about which room may know what.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::source::Source;
use super::unneeded;

/// What each crate that others build on may use of this workspace. Arrows run one way.
const ARROWS: [(&str, &[&str]); 8] = [
    ("proto/Cargo.toml", &[]),
    ("domain/Cargo.toml", &[]),
    // Itself, with every feature, for its tests.
    ("client/rust/Cargo.toml", &["tollgate-client", "tollgate-proto"]),
    ("bench/Cargo.toml", &["tollgate-domain", "tollgate-proto", "tollgate-stage"]),
    ("bench/micro/Cargo.toml", &["tollgate-domain", "tollgate-proto", "tollgate-server"]),
    ("server/Cargo.toml", &["tollgate-client", "tollgate-domain", "tollgate-proto"]),
    ("tests/faults/Cargo.toml", &["tollgate-client", "tollgate-server", "tollgate-stage"]),
    ("tests/stage/Cargo.toml", &["tollgate-proto", "tollgate-server"]),
];
/// Crates of input and output, which the rules of the domain are kept free of.
const NOT_IN_DOMAIN: [&str; 4] = ["prost", "sqlx", "tokio", "tonic"];
/// Dependencies of a crate, of every kind.
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// The room that owns every statement.
const STORE: &str = "server/src/store/";
/// What other rooms may name of sqlx: what they pass on to the store, and nothing that runs a statement.
const HANDLES: [&str; 4] = ["PgConnection", "PgPool", "Postgres", "Transaction"];
/// Files outside the store that open connections, and why.
const CONNECTS: [&str; 6] = [
    // Opens the pools that everything else is handed.
    "server/src/boot.rs",
    // Refuses a URL that cannot be parsed.
    "server/src/config.rs",
    // The private server has to be asked who it is, and for its database, before there is a pool.
    "server/src/embedded/connection.rs",
    "server/src/embedded/error.rs",
    "server/src/embedded/mod.rs",
    "server/src/embedded/server.rs",
];

/// The only file of the server that turns an error into a status, so that codes and details are the contract's.
const STATUS_FILE: &str = "server/src/grpc/status.rs";
/// What makes a status. Reading one stays free.
const STATUS_MAKERS: [&str; 20] = [
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "from_error",
    "internal",
    "invalid_argument",
    "new",
    "not_found",
    "ok",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "with_",
];

/// Crates that use a crate of this workspace, or of input and output, that they must not.
pub(super) fn crate_arrows(sources: &[Source]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for (path, allowed) in ARROWS {
        let manifest =
            sources.iter().find(|source| source.path == path).with_context(|| format!("{path} is missing"))?;
        let manifest_table: toml::Table = manifest.text.parse().with_context(|| format!("parse {path}"))?;
        for dependency in dependencies(&manifest_table) {
            let ours = dependency.starts_with("tollgate-") && !allowed.contains(&dependency);
            let impure = path.starts_with("domain/") && NOT_IN_DOMAIN.contains(&dependency);
            if ours || impure {
                findings.push(format!("{path}: must not depend on {dependency}"));
            }
        }
    }
    Ok(findings)
}

fn dependencies(manifest: &toml::Table) -> BTreeSet<&str> {
    let tables = DEPENDENCY_TABLES.iter().filter_map(|name| manifest.get(*name)?.as_table());
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

/// Files of the server outside the store that know more of sqlx than a handle.
pub(super) fn database_outside_store(sources: &[Source]) -> Vec<String> {
    let found: Vec<(&Source, String)> = server_code(sources)
        .filter(|source| !source.path.starts_with(STORE))
        .flat_map(|source| {
            let names = names_after(&code(source), "sqlx::");
            names.into_iter().filter(|name| !HANDLES.contains(&name.as_str())).map(move |name| (source, name))
        })
        .collect();
    let is_found = |path: &str| found.iter().any(|(source, _)| source.path == path);
    let mut findings = unneeded("only the store knows sqlx", CONNECTS, is_found);
    findings.extend(found.iter().filter(|(source, _)| !CONNECTS.contains(&source.path.as_str())).map(
        |(source, name)| format!("{}: uses sqlx's `{name}`: move the statement to server/src/store", source.path),
    ));
    findings
}

/// Files of the server that make a gRPC status themselves.
pub(super) fn status_outside_one_file(sources: &[Source]) -> Vec<String> {
    server_code(sources)
        .filter(|source| source.path != STATUS_FILE)
        .flat_map(|source| {
            source.code_lines().filter(|(_, line)| makes_status(line)).map(move |(line, _)| {
                format!(
                    "{}:{line}: makes a status: return an error and let {STATUS_FILE} turn it into one",
                    source.path
                )
            })
        })
        .collect()
}

fn makes_status(line: &str) -> bool {
    let mut calls = line.match_indices("Status::").filter(|(at, _)| {
        // `ServingStatus::Unknown` is another type.
        !line.get(..*at).is_some_and(|before| before.ends_with(|last: char| last.is_alphanumeric() || last == '_'))
    });
    calls.any(|(at, mark)| {
        let after = line.get(at.saturating_add(mark.len())..).unwrap_or_default();
        STATUS_MAKERS.iter().any(|maker| after.starts_with(maker))
    })
}

fn server_code(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|source| source.path.starts_with("server/src/") && source.ends_with(".rs") && !source.is_test())
}

/// The text without its comments.
fn code(source: &Source) -> String {
    source.code_lines().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// What a path that begins with `prefix` ends in: `B` of `prefixa::B`, `C` and `D` of `prefix{C, D}`.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let after = code.get(at.saturating_add(prefix.len())..).unwrap_or_default();
        let path_end = after.find(|end: char| !is_path(end)).unwrap_or(after.len());
        let (path, rest) = after.split_at(path_end);
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                names.extend(list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(last_segment));
            }
            None => names.push(last_segment(path)),
        }
    }
    names
}

fn is_path(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == ':'
}

fn last_segment(path: &str) -> String {
    path.trim_end_matches(':').rsplit("::").next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::source;

    #[test]
    fn arrows_run_one_way() {
        let empty = "[dependencies]\nserde = \"1\"\n";
        let manifests = |domain: &str| {
            ARROWS.map(|(path, _)| source(path, if path.starts_with("domain/") { domain } else { empty }))
        };
        assert_eq!(crate_arrows(&manifests(empty)).unwrap(), Vec::<String>::new());
        for dependency in ["tollgate-proto", "tokio"] {
            let findings =
                crate_arrows(&manifests(&format!("[dev-dependencies]\n{dependency}.workspace = true\n"))).unwrap();
            assert_eq!(findings, [format!("domain/Cargo.toml: must not depend on {dependency}")]);
        }
    }

    #[test]
    fn other_rooms_pass_handles_and_run_no_statements() {
        assert_eq!(names_after("use sqlx::postgres::{PgPool, types::Oid};", "sqlx::"), ["PgPool", "Oid"]);
        assert_eq!(names_after("sqlx::query_file!(\"a\")", "sqlx::"), ["query_file"]);
        let findings = |text: &str| -> Vec<String> {
            let findings = database_outside_store(&[source("server/src/app/a.rs", text)]);
            findings.into_iter().filter(|finding| finding.starts_with("server/")).collect()
        };
        assert_eq!(findings("use sqlx::{PgPool, Transaction, Postgres};\n// sqlx::query\n"), Vec::<String>::new());
        assert_eq!(findings("sqlx::query(\"SELECT 1\")").len(), 1);
    }

    #[test]
    fn a_status_is_made_in_one_file() {
        let findings = |path: &str, line: &str| status_outside_one_file(&[source(path, line)]).len();
        assert_eq!(findings("server/src/grpc/a.rs", "return Err(Status::not_found(\"gone\"));"), 1);
        assert_eq!(findings("server/src/grpc/a.rs", "return Err(tonic::Status::new(Code::Ok, \"\"));"), 1);
        assert_eq!(findings(STATUS_FILE, "Status::new(code, text)"), 0);
        assert_eq!(findings("server/src/boot.rs", "set(tonic_health::ServingStatus::Unknown)"), 0);
    }
}
