//! What can be said about a configuration: where, how bad, what is wrong and what to do.
//!
//! This module collects and prints; it knows neither XML nor any element's meaning.

use core::fmt;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::limits::CONFIG_DIAGNOSTICS_MAX;

/// Whether the node can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file does not say what is meant, or asks for what must not be left out; nothing starts.
    Error,
    /// The file loads, but something in it will not be as its author may expect.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// The nature of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two parts of the configuration do not go together.
    Contradiction,
    /// A file that is named cannot be used.
    File,
    /// An `include` cannot be followed.
    Include,
    /// A `${...}` macro cannot be replaced as its author may expect.
    Macro,
    /// The text is not well-formed XML, or not one that is read.
    Malformed,
    /// A required element is missing.
    Missing,
    /// The element is OvenMediaEngine's and is not acted on.
    NoEffect,
    /// The value has the right form but cannot be used.
    OutOfRange,
    /// An element that may stand once stands again.
    Repeated,
    /// Text stands where only elements may.
    StrayText,
    /// One of the bounds of `limits` is exceeded.
    TooLarge,
    /// No such element, attribute or value.
    Unknown,
    /// The `version` of the file.
    Version,
    /// The value is not of the element's type.
    WrongType,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the start.
    pub severity: Severity,
    /// Its nature.
    pub kind: Kind,
    /// The file, as it was asked for.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The element, from the root: `Server/Bind/Publishers`.
    pub path: String,
    /// What is wrong: a sentence.
    pub reason: String,
    /// What to do, or what happens instead: a sentence.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { severity, file, line, column, reason, remedy, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {reason} {remedy}")
    }
}

/// A place in a configuration, for whoever looks behind it and finds something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was asked for.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The element, from the root.
    pub path: String,
}

impl Place {
    /// Something to say about this place.
    pub fn diagnostic(
        &self,
        severity: Severity,
        kind: Kind,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Diagnostic {
        let Place { file, line, column, path } = self.clone();
        let (reason, remedy) = (reason.into(), remedy.into());
        Diagnostic { severity, kind, file, line, column, path, reason, remedy }
    }
}

/// Everything that was found in a configuration that cannot be used: at least one error, and the warnings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The findings, in the order of the text.
    pub found: Vec<Diagnostic>,
    /// Findings beyond the bound, not listed.
    pub omitted: usize,
}

impl Diagnostics {
    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter().filter(|it| it.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.found.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{} more are not shown.", self.omitted)?;
        }
        Ok(())
    }
}

/// Where an element stands.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The file.
    pub(super) file: Rc<str>,
    /// The line, from 1.
    pub(super) line: u32,
    /// The column in characters, from 1.
    pub(super) column: u32,
    /// The element, from the root.
    pub(super) path: String,
}

impl Spot {
    /// The first character of a file.
    pub(super) fn start_of(file: &Rc<str>) -> Spot {
        Spot { file: Rc::clone(file), line: 1, column: 1, path: String::new() }
    }

    /// `file:line:column`, for pointing at a second place in a sentence.
    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }

    /// The same, for keeps.
    pub(super) fn to_place(&self) -> Place {
        let Spot { file, line, column, path } = self;
        Place { file: file.to_string(), line: *line, column: *column, path: path.clone() }
    }

    fn diagnostic(&self, severity: Severity, kind: Kind, reason: String, remedy: String) -> Diagnostic {
        self.to_place().diagnostic(severity, kind, reason, remedy)
    }
}

/// The findings of one load, while it goes on.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<Diagnostic>,
    /// In the order in which they were opened: the order of the report.
    files: Vec<String>,
    told: BTreeSet<&'static str>,
    errors: usize,
    omitted: usize,
}

impl Report {
    /// Notes something that stops the start.
    pub(super) fn error(
        &mut self,
        at: &Spot,
        kind: Kind,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors += 1;
        self.push(at.diagnostic(Severity::Error, kind, reason.into(), remedy.into()));
    }

    /// Notes something that does not.
    pub(super) fn warn(
        &mut self,
        at: &Spot,
        kind: Kind,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(at.diagnostic(Severity::Warning, kind, reason.into(), remedy.into()));
    }

    /// Notes once per load, at the first place, that something is not acted on.
    pub(super) fn without_effect(&mut self, at: &Spot, name: &str, note: &'static str) {
        if self.told.insert(note) {
            self.warn(at, Kind::NoEffect, format!("<{name}> is accepted without effect."), note);
        }
    }

    /// Whether nothing stops the start.
    pub(super) fn stands(&self) -> bool {
        self.errors == 0
    }

    /// All that was found, in the order of the text.
    pub(super) fn finish(self) -> Diagnostics {
        let Report { mut found, files, omitted, .. } = self;
        found.sort_by_key(|it| {
            (files.iter().position(|file| *file == it.file), it.line, it.column, it.severity)
        });
        Diagnostics { found, omitted }
    }

    /// Errors go before warnings when there is no room for both.
    fn push(&mut self, diagnostic: Diagnostic) {
        if !self.files.contains(&diagnostic.file) {
            self.files.push(diagnostic.file.clone());
        }
        if self.found.len() < CONFIG_DIAGNOSTICS_MAX {
            self.found.push(diagnostic);
            return;
        }
        self.omitted += 1;
        if diagnostic.severity == Severity::Error
            && let Some(warning) = self.found.iter_mut().rfind(|it| it.severity == Severity::Warning)
        {
            *warning = diagnostic;
        }
    }
}
