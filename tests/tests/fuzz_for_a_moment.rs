//! Every fuzz target for a moment, with the same inputs every time as far as the time reaches; or for as long as
//! `HEADWATER_FUZZ_SECONDS` says, from the seed in `HEADWATER_FUZZ_SEED`.

use std::env;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::binary::workspace;
use headwater_tests::fuzz::{TARGETS, Target};
use headwater_tests::mutate::{Mutator, shrink};
use peak_alloc::PeakAlloc;

/// Counts what is allocated, so that an input that makes a target hoard is found.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How long each target is run.
const MOMENT: Duration = Duration::from_secs(1);
const SEED: u64 = 0x6865_6164;

/// No input may need more memory than this, in bytes. Inputs have at most 64 kB, so nothing that a peer only announces
/// is set aside for it.
const MEMORY_MAX: usize = 96 << 20;

/// No input may take longer, on however busy a machine; what never ends is found this way.
const INPUT_TIME_MAX: Duration = Duration::from_secs(30);

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*

        /// The targets that have a test here.
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    amf0
    annexb_h264_h265_aac
    flv_tag
    hls_request
    node
    origin_map
    ovt_edge
    ovt_origin
    packager
    rtmp_chunks
    rtmp_publish
    rtmp_publisher
    server_xml
    timestamp
    url
}

#[test]
fn every_target_is_tested_and_can_be_fuzzed_and_every_fuzzer_has_a_target() {
    let folder = workspace().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(folder).expect("fuzz/fuzz_targets is there");
    let files =
        entries.flatten().map(|entry| entry.path().file_stem().map(|s| s.to_string_lossy().into_owned()));
    let mut files: Vec<String> = files.flatten().collect();
    files.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    assert_eq!(TESTED, names);
    let manifest = std::fs::read_to_string(workspace().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is no fuzzer");
    }
}

/// Runs a target: first what it begins with, then mutations of that.
fn fuzz(name: &str) {
    /// Memory and time are counted for the whole process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Target::named(name).expect("a target of this name");
    let seeds = target.inputs();
    let mut mutator = Mutator::new(&seeds, number("HEADWATER_FUZZ_SEED").unwrap_or(SEED));
    let time = number("HEADWATER_FUZZ_SECONDS").map_or(MOMENT, Duration::from_secs);
    let watched = Watched::start(name);
    let (started, mut runs, mut slowest, mut most) = (Instant::now(), 0_u64, Duration::ZERO, 0);
    let mut begin = seeds.iter().cloned();
    while started.elapsed() < time || begin.len() > 0 {
        let input = begin.next().unwrap_or_else(|| mutator.next_input());
        watched.begin(&input);
        let (before, since) = (MEMORY.current_usage(), Instant::now());
        MEMORY.reset_peak_usage();
        let failed = fails(target, &input);
        let memory = MEMORY.peak_usage().saturating_sub(before);
        watched.end();
        if failed {
            report(target, &input, runs);
        }
        assert!(memory < MEMORY_MAX, "{name} takes {memory} bytes for input {runs}: {}", hex(&input));
        (slowest, most) = (slowest.max(since.elapsed()), most.max(memory));
        runs += 1;
    }
    println!("{name}: {runs} inputs, the slowest took {slowest:?}, the largest {} kB", most >> 10);
}

fn fails(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err()
}

/// Says which input fails, and which is the shortest like it.
fn report(target: &Target, input: &[u8], run: u64) -> ! {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let short = shrink(input, |shorter| fails(target, shorter));
    panic::set_hook(hook);
    let why = catch_unwind(AssertUnwindSafe(|| (target.run)(&short)));
    let why = why.expect_err("what fails is kept while it is shortened");
    let why = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
    let why = why.unwrap_or("no reason given");
    panic!("{} fails on input {run}, shortened to {}: {why}", target.name, hex(&short));
}

/// Ends the process, with the input that is to blame, if one takes too long.
struct Watched {
    inputs: Sender<Option<Vec<u8>>>,
}

impl Watched {
    fn start(name: &str) -> Watched {
        let (inputs, watched) = channel();
        let name = name.to_owned();
        thread::spawn(move || watch(&name, &watched));
        Watched { inputs }
    }

    fn begin(&self, input: &[u8]) {
        let _ = self.inputs.send(Some(input.to_vec()));
    }

    fn end(&self) {
        let _ = self.inputs.send(None);
    }
}

fn watch(name: &str, inputs: &Receiver<Option<Vec<u8>>>) {
    let mut running: Option<Vec<u8>> = None;
    loop {
        let next = match &running {
            Some(_) => inputs.recv_timeout(INPUT_TIME_MAX),
            None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match (next, &running) {
            (Ok(input), _) => running = input,
            (Err(RecvTimeoutError::Timeout), Some(input)) => {
                // Past the test harness, which shows what is printed only when the test is over.
                let _ = writeln!(std::io::stderr(), "{name} does not come to an end on {}", hex(input));
                process::exit(1);
            }
            (Err(_), _) => return,
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
