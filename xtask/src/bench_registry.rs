//! `cargo xtask bench registry`: what the directory of streams costs, on a real Redis and in the process.
//!
//! The origins are in `net-real/examples/registry.rs`, which this builds in release and runs beside a redis-server of
//! its own, once with the keys that OvenMediaEngine reads and once without.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::{target_dir, workspace};
use headwater_tests::machine;
use headwater_tests::process::Process;
use serde_json::{Value, json};

use crate::bench::{number_after, write_section};
use crate::{programs, shell};

struct Options {
    streams: usize,
    origins: usize,
    seconds: u64,
    routes: usize,
    json: bool,
    docs: bool,
}

/// Measures, prints, and writes `docs/benchmarks.md`.
///
/// # Errors
///
/// If an argument is wrong, or something cannot be built or started.
pub fn run(arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    programs::ensure_installed()?;
    shell::cargo(&BUILD, &[])?;
    let _machine = machine::alone();
    let redis = [true, false].map(|plain| on_redis(&options, plain));
    let redis = redis.into_iter().collect::<Result<Vec<Value>>>()?;
    let embedded = example(&["embedded".to_owned(), options.routes.to_string()])?;
    let (processor, cores) = machine::processor();
    let figures = json!({ "processor": processor, "cores": cores, "redis": redis, "embedded": embedded });
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        println!("{}", markdown(&figures));
    }
    if options.docs {
        write_section("registry", &markdown(&figures))?;
    }
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Options> {
    let mut options =
        Options { streams: 100_000, origins: 100, seconds: 20, routes: 1_000_000, json: false, docs: true };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut number = || number_after(flag, &mut rest);
        match *flag {
            "--streams" => options.streams = usize::try_from(number()?)?,
            "--origins" => options.origins = usize::try_from(number()?)?,
            "--seconds" => options.seconds = number()?,
            "--routes" => options.routes = usize::try_from(number()?)?,
            "--json" => options.json = true,
            "--no-docs" => options.docs = false,
            other => bail!("bench registry has no flag {other}"),
        }
    }
    let counts = [options.streams, options.origins, options.routes];
    ensure!(counts.iter().all(|count| *count > 0) && options.seconds > 0, "nothing to measure");
    Ok(options)
}

fn on_redis(options: &Options, plain: bool) -> Result<Value> {
    let (port, dir) = (machine::free_port(), target_dir().join("bench"));
    fs::create_dir_all(&dir)?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    let _server = Process::start("redis-server", command.arg("--dir").arg(&dir), &dir)?;
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(began.elapsed() < Duration::from_secs(10), "redis-server does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    let words = [port.to_string(), options.streams.to_string(), options.origins.to_string()];
    let rest = [options.seconds.to_string(), plain.to_string()];
    example(&["redis".to_owned()].into_iter().chain(words).chain(rest).collect::<Vec<String>>())
}

fn example(arguments: &[String]) -> Result<Value> {
    let program = target_dir().join("release").join("examples").join("registry");
    let output = Command::new(&program).args(arguments).current_dir(workspace()).output();
    let output = output.with_context(|| format!("{} could not be started", program.display()))?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the measurement failed ({}): {why}", output.status);
    serde_json::from_slice(&output.stdout).context("the figures are not JSON")
}

fn markdown(figures: &Value) -> String {
    let [with, without] = [0, 1].map(|index| &figures["redis"][index]);
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let row = |what: &str, cell: &dyn Fn(&Value) -> String| {
        format!("| {what} | {} | {} |", cell(with), cell(without))
    };
    let rows = [
        row("commands of all origins together, per second", &|it| {
            format!("{:.0}", number(&it["commands_per_s"]))
        }),
        row("of Redis's processor", &|it| format!("{:.1} %", number(&it["redis_cpu_percent"]))),
        row("lookup of one stream, p50", &|it| format!("{:.2} ms", number(&it["lookups"]["p50_us"]) / 1e3)),
        row("lookup of one stream, p99", &|it| format!("{:.2} ms", number(&it["lookups"]["p99_us"]) / 1e3)),
        row("everything announced again after FLUSHALL", &|it| {
            format!("{:.2} s", number(&it["announced_again_s"]))
        }),
        row("of Redis's processor for that", &|it| {
            format!("{:.2} s", number(&it["announced_again_redis_cpu_s"]))
        }),
        row("memory of Redis per stream", &|it| format!("{:.0} bytes", number(&it["bytes_per_route"]))),
    ];
    format!(
        "## Directory of streams\n\n\
        {}, {} cores, for Redis and all origins together. {} streams on {} origins (the announcers of servers, each \
        with its own connection), one redis-server, everything on loopback; {} commands failed. A command is of at \
        most 64 streams. The time after FLUSHALL contains up to a second until an origin renews its lease.\n\n\
        | | with OvenMediaEngine's keys | without |\n|---|---|---|\n{}\n\n\
        The embedded store with {} streams, on one core: {:.0} lookups per second, {:.0} claims per second, {:.0} \
        bytes per stream.\n",
        figures["processor"].as_str().unwrap_or_default(),
        figures["cores"],
        with["streams"],
        with["origins"],
        [with, without].iter().map(|it| number(&it["failures"]) + number(&it["failures_again"])).sum::<f64>(),
        rows.join("\n"),
        figures["embedded"]["streams"],
        number(&figures["embedded"]["lookups_per_s"]),
        number(&figures["embedded"]["claims_per_s"]),
        number(&figures["embedded"]["bytes_per_route"]),
    )
}

const BUILD: [&str; 6] = ["build", "--release", "--package", "headwater-net-real", "--example", "registry"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_flags_are_named() {
        assert!(parse(&["--stream", "3"]).is_err_and(|error| error.to_string().contains("--stream")));
        assert!(parse(&["--seconds"]).is_err() && parse(&["--origins", "0"]).is_err());
        assert_eq!(parse(&["--routes", "3"]).unwrap().routes, 3);
    }

    #[test]
    fn the_page_tells_both_shapes() {
        let run = |cpu| json!({ "redis_cpu_percent": cpu, "streams": 5, "origins": 2, "failures": 0 });
        let text = markdown(&json!({ "redis": [run(1.25), run(0.5)], "embedded": { "streams": 7 } }));
        assert!(
            text.contains("| of Redis's processor | 1.2 % | 0.5 % |") && text.contains("with 7 streams"),
            "{text}"
        );
    }
}
