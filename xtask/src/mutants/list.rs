//! Reads `mutants.txt`: what it holds, and what of it is no longer true of the code.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// A small bug that can be built into the product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutant {
    /// What it is called.
    pub name: String,
    /// The file that it changes, from the workspace's folder on.
    pub file: String,
    /// What stands there: an expression or statements.
    pub find: String,
    /// More of the text around it; empty if `find` stands there once.
    pub within: String,
    /// What it becomes.
    pub make: String,
    /// What a user would suffer.
    pub why: String,
    /// Why nobody could ever tell; empty if somebody could.
    pub same: String,
}

/// The mutants in the file at `path`.
pub fn read(path: &Path) -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Mutant>> {
    let mut mutants: Vec<Mutant> = Vec::new();
    for paragraph in text.split("\n\n") {
        let lines: Vec<&str> =
            paragraph.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
        let Some((name, fields)) = lines.split_first() else { continue };
        let mutant = one(name.trim(), fields).with_context(|| format!("the mutant {name}"))?;
        ensure!(mutants.iter().all(|other| other.name != mutant.name), "there are two mutants {name}");
        mutants.push(mutant);
    }
    Ok(mutants)
}

fn one(name: &str, lines: &[&str]) -> Result<Mutant> {
    let mut mutant = Mutant { name: name.to_owned(), ..Mutant::default() };
    let mut key = "";
    for line in lines {
        let text = if line.starts_with(' ') {
            line.trim()
        } else {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            key = first;
            rest.trim()
        };
        let field = match key {
            "file" => &mut mutant.file,
            "find" => &mut mutant.find,
            "in" => &mut mutant.within,
            "make" => &mut mutant.make,
            "why" => &mut mutant.why,
            "same" => &mut mutant.same,
            other => bail!("\"{other}\" is not one of file, find, in, make, why, same"),
        };
        if !field.is_empty() {
            field.push(' ');
        }
        field.push_str(text);
    }
    ensure!(!mutant.file.is_empty() && !mutant.find.is_empty(), "it needs a file and what to find in it");
    ensure!(!mutant.why.is_empty() || !mutant.same.is_empty(), "it needs a reason: why, or same");
    Ok(mutant)
}

impl Mutant {
    /// Where in `source` it is.
    pub fn place(&self, source: &str) -> Result<Range<usize>> {
        let around = match self.within.as_str() {
            "" => 0..source.len(),
            within => only(source, within).with_context(|| self.moved("in"))?,
        };
        let found = only(&source[around.clone()], &self.find).with_context(|| self.moved("find"))?;
        Ok(around.start + found.start..around.start + found.end)
    }

    fn moved(&self, key: &str) -> String {
        format!("the mutant {}: the code has moved on; correct its `{key}` ({})", self.name, self.file)
    }

    /// Whether it changes statements, and not an expression.
    pub fn is_of_statements(&self) -> bool {
        self.find.ends_with([';', '}'])
    }
}

/// Where `text` stands in `source`, whatever white space there is in either. It stands there once.
fn only(source: &str, text: &str) -> Result<Range<usize>> {
    let wanted: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut letters = source.char_indices().filter(|(_, c)| !c.is_whitespace()).collect::<Vec<_>>();
    letters.retain(|(_, c)| !c.is_whitespace());
    let mut found = None;
    for (at, window) in letters.windows(wanted.len()).enumerate() {
        if !window.iter().map(|(_, c)| c).eq(&wanted) {
            continue;
        }
        // A name that only ends or begins like it is another one.
        let name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let (first, last) = (window[0].0, window[wanted.len() - 1].0 + window[wanted.len() - 1].1.len_utf8());
        let inside = (name(source[..first].chars().next_back()) && name(wanted.first().copied()))
            || (name(source[last..].chars().next()) && name(wanted.last().copied()));
        if inside {
            continue;
        }
        ensure!(found.is_none(), "`{text}` stands there more than once");
        found = Some((at, first..last));
    }
    found.map(|(_, place)| place).with_context(|| format!("`{text}` does not stand there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_a_mutant() {
        let text = "# about\n\nlost\nfile  a.rs\nfind  x = 1;\n      y();\nwhy   bad\n\nother\nfile  b.rs\nfind  c\nsame  no\n";
        let mutants = parse(text).unwrap();
        assert_eq!((mutants[0].name.as_str(), mutants[0].find.as_str()), ("lost", "x = 1; y();"));
        assert!(mutants[0].is_of_statements() && !mutants[1].is_of_statements());
        assert!(parse("x\nfile a\nfind b\nwhy c\nwho d").is_err());
        assert!(parse("x\nfile a\nfind b\n").is_err());
    }

    #[test]
    fn every_mutant_has_its_place_in_the_code() {
        let root = headwater_tests::binary::workspace();
        let mutants = read(&root.join("xtask/mutants.txt")).unwrap();
        let lost = |mutant: &Mutant| {
            let source = fs::read_to_string(root.join(&mutant.file)).unwrap();
            mutant.place(&source).err().map(|error| format!("{error:#}"))
        };
        let lost: Vec<String> = mutants.iter().filter_map(lost).collect();
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }

    #[test]
    fn a_text_is_found_whatever_the_white_space() {
        let source = "fn f() {\n    a( b,\n      c );\n    aa(b, c); a(d)\n}";
        assert_eq!(&source[only(source, "a(b, c)").unwrap()], "a( b,\n      c )");
        assert!(only(source, "a(e)").is_err());
        assert!(only(source, "c").is_err(), "twice");
        let mutant = Mutant { find: "d".into(), within: "a(d)".into(), ..Mutant::default() };
        assert_eq!(&source[mutant.place(source).unwrap()], "d");
    }
}
