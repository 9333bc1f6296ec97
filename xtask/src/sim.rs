//! `cargo xtask sim`: builds the simulator's program and hands everything over to it.

use std::env;
use std::process::{Command, ExitStatus, exit};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::{target_dir, workspace};

/// Runs the simulator with these arguments, and ends this process as it ended. What is checked for determinism is also
/// held against a debug build. `--engine` lets another engine play.
///
/// # Errors
///
/// If it cannot be built or started, or there is no such engine.
pub fn run(arguments: &[&str]) -> Result<()> {
    let engine = arguments.iter().position(|argument| *argument == "--engine");
    if let Some(at) = engine {
        let name = *arguments.get(at + 1).unwrap_or(&"");
        let others = [&arguments[..at], arguments.get(at + 2..).unwrap_or(&[])].concat();
        let status = if name == "net-sim" { simulator(&others)? } else { other_engine(name, &others)? };
        exit(status.code().unwrap_or(1));
    }
    exit(simulator(arguments)?.code().unwrap_or(1));
}

/// Lets the simulator play, and says how it ended.
///
/// # Errors
///
/// If it cannot be built or started.
pub fn simulator(arguments: &[&str]) -> Result<ExitStatus> {
    let mut command = cargo("headwater-sim", &["run", "--profile", "sim"]);
    // The paths that the user gave are relative to where the user is, so this stays where it is.
    command.arg("--").args(arguments);
    if arguments.contains(&"--check-determinism") {
        let status = cargo("headwater-sim", &["build"]).status().context("cargo could not be started")?;
        ensure!(status.success(), "the debug build of the simulator failed ({status})");
        command.arg("--against").arg(target_dir().join("debug/sim"));
    }
    command.status().context("cargo could not be started")
}

/// Lets an engine play that is not the simulator, and says how it ended.
///
/// # Errors
///
/// If there is no such engine, or it cannot be built or started.
pub fn other_engine(name: &str, arguments: &[&str]) -> Result<ExitStatus> {
    let words: &[&str] = match name {
        "turmoil" => &["run", "--features", "turmoil"],
        "failover" | "loopback" => &["run"],
        // A thousand encoders are in the engine's own process.
        "streams" => &["run", "--release"],
        other => bail!("there is no engine {other:?}; there are: net-sim, turmoil, loopback"),
    };
    let status = cargo("headwater-engines", words).args(["--", name]).args(arguments).status();
    status.context("cargo could not be started")
}

fn cargo(package: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).args(["--quiet", "--package", package, "--manifest-path"]);
    command.arg(workspace().join("Cargo.toml"));
    command
}
