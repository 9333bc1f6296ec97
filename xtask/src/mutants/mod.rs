//! `cargo xtask mutants`: does the simulator find small bugs?
//!
//! `mutants.txt` lists bugs of a line each. All of them are built into one copy of the workspace, each behind a switch
//! (`graft`), and the simulator of that copy plays its scenarios with one of them alive, until a rule is broken that the
//! product itself keeps in that run. The replay that it prints is tried, too.

mod graft;
mod list;
mod score;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::binary::workspace;
use serde_json::Value;

use list::Mutant;
use score::{Found, Outcome, Score};

const HELP: &str = "\
cargo xtask mutants [NAME...]

  NAME            only these mutants
  --seeds N       how many seeds of each scenario a mutant may live through [default: 300]
  --scenario NAME only this scenario; may be given more than once
  --jobs N        how many runs at a time [default: 1]
  --json FILE     also write the results to this file, for machines
  --list          list the mutants
";

/// What is asked for.
struct Args<'a> {
    names: Vec<&'a str>,
    scenarios: Vec<&'a str>,
    seeds: u64,
    jobs: &'a str,
    json: Option<&'a Path>,
    list: bool,
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Args<'a>> {
    let mut args =
        Args { names: Vec::new(), scenarios: Vec::new(), seeds: 300, jobs: "1", json: None, list: false };
    let mut rest = arguments.iter().copied();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{word} needs a value\n\n{HELP}"));
        match word {
            "--seeds" => {
                let text = value()?;
                args.seeds = text.parse().with_context(|| format!("--seeds {text}: this is not a number"))?;
            }
            "--scenario" => args.scenarios.push(value()?),
            "--jobs" => args.jobs = value()?,
            "--json" => args.json = Some(Path::new(value()?)),
            "--list" => args.list = true,
            "--help" | "-h" => bail!("{HELP}"),
            option if option.starts_with('-') => bail!("there is no option {option}\n\n{HELP}"),
            name => args.names.push(name),
        }
    }
    Ok(args)
}

/// Plays the mutants that are asked for.
///
/// # Errors
/// If one is not found that could be, if the list does not fit the code, or if something cannot be built or written.
pub fn run(arguments: &[&str]) -> Result<()> {
    let args = parse(arguments)?;
    let mutants = list::read(&workspace().join("xtask/mutants.txt"))?;
    if args.list {
        for mutant in &mutants {
            let why = if mutant.same.is_empty() { &mutant.why } else { "nobody could tell" };
            println!("{:<36} {why}", mutant.name);
        }
        return Ok(());
    }
    for name in &args.names {
        ensure!(mutants.iter().any(|mutant| mutant.name == *name), "there is no mutant {name}");
    }
    let wanted: Vec<(usize, &Mutant)> = mutants
        .iter()
        .enumerate()
        .filter(|(_, mutant)| args.names.is_empty() || args.names.contains(&mutant.name.as_str()))
        .collect();
    // Found out before the work, not after it.
    if let Some(path) = args.json {
        fs::write(path, "").with_context(|| format!("--json {}", path.display()))?;
    }
    eprintln!("building {} mutants into one copy", mutants.len());
    let sim = Sim { program: graft::build(&mutants)?, args: &args };
    let mut scores = Vec::new();
    for (count, (index, mutant)) in wanted.iter().enumerate() {
        let outcome = match mutant.same.as_str() {
            "" => sim.play(index + 1)?,
            _ => Outcome::Same,
        };
        eprintln!("[{}/{}] {:<36} {outcome}", count + 1, wanted.len(), mutant.name);
        scores.push(Score { mutant, outcome });
        if let Some(path) = args.json {
            fs::write(path, score::json(&scores)).with_context(|| format!("--json {}", path.display()))?;
        }
    }
    println!("{}", score::table(&scores));
    if args.names.is_empty() && args.scenarios.is_empty() {
        score::write_docs(&scores, args.seeds)?;
    }
    let missed: Vec<&str> = scores
        .iter()
        .filter(|score| matches!(score.outcome, Outcome::Lived { .. } | Outcome::Failed(_)))
        .map(|score| score.mutant.name.as_str())
        .collect();
    ensure!(missed.is_empty(), "{} mutants were not found: {}", missed.len(), missed.join(", "));
    Ok(())
}

