//! The laws of core, as text: core decides and never acts. Clippy holds most of them (`core/clippy.toml`); this makes
//! sure that clippy is asked, and looks at what clippy cannot see: which crates core stands on, and `async`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::binary::workspace;

/// Crates that act: runtimes, sockets, clocks and entropy. Core stands on none of them, at any depth.
const ACTING_CRATES: [&str; 15] = [
    "async-std",
    "chrono",
    "futures-executor",
    "getrandom",
    "hyper",
    "mio",
    "quanta",
    "rand",
    "redis",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
];

/// What `core/clippy.toml` must forbid.
const FORBIDDEN_BY_CLIPPY: [&str; 13] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::env::var",
    "std::fs::read",
    "std::fs::File::open",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::sync::Mutex",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
];

/// What no line of core's sources holds, outside comments.
const FORBIDDEN_TEXT: [&str; 11] = [
    "async fn",
    "async move",
    ".await",
    "std::fs",
    "std::process",
    "std::thread",
    "std::os",
    "std::env",
    "allow(clippy::disallowed",
    "expect(clippy::disallowed",
    "unsafe {",
];

/// Checks that core keeps its laws.
///
/// # Errors
///
/// With every breach, one per line.
pub fn check() -> Result<()> {
    let core = workspace().join("core");
    let mut breaches = acting_crates(&crates_under_core()?);
    breaches.extend(clippy_gaps(&fs::read_to_string(core.join("clippy.toml")).context("core/clippy.toml")?));
    ensure!(
        env::var_os("CLIPPY_CONF_DIR").is_none(),
        "CLIPPY_CONF_DIR is set, so core/clippy.toml is not in force"
    );
    for path in sources(&core.join("src"))? {
        let name = path.strip_prefix(workspace()).unwrap_or(&path).display().to_string();
        breaches.extend(forbidden_lines(&name, &fs::read_to_string(&path)?));
    }
    ensure!(breaches.is_empty(), "core breaks its laws:\n{}", breaches.join("\n"));
    eprintln!("core keeps its laws");
    Ok(())
}

/// The names of all crates that core is built from, without what only its tests use.
fn crates_under_core() -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--package",
            "headwater-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(workspace())
        .output()
        .context("cargo tree")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn acting_crates(tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let mut acting: Vec<&str> = names.filter(|name| ACTING_CRATES.contains(name)).collect();
    acting.sort_unstable();
    acting.dedup();
    acting.iter().map(|name| format!("core stands on {name}, which acts")).collect()
}

fn clippy_gaps(clippy_toml: &str) -> Vec<String> {
    let gaps = FORBIDDEN_BY_CLIPPY.iter().filter(|path| !clippy_toml.contains(&format!("\"{path}\"")));
    gaps.map(|path| format!("core/clippy.toml does not forbid {path}")).collect()
}

fn forbidden_lines(name: &str, source: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for (number, line) in source.lines().enumerate() {
        // Code ends where a comment begins; a `//` inside a string hides at most the rest of its line.
        let code = line.split("//").next().unwrap_or_default();
        if let Some(text) = FORBIDDEN_TEXT.iter().find(|text| code.contains(**text)) {
            breaches.push(format!("{name}:{}: {text}", number + 1));
        }
    }
    breaches
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_keeps_its_laws() {
        check().unwrap();
    }

    #[test]
    fn breaches_are_found() {
        assert_eq!(acting_crates("bytes v1.0\ntokio v1.0\n"), ["core stands on tokio, which acts"]);
        assert_eq!(clippy_gaps("").len(), FORBIDDEN_BY_CLIPPY.len());
        let source = "// std::fs is forbidden\nfn f() { std::fs::write(a, b) }\nasync fn g() {}\n";
        assert_eq!(forbidden_lines("a.rs", source), ["a.rs:2: std::fs", "a.rs:3: async fn"]);
    }
}
