//! `headwater hls-check`: whether a server keeps the rules of HLS.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use headwater_net_real::probe::check::check;
use headwater_net_real::probe::web::Web;
use headwater_probe::check::{Judge, Report, State};
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use url::Url;

use super::duration;
use super::visit::{COULD_NOT_TELL, playlist_url, visit};

/// Play an HLS or LL-HLS stream of any server and say of each rule whether it was kept, broken, or could not be seen.
///
/// Besides what a player asks for, it asks once for what a server must refuse or answer in a certain way. Rules that the
/// standard demands are kept or broken; where it recommends something, or players are known to need it, there is advice.
/// The exit code is 0 if no rule is broken, 1 if one is, 2 if no playlist could be read.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The multivariant playlist, or a media playlist.
    #[arg(value_parser = playlist_url)]
    url: Url,
    /// How long to play, such as 30s or 10m. Rules about what leaves the playlist need longer than it is.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    duration: Duration,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let report = match visit(arguments.cacert.as_deref(), async |web| play(arguments, web).await) {
        Ok(report) => report,
        Err(code) => return code,
    };
    if arguments.json {
        println!("{}", json!({ "verdict": verdict(&report), "report": report }));
    } else {
        println!("{report}");
    }
    match verdict(&report) {
        "kept" => ExitCode::SUCCESS,
        "broken" => ExitCode::FAILURE,
        _ => ExitCode::from(COULD_NOT_TELL),
    }
}

fn verdict(report: &Report) -> &'static str {
    match () {
        () if report.files == 0 => "could_not_tell",
        () if report.count(State::Broken) > 0 => "broken",
        () => "kept",
    }
}

async fn play(arguments: &Arguments, web: Web) -> Report {
    let (seen, mut sees) = mpsc::channel(256);
    tokio::spawn(check(web, arguments.url.clone(), seen));
    let mut judge = Judge::new();
    let end = sleep(arguments.duration);
    let interrupted = ctrl_c();
    tokio::pin!(end, interrupted);
    let (began, mut tick) = (Instant::now(), interval(Duration::from_secs(1)));
    let has_terminal = io::stderr().is_terminal();
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            _ = &mut interrupted => break,
            _ = tick.tick() => if has_terminal {
                let (at, of) = (began.elapsed().as_secs(), arguments.duration.as_secs());
                let _ = write!(io::stderr(), "\r\x1b[K{at} of {of} s");
            },
            seen = sees.recv() => match seen {
                Some(seen) => judge.see(&seen),
                None => break,
            },
        }
    }
    if has_terminal {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    judge.report()
}
