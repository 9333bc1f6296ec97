//! Where the `headwater` binary is, and how it comes to be there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The binary under test: `HEADWATER_BIN` if it is set, else the release build, which cargo is asked to bring up to
/// date once per process.
///
/// # Panics
///
/// If there is none; no test of a real process can say anything then.
pub fn headwater() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| find().expect("the headwater binary can be built or is named by HEADWATER_BIN"))
}

/// Names or builds the binary under test, see [`headwater`].
///
/// # Errors
///
/// If there is none.
pub fn find() -> Result<PathBuf> {
    match env::var_os("HEADWATER_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            ensure!(path.is_file(), "HEADWATER_BIN names {}, which is not a file", path.display());
            Ok(path)
        }
        None => build(),
    }
}

/// Builds the binary in release and says where it is.
///
/// # Errors
///
/// If cargo fails.
pub fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "headwater-net-real", "--bin", "headwater"])
        .current_dir(workspace())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("cargo could not build the headwater binary");
    }
    Ok(target_dir().join("release").join("headwater"))
}
