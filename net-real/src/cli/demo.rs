//! `headwater demo`: a cluster to look at, in one process.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fmt};

use clap::Args;
use headwater_net_real::demo::{self, Addresses, DemoError};
use headwater_net_real::log::{self, Format};

use super::{FAILURE, USAGE, duration};

/// Run two origins, an edge and a looping clip in this process, and kill an origin when you like.
///
/// Without --for: prints the address of a page with a player and a button. With --for: plays the stream itself, kills
/// the active origin half way, and says how that went; the exit code is 0 if the stream held.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The page's port on 127.0.0.1; another one is taken if it is not free.
    #[arg(long, value_name = "PORT", default_value_t = 8080, conflicts_with = "duration")]
    port: u16,
    /// Measure for this long instead of serving a page, such as 20s or 1m.
    #[arg(long = "for", value_name = "DURATION", value_parser = measurable)]
    duration: Option<Duration>,
    /// Print the measurement as one JSON object.
    #[arg(long, requires = "duration")]
    json: bool,
}

/// How long a measured demo takes at least: the stream must have run for a while before the kill, and after it.
const SHORTEST: Duration = Duration::from_secs(8);

/// How long it takes at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn measurable(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        duration if duration < SHORTEST => Err(format!(
            "this is too short: an origin is killed half way, and there must be something to see before and after; \
             write {}s or more",
            SHORTEST.as_secs()
        )),
        duration if duration > LONGEST => Err("this is too long; write 24h or less".to_owned()),
        duration => Ok(duration),
    }
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // The demo's own words are enough for most.
    if let Ok(filter) = env::var("HEADWATER_LOG")
        && let Err(error) = log::init(Format::Text, Some(&filter))
    {
        eprintln!("headwater: HEADWATER_LOG: {error}");
        return ExitCode::from(USAGE);
    }
    let done = match arguments.duration {
        Some(duration) => measure(duration, arguments.json),
        None => demo::show(arguments.port, |addresses| {
            println!("{}", Welcome { addresses, port: arguments.port })
        })
        .map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("headwater: {error}");
        ExitCode::from(FAILURE)
    })
}

fn measure(duration: Duration, json: bool) -> Result<ExitCode, DemoError> {
    let is_terminal = io::stderr().is_terminal();
    let report = demo::measure(duration, |words| {
        if is_terminal {
            eprintln!("demo: {words}");
        }
    })?;
    if json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// The first and only words of a demo with a page.
struct Welcome {
    addresses: Addresses,
    /// What was asked for.
    port: u16,
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Welcome { addresses, port } = self;
        if addresses.page_moved {
            writeln!(f, "Port {port} is taken; the page is at another one.\n")?;
        }
        writeln!(f, "Two origins, one edge and a looping clip are running.\n")?;
        writeln!(f, "  page      http://{}/", addresses.page)?;
        writeln!(f, "  playlist  {}\n", addresses.playlist())?;
        write!(f, "Open the page and press \"Kill the active origin\". Ctrl-C ends the demo.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_neither_too_short_nor_too_long() {
        assert_eq!(measurable("8s"), Ok(SHORTEST));
        assert_eq!(measurable("24h"), Ok(LONGEST));
        assert!(measurable("7s").unwrap_err().contains("write 8s or more"));
        assert!(measurable("25h").unwrap_err().contains("24h or less"));
    }
}
