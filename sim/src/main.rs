//! `cargo xtask sim`: plays scenarios in the simulator, many seeds of them, and says what came of it.
//!
//! This is the only place that knows files, threads and terminals; a run itself knows none of them.

mod args;
mod baselines;
mod batch;
mod determinism;
mod failure;
mod json;
mod matrix;
mod one;
mod table;
mod watchdog;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

// A simulation makes and drops small things all the time, and this allocator is faster at that than the usual one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    failure::keep_panics_quiet();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Does what is asked. Returns whether every rule held.
fn run(args: &Args) -> anyhow::Result<bool> {
    if args.list {
        table::list();
        Ok(true)
    } else if let Some(what) = &args.replay {
        one::replay(what, args)
    } else if let Some(what) = &args.shrink {
        one::shrink(what, args)
    } else if args.check_determinism {
        determinism::check(args)
    } else if args.failover {
        matrix::run(args)
    } else if args.check_baselines {
        baselines::check(args)
    } else if args.write_baselines {
        baselines::write(args)
    } else {
        batch::run(args)
    }
}
