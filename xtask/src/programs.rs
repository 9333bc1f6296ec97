//! The programs that the tests run Headwater against: found, installed, or missed aloud. Never skipped.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use headwater_tests::chromium;

use crate::shell;

/// A program, and the Debian package that it comes in.
struct Program {
    name: &'static str,
    package: &'static str,
    find: fn(&str) -> Option<PathBuf>,
}

const PROGRAMS: [Program; 7] = [
    Program { name: "curl", package: "curl", find: on_path },
    Program { name: "ffmpeg", package: "ffmpeg", find: on_path },
    Program { name: "ffprobe", package: "ffmpeg", find: on_path },
    Program { name: "nginx", package: "nginx-light", find: on_path },
    Program { name: "redis-server", package: "redis-server", find: on_path },
    Program { name: "varnishd", package: "varnish", find: on_path },
    Program { name: "chromium", package: "chromium", find: |_| chromium::find() },
];

/// Makes sure that every program is there.
///
/// # Errors
///
/// If one is missing and cannot be installed; the error names it and what to do.
pub fn ensure_installed() -> Result<()> {
    let absent = missing();
    if absent.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = absent.iter().map(|program| program.name).collect();
    let mut packages: Vec<&str> = absent.iter().map(|program| program.package).collect();
    packages.dedup();
    let by_hand = format!("install them yourself: apt-get install {}", packages.join(" "));
    eprintln!("The tests need {}, which this machine does not have.", names.join(", "));
    let Some(mut apt) = apt_get() else {
        bail!("{} missing, and this user may not install with apt-get; {by_hand}", names.join(", "));
    };
    eprintln!("Installing {} (this may take some minutes).", packages.join(" "));
    shell::run(apt().args(["update", "-q"]))?;
    shell::run(apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(&packages))?;
    let still: Vec<&str> = missing().iter().map(|program| program.name).collect();
    ensure!(still.is_empty(), "{} still missing after apt-get; {by_hand}", still.join(", "));
    Ok(())
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| (program.find)(program.name).is_none()).collect()
}

/// Starts `apt-get` with the rights it needs, if this user has them without a password.
fn apt_get() -> Option<impl FnMut() -> Command> {
    on_path("apt-get")?;
    let root = answers(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if !root {
        answers(Command::new("sudo").args(["-n", "true"]))?;
    }
    Some(move || {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    })
}

/// What a command prints, if it succeeds.
fn answers(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}
