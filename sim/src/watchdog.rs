//! A run that never comes to an end: a program in it goes round in circles, and no checker is ever asked. It cannot be
//! stopped from outside, so it is told what to replay, and the process ends.

use std::collections::BTreeMap;
use std::process;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure;

/// The runs under way, by a number of their own: what to replay them by, and since when.
static UNDER_WAY: Mutex<BTreeMap<u64, (String, Instant)>> = Mutex::new(BTreeMap::new());

/// Makes a run that is called `name`. If it does not come to an end the process does, with exit code 1.
pub fn watched<T>(name: String, run: impl FnOnce() -> T) -> T {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| drop(thread::spawn(watch)));
    let number = {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let number = under_way.last_key_value().map_or(0, |(last, _)| last + 1);
        under_way.insert(number, (name, Instant::now()));
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
        let endless = under_way.values().find(|(_, since)| since.elapsed() > LONGEST);
        if let Some((name, _)) = endless {
            eprintln!(
                "FAILED  {name}  (commit {})\n  rule:   every run comes to an end\n  what:   it goes on after {} s of real time\n  \
                 replay: cargo xtask sim --replay {name}",
                failure::commit(),
                LONGEST.as_secs()
            );
            process::exit(1);
        }
    }
}

/// The longest scenario takes a few seconds; a busy machine takes its time, too.
const LONGEST: Duration = Duration::from_secs(120);
