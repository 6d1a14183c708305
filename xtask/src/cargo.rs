//! Cargo, called by a chore that cargo runs.

use std::{env, process::Command};

/// What cargo tells the programs that it runs about their package. Build scripts that look at it would run again, and all that
/// stands on them would be built again, each time that a chore builds what was built by hand before.
const TOLD: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"];

/// A call of cargo as if by hand.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| TOLD.iter().any(|told| name.starts_with(told))) {
        command.env_remove(name);
    }
    command
}
