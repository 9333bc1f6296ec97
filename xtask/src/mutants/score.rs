//! What became of the mutants: as a table, for machines, and in the documentation.

use core::fmt;
use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_tests::binary::workspace;
use serde_json::{Value, json};

use super::by_rule;
use super::list::Mutant;

/// A mutant and what became of it.
pub struct Score<'a> {
    /// The mutant.
    pub mutant: &'a Mutant,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a mutant.
pub enum Outcome {
    /// A rule was broken.
    Found(Found),
    /// The simulator itself failed: how.
    Failed(String),
    /// No rule was broken.
    Lived {
        /// In so many runs.
        runs: u64,
        /// Which took so long.
        took: Duration,
    },
    /// It was not played: nobody could tell.
    Same,
}

/// A mutant that was found.
pub struct Found {
    /// What to replay it by.
    pub name: String,
    /// The rule that was broken.
    pub rule: String,
    /// How many runs it took.
    pub runs: u64,
    /// How long they took.
    pub took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Found(Found { name, rule, runs, took }) => {
                write!(f, "found by {name} after {runs} runs ({:.1} s): {rule}", took.as_secs_f64())
            }
            Outcome::Failed(how) => write!(f, "NOT FOUND: the simulator failed: {how}"),
            Outcome::Lived { runs, took } => {
                write!(f, "NOT FOUND in {runs} runs ({:.1} s)", took.as_secs_f64())
            }
            Outcome::Same => f.write_str("nobody could tell"),
        }
    }
}

/// The table for a terminal, with a line for all of them together and one for each rule.
pub fn table(scores: &[Score<'_>]) -> String {
    let mut text = String::new();
    for score in scores {
        writeln!(text, "{:<36} {}", score.mutant.name, score.outcome).expect("a string takes any text");
    }
    writeln!(text, "\n{}", summary(scores)).expect("a string takes any text");
    for (rule, count) in by_rule(scores) {
        writeln!(text, "{count:>5}  {rule}").expect("a string takes any text");
    }
    text
}

/// The results for machines.
pub fn json(scores: &[Score<'_>]) -> String {
    let one = |score: &Score<'_>| -> Value {
        let base = json!({ "name": score.mutant.name, "file": score.mutant.file, "why": score.mutant.why });
        let more = match &score.outcome {
            Outcome::Found(Found { name, rule, runs, took }) => {
                json!({ "found": true, "replay": name, "rule": rule, "runs": runs, "seconds": took.as_secs_f64() })
            }
            Outcome::Failed(how) => json!({ "found": false, "failed": how }),
            Outcome::Lived { runs, took } => {
                json!({ "found": false, "runs": runs, "seconds": took.as_secs_f64() })
            }
            Outcome::Same => json!({ "equivalent": score.mutant.same }),
        };
        let mut all = base.as_object().cloned().unwrap_or_default();
        all.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    };
    serde_json::to_string_pretty(&scores.iter().map(one).collect::<Vec<Value>>()).unwrap_or_default() + "\n"
}

/// Writes the score into `docs/simulation.md`, between its marks.
pub fn write_docs(scores: &[Score<'_>], seeds: u64) -> Result<()> {
    let path = workspace().join("docs/simulation.md");
    let old = fs::read_to_string(&path).unwrap_or_else(|_| format!("# Simulation\n\n{BEGIN}\n{END}\n"));
    let (before, rest) =
        old.split_once(BEGIN).with_context(|| format!("{} lacks {BEGIN}", path.display()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{} lacks {END}", path.display()))?;
    let new = format!("{before}{BEGIN}\n{}\n{END}{after}", markdown(scores, seeds));
    fs::write(&path, new).with_context(|| format!("{} cannot be written", path.display()))
}

fn markdown(scores: &[Score<'_>], seeds: u64) -> String {
    let mut text = format!(
        "{} At most {seeds} seeds of each scenario were played with each.\n\n\
         | mutant | found by | after runs | broken rule |\n| --- | --- | ---: | --- |\n",
        summary(scores)
    );
    for Score { mutant, outcome } in scores {
        let name = &mutant.name;
        let line = match outcome {
            Outcome::Found(Found { name: by, rule, runs, .. }) => {
                format!("| {name} | `{by}` | {runs} | {rule} |")
            }
            Outcome::Failed(how) => format!("| {name} | **the simulator failed: {how}** | | |"),
            Outcome::Lived { runs, .. } => format!("| {name} | **not found** | {runs} | |"),
            Outcome::Same => format!("| {name} | | | equivalent: {} |", mutant.same),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn summary(scores: &[Score<'_>]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| scores.iter().filter(|score| wanted(&score.outcome)).count();
    let same = count(|outcome| matches!(outcome, Outcome::Same));
    let found = count(|outcome| matches!(outcome, Outcome::Found(_)));
    let mut runs: Vec<u64> = scores
        .iter()
        .filter_map(|score| match &score.outcome {
            Outcome::Found(found) => Some(found.runs),
            _ => None,
        })
        .collect();
    runs.sort_unstable();
    let half = runs.get(runs.len() / 2).copied().unwrap_or(0);
    format!(
        "{found} of {} mutants are found, half of them within {half} runs; {same} more are equivalent.",
        scores.len() - same
    )
}

const BEGIN: &str = "<!-- mutants -->";
const END: &str = "<!-- /mutants -->";
