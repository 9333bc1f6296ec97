//! `headwater routes`: what is in the directory of streams.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use headwater_core::config::{Config, StorePlace};
use headwater_core::registry::Route;
use headwater_core::url::Url;
use headwater_net_real::registry::{Client, place};
use headwater_net_real::tokio::TokioNet;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::config::load;
use super::{FAILURE, USAGE};

/// List the streams that are announced in the directory (OriginMapStore), and who owns them.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "Server.xml")]
    config: String,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let config = match load(&arguments.config) {
        Ok(loaded) => loaded.config,
        Err(findings) => {
            findings.iter().for_each(|finding| eprintln!("{finding}"));
            return ExitCode::from(USAGE);
        }
    };
    if config.stores().next().is_none() {
        eprintln!("headwater: {}", no_directory(&arguments.config, &config));
        return ExitCode::from(USAGE);
    }
    let directories = match read(&config) {
        Ok(directories) => directories,
        Err(error) => {
            eprintln!("headwater: {error}");
            return ExitCode::from(FAILURE);
        }
    };
    let now_ms = now_ms();
    if arguments.json {
        let all: Vec<Value> = directories.iter().map(|directory| directory.json(now_ms)).collect();
        println!("{}", json!({ "directories": all }));
    } else {
        directories.iter().for_each(|directory| print!("{}", directory.text(now_ms)));
    }
    ExitCode::SUCCESS
}

fn no_directory(file: &str, config: &Config) -> String {
    let mut stores = config.vhosts.iter().filter_map(|vhost| vhost.store.as_ref());
    if stores.any(|store| store.place == StorePlace::Embedded) {
        return format!(
            "the directory of {file} is <Embedded>: it is in the server's process, and nowhere else"
        );
    }
    format!("no virtual host of {file} has an <OriginMapStore>; add one, or name another file with --config")
}

/// What one directory holds.
struct Directory {
    vhost: String,
    place: String,
    routes: Vec<Route>,
}

fn read(config: &Config) -> Result<Vec<Directory>, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut directories = Vec::new();
    for (id, redis, schema) in config.stores() {
        let vhost = config.vhosts.get(id.0).map(|vhost| vhost.name.clone()).unwrap_or_default();
        let place = place(redis);
        let mut client =
            Client::new(TokioNet::default(), redis, schema).map_err(|error| error.to_string())?;
        let routes = runtime.block_on(client.routes());
        let routes =
            routes.map_err(|failure| format!("the directory at {place} cannot be read: {failure}"))?;
        directories.push(Directory { vhost, place, routes });
    }
    Ok(directories)
}

impl Directory {
    fn text(&self, now_ms: u64) -> String {
        let mut text = format!("{} ({}): {} streams\n", shown(&self.vhost), self.place, self.routes.len());
        if self.routes.is_empty() {
            return text;
        }
        let head = ["stream", "owner", "", "since", "epoch", "waiting"].map(str::to_owned);
        let row = |route: &Route| {
            let waiting: Vec<String> = route.waiting.iter().map(|url| discreet(url)).collect();
            [
                shown(&route.name),
                discreet(&route.url),
                if route.alive { "alive" } else { "dead" }.to_owned(),
                age(age_ms(route, now_ms)),
                route.epoch.to_string(),
                waiting.join(" "),
            ]
        };
        let rows: Vec<[String; 6]> = [head].into_iter().chain(self.routes.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self, now_ms: u64) -> Value {
        let route = |route: &Route| {
            json!({
                "stream": route.name,
                "url": discreet(&route.url),
                "alive": route.alive,
                "epoch": { "number": route.epoch.number, "owner": route.epoch.owner.to_string() },
                "since_ms": route.since_ms,
                "age_ms": age_ms(route, now_ms),
                "waiting": route.waiting.iter().map(|url| discreet(url)).collect::<Vec<_>>(),
            })
        };
        let routes: Vec<Value> = self.routes.iter().map(route).collect();
        json!({ "vhost": self.vhost, "place": self.place, "routes": routes })
    }
}

/// A URL that anybody may have written, without its password.
fn discreet(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => shown(&url.to_string()),
        // Whatever it is, a login ends with an @.
        Err(_) => shown(url.rsplit('@').next().unwrap_or_default()),
    }
}

/// A text that anybody may have written, without what a terminal would act on.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn age_ms(route: &Route, now_ms: u64) -> u64 {
    now_ms.saturating_sub(route.since_ms)
}

fn age(ms: u64) -> String {
    let s = ms / 1_000;
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, _, _) => format!("{d}d{h:02}h"),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use headwater_core::registry::{Epoch, LeaseId};

    use super::*;

    fn directory() -> Directory {
        let route = |name: &str, alive, waiting: &[&str]| Route {
            name: name.to_owned(),
            epoch: Epoch { number: 7, owner: LeaseId(0xa) },
            url: format!("ovt://me:secret@a:9000/{name}"),
            since_ms: 1_000,
            waiting: waiting.iter().map(|&url| url.to_owned()).collect(),
            alive,
        };
        let routes =
            vec![route("live/s", true, &["ovt://b:9000/live/s"]), route("live/\u{1b}[2J", false, &[])];
        Directory { vhost: "v".to_owned(), place: "r:1".to_owned(), routes }
    }

    #[test]
    fn a_table_is_for_people_and_their_terminals() {
        let text = directory().text(63_000);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "v (r:1): 2 streams",
                "stream     owner                              since  epoch               waiting",
                "live/s     ovt://me:***@a:9000/live/s  alive  1m02s  7-000000000000000a  ovt://b:9000/live/s",
                "live/\u{fffd}[2J  a:9000/live/\u{fffd}[2J            dead   1m02s  7-000000000000000a",
            ]
        );
    }

    #[test]
    fn json_holds_everything_but_passwords() {
        let json = directory().json(63_000);
        assert_eq!(json["routes"][0]["age_ms"], 62_000);
        assert_eq!(json["routes"][0]["waiting"][0], "ovt://b:9000/live/s");
        assert_eq!(json["routes"][0]["epoch"]["owner"], "000000000000000a");
        assert!(!json.to_string().contains("secret"), "{json}");
    }

    #[test]
    fn ages_have_two_units() {
        let ages = [0, 59_999, 60_000, 3_599_000, 3_600_000, 90_000_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1m00s", "59m59s", "1h00m", "1d01h"]);
    }
}
