//! Writes the seeds of every target where `cargo fuzz` finds them.

use std::path::Path;

use anyhow::Context as _;
use tollgate_fuzz::{TARGETS, seeds};

fn main() -> anyhow::Result<()> {
    for (target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/corpus").join(target);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for (number, seed) in seeds::of(target).iter().enumerate() {
            let file = folder.join(format!("seed-{number:03}"));
            std::fs::write(&file, seed).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}
