//! Writes `docs/api.md`: the reference of the API, out of the comments of the proto files.

mod comments;
mod page;

use std::fs;

use anyhow::{Context as _, ensure};

use crate::{codegen, folder};

/// The page, relative to the workspace.
const PAGE: &str = "docs/api.md";
/// What to run when the page is out of date.
const REGENERATE: &str = "run `cargo xtask api-docs` and commit the result";

/// Writes the page.
///
/// # Errors
/// If a proto file does not compile, something in it has no comment, or the page cannot be written.
pub(crate) fn write() -> anyhow::Result<()> {
    fs::write(folder::workspace()?.join(PAGE), generate()?).with_context(|| format!("write {PAGE}"))
}

/// Compares the page with a fresh one, and changes nothing.
///
/// # Errors
/// If they differ.
pub(crate) fn check() -> anyhow::Result<()> {
    let committed = fs::read_to_string(folder::workspace()?.join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    ensure!(committed == generate()?, "{PAGE} is out of date\n{REGENERATE}");
    Ok(())
}

fn generate() -> anyhow::Result<String> {
    let descriptors = codegen::compile_protos()?;
    page::of(descriptors.file.iter().filter(|file| file.package() == codegen::PACKAGE))
}
