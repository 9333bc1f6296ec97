//! `cargo xtask sim`: builds the simulator's program and hands everything over to it.

use std::env;
use std::process::{Command, exit};

use anyhow::{Context, Result, ensure};
use headwater_tests::binary::{target_dir, workspace};

/// Runs the simulator with these arguments, and ends this process as it ended. What is checked for determinism is also
/// held against a debug build.
///
/// # Errors
///
/// If it cannot be built or started.
pub fn run(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["run", "--profile", "sim"]);
    // The paths that the user gave are relative to where the user is, so this stays where it is.
    command.arg("--").args(arguments);
    if arguments.contains(&"--check-determinism") {
        let status = cargo(&["build"]).status().context("cargo could not be started")?;
        ensure!(status.success(), "the debug build of the simulator failed ({status})");
        command.arg("--against").arg(target_dir().join("debug/sim"));
    }
    let status = command.status().context("cargo could not be started")?;
    exit(status.code().unwrap_or(1));
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).args(["--quiet", "--package", "headwater-sim", "--manifest-path"]);
    command.arg(workspace().join("Cargo.toml"));
    command
}