/// The simulator with all mutants in it.
struct Sim<'a> {
    program: PathBuf,
    args: &'a Args<'a>,
}

impl Sim<'_> {
    /// Plays with this mutant alive until a rule is broken that is not broken without it.
    fn play(&self, number: usize) -> Result<Outcome> {
        let began = Instant::now();
        let (mut from, mut runs) = (1, 0);
        while from <= self.args.seeds {
            let results = workspace().join("target/mutants/results.json");
            let mut words = vec!["--fail-fast".to_owned(), "--jobs".to_owned(), self.args.jobs.to_owned()];
            words.extend(["--seeds".to_owned(), format!("{from}..={}", self.args.seeds)]);
            words.extend(["--json".to_owned(), results.display().to_string()]);
            words.extend(
                self.args.scenarios.iter().flat_map(|name| ["--scenario".to_owned(), (*name).to_owned()]),
            );
            let Some(ended) = self.start(number, &words)? else {
                return Ok(Outcome::Failed("it never came to an end".to_owned()));
            };
            let text = fs::read_to_string(&results)?;
            let Ok(told) = serde_json::from_str::<Value>(&text) else {
                return Ok(Outcome::Failed(format!("it ended with {:?} and no result", ended.code)));
            };
            runs += told["runs"].as_u64().unwrap_or(0);
            let Some(failure) = told["failures"].get(0) else { break };
            let word = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
            let name = word("replay").rsplit(' ').next().unwrap_or_default().to_owned();
            let rule = word("rule");
            // What the product itself does wrong is no merit of the mutant's.
            let itself = self.start(0, &["--replay".to_owned(), name.clone()])?;
            if itself.is_none_or(|ended| ended.code != Some(0)) {
                from = failure["seed"].as_u64().unwrap_or(from) + 1;
                continue;
            }
            let again = self.start(number, &["--replay".to_owned(), name.clone()])?;
            let again = again.with_context(|| format!("the replay of {name} never ends"))?;
            ensure!(
                again.code == Some(1) && again.text.contains(&rule),
                "the replay of {name} does not break the rule again ({rule}): {}",
                again.text
            );
            return Ok(Outcome::Found(Found { name, rule, runs, took: began.elapsed() }));
        }
        Ok(Outcome::Lived { runs, took: began.elapsed() })
    }

    /// Starts the simulator and waits for its end; `None` if it does not come.
    fn start(&self, number: usize, words: &[String]) -> Result<Option<Ended>> {
        let out = workspace().join("target/mutants/output.txt");
        let file = fs::File::create(&out)?;
        let mut child = Command::new(&self.program)
            .args(words)
            .env(graft::SWITCH, number.to_string())
            .stdout(file.try_clone()?)
            .stderr(Stdio::from(file))
            .spawn()
            .context("the simulator could not be started")?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            sleep(Duration::from_millis(20));
        };
        let text = String::from_utf8_lossy(&fs::read(&out)?).into_owned();
        Ok(Some(Ended { code: status.code(), text }))
    }
}

/// How the simulator ended.
struct Ended {
    code: Option<i32>,
    text: String,
}

/// How often each rule has found something.
fn by_rule<'a>(scores: &'a [Score<'a>]) -> BTreeMap<&'a str, usize> {
    let mut rules = BTreeMap::new();
    for score in scores {
        if let Outcome::Found(found) = &score.outcome {
            *rules.entry(found.rule.as_str()).or_default() += 1;
        }
    }
    rules
}

/// How long the simulator may take for one mutant.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
