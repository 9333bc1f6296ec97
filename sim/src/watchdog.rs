//! A run that never comes to an end: a program in it goes round in circles, and no checker is ever asked. It cannot be
//! stopped from outside, so it is told what to replay, and the process ends.

use std::collections::BTreeMap;
use std::process;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use headwater_scenarios::script::Script;

use crate::failure;

/// A run under way.
struct UnderWay {
    /// What to replay it by.
    name: String,
    since: Instant,
    /// How long it may take.
    longest: Duration,
}

/// The runs under way, by a number of their own.
static UNDER_WAY: Mutex<BTreeMap<u64, UnderWay>> = Mutex::new(BTreeMap::new());

/// Makes a run of `script` that is called `name`. If it does not come to an end the process does, with exit code 1.
pub fn watched<T>(name: String, script: &Script, run: impl FnOnce() -> T) -> T {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(thread::spawn(watch)));
    let number = {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let number = under_way.last_key_value().map_or(0, |(last, _)| last + 1);
        let longest = LONGEST + Duration::from_millis(script.length_ms / SPEED_MIN);
        under_way.insert(number, UnderWay { name, since: Instant::now(), longest });
        number
    };
    let result = run();
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    result
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let endless = under_way.values().find(|run| run.since.elapsed() > run.longest);
        if let Some(UnderWay { name, longest, .. }) = endless {
            eprintln!(
                "FAILED  {name}  (commit {})\n  rule:   every run comes to an end\n  what:   it goes on after {} s of real time\n  \
                 replay: cargo xtask sim --replay {name}",
                failure::commit(),
                longest.as_secs()
            );
            process::exit(1);
        }
    }
}

/// Most scenarios take a few seconds; a busy machine takes its time, too.
const LONGEST: Duration = Duration::from_secs(120);

/// One that is hours long goes by at this many times its own speed at least.
const SPEED_MIN: u64 = 30;
