//! Builds every mutant into a copy of the workspace, each behind a switch, so that one build serves them all: the
//! environment says which of them is alive. The product itself knows nothing of this.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use headwater_tests::binary::workspace;

use super::list::Mutant;

/// The variable that says which mutant is alive, by its place in the list, from 1.
pub const SWITCH: &str = "HEADWATER_MUTANT";

/// Makes the copy, and its simulator. Returns the simulator's path.
///
/// # Errors
/// If a mutant has no place in the code any more, or the copy cannot be built.
pub fn build(mutants: &[Mutant]) -> Result<PathBuf> {
    let copy = workspace().join("target/mutants/workspace");
    let mut files: BTreeMap<&str, Vec<(Range<usize>, usize)>> = BTreeMap::new();
    let mut moved = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let source = read(&workspace().join(&mutant.file))?;
        match mutant.place(&source) {
            Ok(place) => files.entry(&mutant.file).or_default().push((place, index)),
            Err(error) => moved.push(format!("{error:#}")),
        }
    }
    ensure!(moved.is_empty(), "{}", moved.join("\n"));
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace()).output();
    let listed = listed.context("git could not be started")?;
    ensure!(listed.status.success(), "git cannot list the files of the workspace");
    let tracked = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in tracked.split('\0').filter(|file| !file.is_empty()) {
        let from = workspace().join(file);
        // A file that was deleted and not committed is not copied.
        let Ok(mut bytes) = fs::read(&from) else { continue };
        if let Some(places) = files.get(file) {
            let source = String::from_utf8(bytes).with_context(|| format!("{file} is not text"))?;
            bytes = grafted(&source, places, mutants).into_bytes();
        }
        if file == "core/src/lib.rs" {
            bytes.extend_from_slice(ALIVE.as_bytes());
        }
        write_if_changed(&copy.join(file), &bytes)?;
    }
    let target = workspace().join("target/mutants/build");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--profile", "sim", "--package", "headwater-sim", "--manifest-path"]);
    cargo.arg(copy.join("Cargo.toml")).arg("--target-dir").arg(&target);
    cargo.env("RUSTFLAGS", "--allow warnings");
    let status = cargo.status().context("cargo could not be started")?;
    ensure!(status.success(), "the mutants cannot be built; the error above names the code");
    Ok(target.join("sim/sim"))
}

/// `source` with the mutants at `places`, each behind its switch.
fn grafted(source: &str, places: &[(Range<usize>, usize)], mutants: &[Mutant]) -> String {
    let mut places = places.to_vec();
    // The longest first, so that a mutant inside of another one's text comes after it.
    places.sort_by_key(|(place, index)| (place.start, core::cmp::Reverse(place.end), *index));
    render(source, 0..source.len(), &places, mutants)
}

fn render(source: &str, of: Range<usize>, places: &[(Range<usize>, usize)], mutants: &[Mutant]) -> String {
    let mut text = String::new();
    let mut at = of.start;
    let mut rest = places;
    while let Some(((place, index), after)) = rest.split_first() {
        let inside = after.iter().take_while(|(inner, _)| inner.start < place.end).count();
        let (inner, beyond) = after.split_at(inside);
        text.push_str(&source[at..place.start]);
        let original = render(source, place.clone(), inner, mutants);
        let (number, mutant) = (index + 1, &mutants[*index]);
        let make = &mutant.make;
        text += &match mutant.is_of_statements() {
            true => format!("if crate::mutant_is_alive({number}) {{ {make} }} else {{ {original} }}"),
            false => format!("(if crate::mutant_is_alive({number}) {{ {make} }} else {{ {original} }})"),
        };
        at = place.end;
        rest = beyond;
    }
    text + &source[at..of.end]
}

/// What the copy's core has besides.
const ALIVE: &str = r#"
/// Whether the mutant of this number is the one that is alive.
#[allow(clippy::all)]
pub(crate) fn mutant_is_alive(number: u32) -> bool {
    static ALIVE: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var("HEADWATER_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    *ALIVE == number
}
"#;

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Files that stay as they are keep their time, so that cargo builds only what is new.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_behind_its_switch() {
        let mutant =
            |find: &str, make: &str| Mutant { find: find.into(), make: make.into(), ..Mutant::default() };
        let mutants = [mutant("a + b", "a"), mutant("b", "c"), mutant("f(x);", "")];
        let source = "let y = a + b; f(x);";
        let places: Vec<_> =
            mutants.iter().enumerate().map(|(n, mutant)| (mutant.place(source).unwrap(), n)).collect();
        assert_eq!(
            grafted(source, &places, &mutants),
            "let y = (if crate::mutant_is_alive(1) { a } else { a + (if crate::mutant_is_alive(2) { c } else { b }) }); \
             if crate::mutant_is_alive(3) {  } else { f(x); }"
        );
    }
}
