//! `cargo xtask sim`: builds the simulator's program and hands everything over to it.

use std::env;
use std::process::{Command, exit};

use anyhow::{Context, Result};
use headwater_tests::binary::workspace;

/// Runs the simulator with these arguments, and ends this process as it ended.
///
/// # Errors
///
/// If it cannot be built or started.
pub fn run(arguments: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--profile", "sim", "--package", "headwater-sim", "--manifest-path"]);
    command.arg(workspace().join("Cargo.toml")).arg("--").args(arguments);
    // The paths that the user gave are relative to where the user is, so this stays where it is.
    let status = command.status().context("cargo could not be started")?;
    exit(status.code().unwrap_or(1));
}
