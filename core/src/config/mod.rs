//! The configuration of a node, typed. Reading `Server.xml` into it is in this module's children; nothing outside
//! knows that the text was XML.
//!
//! The way of a file: `tree` (XML to elements) → `check` (elements against `schema`, includes and macros resolved)
//! → `build` (values to the types of [`model`]) → `consistency` (do the parts go together?). Every step reports what it
//! finds and goes on, so that one start tells all that is wrong.

mod build;
mod certificate;
mod check;
mod consistency;
mod diagnostic;
mod environment;
mod glob;
pub mod model;
mod profile;
mod reload;
mod schema;
mod store;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Kind, Place, Severity};
pub use environment::Environment;
pub use model::{
    Api, Application, CacheControl, Config, CrossDomains, Hls, HostPattern, Limits, Listeners, LlHls,
    NamedFile, OriginMapStore, OvtProvider, Providers, Publishers, RedisServer, RedisServers, RedisTls,
    RtmpProvider, Secret, StorePlace, TimestampMode, Tls, VirtualHost,
};

use diagnostic::Report;

/// A configuration that can be started.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What in it will not be as its author may expect, in the order of the text.
    pub warnings: Vec<Diagnostic>,
}

/// Loads a `Server.xml` (reference: Server.xml) and the files that it includes.
///
/// # Errors
///
/// All that is wrong with it, the warnings among it; at least one [`Severity::Error`].
pub fn load(file_name: &str, env: &dyn Environment) -> Result<Loaded, Diagnostics> {
    let mut report = Report::default();
    let config = check::check(file_name, env, &mut report).map(|server| {
        let config = build::config(&server, &mut report);
        consistency::check(&server, &config, &mut report);
        config
    });
    match config {
        Some(config) if report.stands() => Ok(Loaded { config, warnings: report.finish().found }),
        _ => Err(report.finish()),
    }
}
