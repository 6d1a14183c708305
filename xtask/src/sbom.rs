//! Writes the bill of materials of the binary: every crate that is linked into it or builds it, as CycloneDX 1.6 in JSON.
//!
//! It says nothing of the moment or the machine it was made on, so that the same sources give the same file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{cargo::cargo, folder};

/// The crate whose binary is shipped.
const ROOT: &str = "tollgate-server";
/// The name of that binary.
const PROGRAM: &str = "tollgate";
/// Where it is written, relative to the build folder.
const FILE: &str = "tollgate.cdx.json";
/// What is shipped runs there.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Writes `target/tollgate.cdx.json`. Part of a release.
///
/// # Errors
/// If `Cargo.lock` does not fit the manifests, or a crate says nothing of its licence.
pub(crate) fn write() -> anyhow::Result<()> {
    let file = folder::target()?.join(FILE);
    let text = serde_json::to_string_pretty(&generate()?)?;
    fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))
}

fn generate() -> anyhow::Result<Value> {
    let lock = fs::read_to_string(folder::workspace()?.join("Cargo.lock")).context("read Cargo.lock")?;
    of(&metadata()?, &checksums(&lock)?)
}

fn metadata() -> anyhow::Result<Value> {
    let answer = cargo()
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", PLATFORM])
        .current_dir(folder::workspace()?)
        .output()
        .context("run cargo")?;
    ensure!(answer.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(serde_json::from_slice(&answer.stdout)?)
}

/// What crates.io says of each archive, by name and version.
fn checksums(lock: &str) -> anyhow::Result<BTreeMap<(String, String), String>> {
    let lock: toml::Table = lock.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock has no packages")?;
    let of = |package: &toml::Value| {
        let field = |name| package.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    Ok(packages.iter().filter_map(of).collect())
}

fn of(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> anyhow::Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        list(metadata, "packages").map(|package| (text(package, "id"), package)).collect();
    let nodes = metadata.get("resolve").context("cargo resolved nothing")?;
    let edges: BTreeMap<&str, Vec<&str>> =
        list(nodes, "nodes").map(|node| (text(node, "id"), shipped_dependencies(node))).collect();
    let root = packages.iter().find(|(_, package)| text(package, "name") == ROOT).context("the server is missing")?;
    let reached = reached(root.0, &edges);

    let mut components = Vec::new();
    for id in reached.iter().filter(|id| *id != root.0) {
        components
            .push(component(packages.get(id).context("cargo names a package that it does not tell")?, checksums)?);
    }
    components.sort_by(|left, right| text(left, "bom-ref").cmp(text(right, "bom-ref")));
    let reference = |id: &&str| packages.get(*id).map(|package| purl(package)).unwrap_or_default();
    let mut dependencies: Vec<Value> = edges
        .iter()
        .filter(|(id, _)| reached.contains(*id))
        .map(|(id, to)| json!({ "ref": reference(id), "dependsOn": to.iter().map(reference).collect::<BTreeSet<_>>() }))
        .collect();
    dependencies.sort_by(|left, right| text(left, "ref").cmp(text(right, "ref")));
    let mut program = component(root.1, checksums)?;
    if let Some(fields) = program.as_object_mut() {
        fields.insert("type".to_owned(), json!("application"));
        fields.insert("name".to_owned(), json!(PROGRAM));
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": program, "properties": [{ "name": "tollgate:platform", "value": PLATFORM }] },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What a package is linked with or built by; what only its tests use is not shipped.
fn shipped_dependencies(node: &Value) -> Vec<&str> {
    let is_shipped = |kind: &Value| kind.get("kind").and_then(Value::as_str) != Some("dev");
    let dependencies = list(node, "deps").filter(|dependency| list(dependency, "dep_kinds").any(is_shipped));
    dependencies.map(|dependency| text(dependency, "pkg")).collect()
}

fn reached<'a>(root: &'a str, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> anyhow::Result<Value> {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let licence = package.get("license").and_then(Value::as_str);
    let licence = licence.with_context(|| format!("{name} {version} says nothing of its licence"))?;
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
        // Crates of before 2015 wrote a bar for OR.
        "licenses": [{ "expression": licence.replace('/', " OR ") }],
    });
    let fields = component.as_object_mut().context("a component is an object")?;
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        fields.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": checksum }]));
    }
    if let Some(repository) = package.get("repository").and_then(Value::as_str) {
        fields.insert("externalReferences".to_owned(), json!([{ "type": "vcs", "url": repository }]));
    }
    Ok(component)
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version").replace('+', "%2B"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema of CycloneDX 1.6 demands of the fields that are used here, and what it cannot: that references lead somewhere.
    #[test]
    fn the_bill_is_whole_and_says_what_is_shipped() {
        let bill = generate().unwrap();
        assert_eq!(
            (text(&bill, "bomFormat"), text(&bill, "specVersion"), &bill["version"]),
            ("CycloneDX", "1.6", &json!(1))
        );
        let program = &bill["metadata"]["component"];
        assert_eq!((text(program, "type"), text(program, "name")), ("application", PROGRAM));

        let mut references = BTreeSet::from([text(program, "bom-ref")]);
        let mut names = BTreeSet::new();
        for component in list(&bill, "components") {
            assert_eq!(text(component, "type"), "library");
            assert!(
                !text(component, "version").is_empty() && text(component, "purl").starts_with("pkg:cargo/"),
                "{component}"
            );
            assert!(references.insert(text(component, "bom-ref")), "twice: {component}");
            let [licence] = component["licenses"].as_array().unwrap().as_slice() else { panic!("{component}") };
            let expression = text(licence, "expression");
            assert!(!expression.is_empty() && !expression.contains('/'), "{component}");
            let own = text(component, "name").starts_with("tollgate-");
            let hashes: Vec<_> = list(component, "hashes").collect();
            assert_eq!(hashes.len(), usize::from(!own), "{component}");
            assert!(
                hashes.iter().all(|hash| text(hash, "alg") == "SHA-256" && text(hash, "content").len() == 64),
                "{component}"
            );
            names.insert(text(component, "name"));
        }
        for shipped in ["tollgate-domain", "tonic", "sqlx-postgres", "rustls"] {
            assert!(names.contains(shipped), "{shipped} is missing");
        }
        for not_shipped in ["proptest", "protox", "xtask", "windows-sys"] {
            assert!(!names.contains(not_shipped), "{not_shipped} is not shipped");
        }
        let mut told = BTreeSet::new();
        for dependency in list(&bill, "dependencies") {
            assert!(told.insert(text(dependency, "ref")), "twice: {dependency}");
            assert!(list(dependency, "dependsOn").all(|to| references.contains(to.as_str().unwrap())), "{dependency}");
        }
        assert_eq!(told, references, "everything tells what it depends on");
    }

    #[test]
    fn what_only_tests_use_is_left_out() {
        let node = json!({ "deps": [
            { "pkg": "a", "dep_kinds": [{ "kind": null }] },
            { "pkg": "b", "dep_kinds": [{ "kind": "dev" }] },
            { "pkg": "c", "dep_kinds": [{ "kind": "dev" }, { "kind": "build" }] },
        ] });
        assert_eq!(shipped_dependencies(&node), ["a", "c"]);
    }
}
