//! Reading the configuration file: the one place of the program that knows how.

use headwater_core::config::{self, Diagnostic, Loaded};
use headwater_net_real::environment::Process;
use serde_json::{Value, json};

/// Reads and checks a configuration file.
///
/// # Errors
///
/// All that was found in a file that cannot be used.
pub(crate) fn load(file: &str) -> Result<Loaded, Vec<Diagnostic>> {
    config::load(file, &Process).map_err(|diagnostics| diagnostics.found)
}

/// A finding for machines.
pub(crate) fn to_json(finding: &Diagnostic) -> Value {
    json!({
        "severity": finding.severity.to_string(),
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "reason": finding.reason,
        "remedy": finding.remedy,
    })
}
