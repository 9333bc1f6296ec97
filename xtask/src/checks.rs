//! `cargo xtask test` and `cargo xtask ci`.

use anyhow::{Context, Result};
use headwater_tests::binary;

use crate::{laws, programs, shell};

/// Every test of the workspace. The binary is built in release, as it runs in production; the tests themselves are
/// built as developers build them. Always by `cargo test`, whose summary lines every reader of CI knows and which,
/// unlike cargo-nextest, also runs the examples in the documentation.
///
/// # Errors
///
/// If a program is missing, or anything fails.
pub fn test(arguments: &[&str]) -> Result<()> {
    programs::ensure_installed()?;
    let binary = binary::build()?;
    let binary = binary.to_str().context("the target directory's path is text")?;
    let mut words = vec!["test", "--workspace"];
    words.extend(arguments);
    shell::cargo(&words, &[("HEADWATER_BIN", binary)])?;
    // The driver under another network: a feature of its own, because production has no use for it.
    let driver = ["test", "-p", "headwater-engines", "-p", "headwater-net-real", "--features", TURMOIL];
    shell::cargo(&driver, &[("HEADWATER_BIN", binary)])
}

const TURMOIL: &str = "headwater-engines/turmoil,headwater-net-real/turmoil";

/// What must hold before a change is merged.
///
/// # Errors
///
/// At the first thing that does not.
pub fn ci() -> Result<()> {
    shell::cargo(&["fmt", "--all", "--check"], &[])?;
    shell::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    laws::check()?;
    test(&[])?;
    shell::cargo(&["xtask", "sim", "--check-determinism", "--seeds", "2"], &[])?;
    shell::cargo(&["xtask", "sim", "--check-baselines"], &[])
}
