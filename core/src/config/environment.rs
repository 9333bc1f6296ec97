//! What a configuration may ask of the machine it is loaded on, and the `${...}` macros that ask it.
//!
//! Reading files and variables is somebody else's: the driver's, or a test's.

use crate::limits::CONFIG_VALUE_BYTES_MAX;

use super::diagnostic::{Kind, Report, Spot};

/// The machine, as far as a configuration can see it.
pub trait Environment {
    /// An environment variable; `None` if it is not set.
    fn var(&self, name: &str) -> Option<String>;
    /// The host name of the machine, for `${env:HOSTNAME}` where the variable is not set.
    fn hostname(&self) -> Option<String>;
    /// `${ome:Home}`: the directory of the program.
    fn home(&self) -> String;
    /// `${ome:CurrentPath}`: the working directory.
    fn current_path(&self) -> String;
    /// The whole text of a file, or why it cannot be read (not there, not UTF-8, ...).
    fn read(&self, path: &str) -> Result<String, String>;
    /// The names of the files in a directory, in any order, or why it cannot be listed. `.` is the working directory.
    fn list(&self, dir: &str) -> Result<Vec<String>, String>;
}

/// Replaces the macros of a text (reference: Server.xml section 1): `${env:NAME}`, `${env:NAME:default}`,
/// `${ome:Home}`, `${ome:CurrentPath}`. All other `${...}` are left alone: they are replaced where they are used.
/// `None` if the result is too long, which has been reported.
pub(super) fn expand(text: &str, env: &dyn Environment, at: &Spot, report: &mut Report) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = from.find('}') else {
            report.warn(
                at,
                Kind::Macro,
                "A macro begins with `${` and does not end.",
                "Close it with `}`; the text is taken as it stands.",
            );
            rest = from;
            break;
        };
        let (name, after) = (&from[2..end], &from[end + 1..]);
        match replacement(name, env, at, report) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&from[..=end]),
        }
        rest = after;
        if out.len() > CONFIG_VALUE_BYTES_MAX {
            break;
        }
    }
    out.push_str(rest);
    if out.len() > CONFIG_VALUE_BYTES_MAX {
        report.error(
            at,
            Kind::TooLarge,
            format!("The value is longer than {CONFIG_VALUE_BYTES_MAX} bytes."),
            "Shorten it.",
        );
        return None;
    }
    Some(out)
}

/// What stands for the macro of this name; `None` if it is not ours to replace.
fn replacement(name: &str, env: &dyn Environment, at: &Spot, report: &mut Report) -> Option<String> {
    if let Some(variable) = name.strip_prefix("env:") {
        return Some(variable_or_default(variable, env, at, report));
    }
    match name.strip_prefix("ome:")? {
        "CurrentPath" => Some(env.current_path()),
        "Home" => Some(env.home()),
        other => {
            report.warn(
                at,
                Kind::Macro,
                format!("${{ome:{other}}} is not a macro."),
                "There are ${ome:Home} and ${ome:CurrentPath}; the text is taken as it stands.",
            );
            None
        }
    }
}

fn variable_or_default(variable: &str, env: &dyn Environment, at: &Spot, report: &mut Report) -> String {
    let (name, default) = match variable.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    let value = env.var(name).or_else(|| if name == "HOSTNAME" { env.hostname() } else { None });
    if let Some(value) = value {
        return value;
    }
    if let Some(default) = default {
        return default.to_string();
    }
    report.warn(
        at,
        Kind::Macro,
        format!("The environment variable {name} is not set, and ${{env:{name}}} has no default."),
        format!("It stands for an empty text; set the variable, or write ${{env:{name}:default}}."),
    );
    String::new()
}
