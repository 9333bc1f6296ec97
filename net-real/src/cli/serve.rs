//! `headwater serve`: runs a configured server until a signal ends it.

use std::env;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use headwater_net_real::driver::Limits;
use headwater_net_real::files;
use headwater_net_real::log::{self, Format};
use headwater_net_real::server::serve;
use tracing::warn;

use super::config::load;
use super::{FAILURE, USAGE};

/// Run a server until SIGTERM (it goes when nobody needs it) or SIGINT (it ends at once, in order).
#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: String,
    /// How log lines look. What is logged is in the environment variable HEADWATER_LOG, such as `debug`.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let format = match arguments.log_format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    if let Err(error) = log::init(format, env::var("HEADWATER_LOG").ok().as_deref()) {
        eprintln!("headwater: HEADWATER_LOG: {error}");
        return ExitCode::from(USAGE);
    }
    let loaded = match load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(findings) => {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            return ExitCode::from(USAGE);
        }
    };
    for warning in &loaded.warnings {
        warn!(target: "headwater", event = "configuration_warning", "{warning}");
    }
    if let Err(error) = files::raise_limit() {
        warn!(target: "headwater", event = "file_limit", %error, "it stays as it is; if files run out, raise `ulimit -n`");
    }
    let file = arguments.config.clone();
    match serve(loaded.config, move || load(&file), Limits::default()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headwater: {error}");
            ExitCode::from(if error.is_configuration() { USAGE } else { FAILURE })
        }
    }
}
