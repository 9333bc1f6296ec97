//! `headwater check`: whether a configuration can be used, without starting anything.

use std::process::ExitCode;

use clap::Args;
use headwater_core::config::{Diagnostic, Severity};
use headwater_net_real::server::{Binding, bindings};
use headwater_net_real::tls;
use serde_json::json;

use super::USAGE;
use super::config::{load, to_json};

/// Check a configuration without starting anything.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: String,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let checked = check(&arguments.config);
    if arguments.json {
        print_json(&arguments.config, &checked);
    } else {
        print_text(&arguments.config, &checked);
    }
    if checked.ok { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
}

struct Checked {
    ok: bool,
    findings: Vec<Diagnostic>,
    /// What is wrong with the listeners, if anything.
    listeners: Option<String>,
    bindings: Vec<Binding>,
}

fn check(file: &str) -> Checked {
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(findings) => return Checked { ok: false, findings, listeners: None, bindings: Vec::new() },
    };
    let mut findings = loaded.warnings;
    findings.extend(tls::inspect(&loaded.config));
    match bindings(&loaded.config.listeners) {
        Ok(bindings) => {
            let ok = findings.iter().all(|finding| finding.severity == Severity::Warning);
            Checked { ok, findings, listeners: None, bindings }
        }
        Err(error) => {
            Checked { ok: false, findings, listeners: Some(error.to_string()), bindings: Vec::new() }
        }
    }
}

fn print_text(file: &str, checked: &Checked) {
    for finding in &checked.findings {
        eprintln!("{finding}");
    }
    if let Some(error) = &checked.listeners {
        eprintln!("{file}: error: {error}");
    }
    for binding in &checked.bindings {
        println!("would listen on {} ({})", binding.at, binding.element);
    }
    if checked.ok {
        println!("{file}: good, {} warnings", checked.findings.len());
    }
}

fn print_json(file: &str, checked: &Checked) {
    let listeners = checked.bindings.iter().map(|binding| {
        json!({ "service": format!("{:?}", binding.service), "address": binding.at.to_string(), "tls": binding.tls, "path": binding.element })
    });
    let report = json!({
        "file": file,
        "ok": checked.ok,
        "diagnostics": checked.findings.iter().map(to_json).collect::<Vec<_>>(),
        "error": checked.listeners,
        "listeners": listeners.collect::<Vec<_>>(),
    });
    println!("{report}");
}
