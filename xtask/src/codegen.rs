//! Compiles the proto files into the Rust that is committed under `proto/src/generated`.
//!
//! The result is committed so that building Tollgate needs neither protoc nor a build script. `check` is what keeps the
//! committed copy honest: it generates afresh, elsewhere, and compares.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::folder::{self, Files};

/// The package of the contract.
pub(crate) const PACKAGE: &str = "tollgate.v1";
/// Folder of the proto files, relative to the import root.
const PACKAGE_FOLDER: &str = "tollgate/v1";
/// Where the committed code lives, relative to the workspace.
const GENERATED_FOLDER: &str = "proto/src/generated";
/// Descriptor of every file and import, served by gRPC reflection.
const DESCRIPTOR_FILE: &str = "file_descriptor_set.bin";
/// What to run when the committed code is out of date.
const REGENERATE: &str = "run `cargo xtask codegen` and commit the result";

/// Generates into the source tree, and removes what codegen no longer writes.
///
/// # Errors
/// If a proto file does not compile, or the folder cannot be written.
pub(crate) fn write() -> anyhow::Result<()> {
    folder::replace(&folder::workspace()?.join(GENERATED_FOLDER), &generate()?)
}

/// Compares the committed code with a fresh generation, and changes nothing.
///
/// # Errors
/// If a file differs, is missing, or is no longer generated: the message names every such file.
pub(crate) fn check() -> anyhow::Result<()> {
    let differences = folder::differences(GENERATED_FOLDER, &generate()?)?;
    let lines: Vec<String> =
        differences.into_iter().map(|(name, wrong)| format!("{GENERATED_FOLDER}/{name} {wrong}")).collect();
    ensure!(lines.is_empty(), "{}\n{REGENERATE}", lines.join("\n"));
    Ok(())
}

/// Generates into a temporary folder and returns each file's content by name.
fn generate() -> anyhow::Result<Files> {
    let descriptors = compile_protos()?;
    let scratch = scratch_folder()?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .emit_rerun_if_changed(false)
        .out_dir(scratch.path())
        .compile_fds(descriptors.clone())
        .context("generate rust from the proto files")?;
    format_rust(scratch.path())?;

    let mut files = folder::read(scratch.path())?;
    files.insert(DESCRIPTOR_FILE.to_owned(), without_source_info(descriptors).encode_to_vec());
    Ok(files)
}

/// Compiles every proto file of the package, imports and comments included.
///
/// # Errors
/// If one does not compile.
pub(crate) fn compile_protos() -> anyhow::Result<FileDescriptorSet> {
    let root = proto_folder()?;
    // Sorted, so that the generated order does not depend on the file system.
    let files: Vec<PathBuf> = folder::read(&root.join(PACKAGE_FOLDER))?
        .into_keys()
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "proto"))
        .map(|name| Path::new(PACKAGE_FOLDER).join(name))
        .collect();
    ensure!(!files.is_empty(), "no proto files in {}", root.join(PACKAGE_FOLDER).display());
    protox::compile(files, [root]).context("compile the proto files")
}

/// Comments are for readers of the source; reflection needs only the shapes, and the file becomes a third of its size.
fn without_source_info(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}

/// Formats as `cargo fmt` would, so that the two never disagree about the committed files.
fn format_rust(directory: &Path) -> anyhow::Result<()> {
    for name in folder::read(directory)?.keys() {
        let status = Command::new("rustfmt")
            .args(["--edition", "2024"])
            .arg(directory.join(name))
            .status()
            .context("run rustfmt: install it with `rustup component add rustfmt`")?;
        if !status.success() {
            bail!("rustfmt refused the generated {name}");
        }
    }
    Ok(())
}

/// A temporary folder inside the workspace, because rustfmt looks for its settings in the folders above a file.
fn scratch_folder() -> anyhow::Result<tempfile::TempDir> {
    let target = folder::target()?;
    tempfile::Builder::new()
        .prefix("codegen-")
        .tempdir_in(&target)
        .with_context(|| format!("create a temporary folder in {}", target.display()))
}

/// Root of the proto imports.
fn proto_folder() -> anyhow::Result<PathBuf> {
    Ok(folder::workspace()?.join("proto"))
}
