//! `headwater diff`: whether two servers have the same broadcast.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use headwater_net_real::probe::follow::{Seen, follow};
use headwater_net_real::probe::web::Web;
use headwater_probe::diff::{Comparison, Finding, Side, Summary, Verdict};
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use url::Url;

use super::duration;
use super::visit::{COULD_NOT_TELL, playlist_url, visit};

/// Follow two HLS or LL-HLS streams and say whether a CDN may take either for the other: segment by segment and part by
/// part, numbers, boundaries, timestamps, dates, discontinuities and bytes.
///
/// What only one of them has because the other's window had not begun, is over, or could not be seen is no difference. A
/// server that goes away is waited for. The exit code is 0 if everything that both have is the same, 1 if it is not, 2
/// if nothing can be said.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The multivariant or media playlist of the first one.
    #[arg(value_parser = playlist_url)]
    url_a: Url,
    /// The playlist of the second one.
    #[arg(value_parser = playlist_url)]
    url_b: Url,
    /// How long to follow them, such as 60s or 1h; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Print every segment and part, not only those that differ.
    #[arg(long)]
    all: bool,
    /// Print a JSON object per line: every segment and part, then the summary.
    #[arg(long)]
    json: bool,
    /// Trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let compared = visit(arguments.cacert.as_deref(), async |web| compare(arguments, &web).await);
    let summary = match compared {
        Ok(summary) => summary,
        Err(code) => return code,
    };
    if arguments.json {
        println!("{}", json!(summary));
    } else {
        println!("{summary}");
    }
    match summary.verdict {
        Verdict::Identical => ExitCode::SUCCESS,
        Verdict::Different => ExitCode::FAILURE,
        Verdict::CouldNotTell => ExitCode::from(COULD_NOT_TELL),
    }
}

async fn compare(arguments: &Arguments, web: &Web) -> Summary {
    let began = Instant::now();
    let (seen, mut sees) = mpsc::channel(256);
    for (side, url) in [(Side::A, &arguments.url_a), (Side::B, &arguments.url_b)] {
        tokio::spawn(follow(web.clone(), side, url.clone(), seen.clone()));
    }
    drop(seen);
    let printer = Printer::new(arguments, began);
    let mut comparison = Comparison::new();
    let end = async {
        match arguments.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let interrupted = ctrl_c();
    tokio::pin!(end, interrupted);
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            _ = &mut interrupted => break,
            _ = tick.tick() => printer.progress(&comparison),
            Some((side, seen)) = sees.recv() => {
                for finding in learn(&mut comparison, side, seen, ms(began)) {
                    printer.finding(&finding);
                }
            }
        }
    }
    printer.clear();
    comparison.summary()
}

fn learn(comparison: &mut Comparison, side: Side, seen: Seen, at_ms: u64) -> Vec<Finding> {
    match seen {
        Seen::Away(why) => {
            comparison.away(side, at_ms, &why);
            Vec::new()
        }
        Seen::Tracks(tracks) => comparison.tracks(side, tracks).into_iter().collect(),
        Seen::Listed { role, media } => {
            comparison.back(side, at_ms);
            comparison.listed(side, &role, &media)
        }
        Seen::Item { role, item, facts } => {
            comparison.observe(side, &role, item, facts).into_iter().collect()
        }
    }
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What is said on the way: findings on the standard output, and how it goes on a terminal.
struct Printer {
    all: bool,
    json: bool,
    began: Instant,
    has_terminal: bool,
}

impl Printer {
    fn new(arguments: &Arguments, began: Instant) -> Printer {
        Printer { all: arguments.all, json: arguments.json, began, has_terminal: io::stderr().is_terminal() }
    }

    fn finding(&self, finding: &Finding) {
        if self.json {
            println!("{}", json!(finding));
        } else if self.all || finding.is_difference() {
            self.clear();
            println!("{finding}");
        }
    }

    fn progress(&self, comparison: &Comparison) {
        if !self.has_terminal {
            return;
        }
        let (same, differences) = comparison.counts();
        let mut line =
            format!("{} s  {same} identical, {differences} differences", self.began.elapsed().as_secs());
        for side in [Side::A, Side::B] {
            if let Some(outage) = comparison.outage(side) {
                line += &format!("  {side} is away: {}", outage.why);
            }
        }
        self.clear();
        // Longer than a terminal is wide, it could not be taken back.
        let line: String = line.chars().filter(|c| !c.is_control()).take(WIDTH).collect();
        let _ = write!(io::stderr(), "{line}");
    }

    fn clear(&self) {
        if self.has_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

const WIDTH: usize = 79;
