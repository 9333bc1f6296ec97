//! The command line: one module for each subcommand. A subcommand reads its arguments, calls the library, and says how
//! it went with an exit code: 0 is good, 1 a failure of this run, 2 a mistake in the command line or the configuration.
//! One that compares or judges says what it found: 1 is a difference or a broken rule, 2 that nothing can be said.

mod check;
mod config;
mod demo;
mod diff;
mod duration;
mod hls_check;
mod routes;
mod serve;
mod visit;
mod why;

use std::panic;
use std::process::{self, ExitCode};

use clap::{Parser, Subcommand};

/// An origin/edge cluster for live media.
#[derive(Parser)]
#[command(name = "headwater", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    Check(check::Arguments),
    Demo(demo::Arguments),
    Diff(diff::Arguments),
    HlsCheck(hls_check::Arguments),
    Routes(routes::Arguments),
    Serve(serve::Arguments),
    Why(why::Arguments),
}

/// Does what the command line asks.
pub(crate) fn run() -> ExitCode {
    end_with_the_first_panic();
    match Arguments::parse().command {
        Subcommands::Check(arguments) => check::run(&arguments),
        Subcommands::Demo(arguments) => demo::run(&arguments),
        Subcommands::Diff(arguments) => diff::run(&arguments),
        Subcommands::HlsCheck(arguments) => hls_check::run(&arguments),
        Subcommands::Routes(arguments) => routes::run(&arguments),
        Subcommands::Serve(arguments) => serve::run(&arguments),
        Subcommands::Why(arguments) => why::run(&arguments),
    }
}

/// Something failed while it ran.
const FAILURE: u8 = 1;

/// What was asked for makes no sense. clap uses the same code.
const USAGE: u8 = 2;

/// A panic is a bug whose extent nobody knows, in whatever task it shows: so the whole process ends, and whoever
/// supervises it starts a sound one.
fn end_with_the_first_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        print(panic);
        eprintln!("headwater: this is a bug, and the process ends here. Please report the lines above.");
        process::exit(i32::from(FAILURE));
    }));
}
