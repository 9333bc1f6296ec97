//! Reading the configuration file: the one place of the program that knows how.

use std::fmt;

use headwater_core::config::Config;
use headwater_net_real::environment::Process;
use serde_json::{Value, json};

/// A configuration that can be used, and what its author should know about it.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Finding>,
}

/// Something that was found in a configuration.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) severity: &'static str,
    pub(crate) file: String,
    /// Line and column, from 1, where it is about a place in the text.
    pub(crate) place: Option<(u32, u32)>,
    /// The element, from the root.
    pub(crate) path: String,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl Finding {
    /// An error that is about the file as a whole.
    pub(crate) fn error(file: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            severity: "error",
            file: file.to_owned(),
            place: None,
            path: String::new(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "severity": self.severity,
            "file": self.file,
            "line": self.place.map(|(line, _)| line),
            "column": self.place.map(|(_, column)| column),
            "path": self.path,
            "reason": self.reason,
            "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { severity, file, place, reason, remedy, .. } = self;
        match place {
            Some((line, column)) => write!(f, "{file}:{line}:{column}: {severity}: {reason} {remedy}"),
            None => write!(f, "{file}: {severity}: {reason} {remedy}"),
        }
    }
}

/// Reads and checks a configuration file.
pub(crate) fn load(file: &str) -> Result<Loaded, Vec<Finding>> {
    if let Err(why) = Process.read(file) {
        let remedy = "Give the path of a configuration file.";
        return Err(vec![Finding::error(file, format!("The file cannot be read: {why}."), remedy)]);
    }
    let reason = "This build has no reader for configuration files.";
    Err(vec![Finding::error(file, reason, "Use a build that has one.")])
}
