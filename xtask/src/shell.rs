//! Running programs in the workspace, loudly.

use std::env;
use std::io::IsTerminal;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::binary::workspace;

/// Runs cargo in the workspace. Its progress bar is for people only.
pub fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).envs(environment.iter().copied());
    if !std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_PROGRESS_WHEN", "never");
    }
    run(&mut command)
}

/// Runs a command in the workspace after saying what it is.
pub fn run(command: &mut Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
    let line = format!("{name} {}", words.join(" "));
    eprintln!("$ {line}");
    let status =
        command.current_dir(workspace()).status().with_context(|| format!("{name} could not be started"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}
