//! A script on disk: what a run was, whatever becomes of the code that wrote it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::script::{Script, source_of};

/// A script, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tape {
    /// The version of the format, [`VERSION`].
    pub tape: u32,
    /// The commit at which it was written.
    pub commit: String,
    /// The rule that it broke then.
    pub broke: String,
    /// The script.
    pub script: Script,
}

/// The version of tapes that are written and read. It changes when an older tape would mean something else.
pub const VERSION: u32 = 1;

/// Why a tape cannot be played.
#[derive(Debug, Error)]
pub enum TapeError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no tape.
    #[error("{}: this is not a tape: {error}", path.display())]
    NotATape {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
    /// Another version wrote it.
    #[error(
        "{}: this tape has version {found}, and this simulator plays version {VERSION}: check out the commit that wrote \
         it ({commit}), or write it anew from its scenario and seed",
        path.display()
    )]
    OtherVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The commit that it names.
        commit: String,
    },
    /// It says something that cannot be played.
    #[error("{}: {flaw}", path.display())]
    Flawed {
        /// Which file.
        path: PathBuf,
        /// What.
        flaw: Flaw,
    },
}

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// Two hosts share a name.
    #[error("two hosts are called {0:?}: give each a name of its own")]
    TwoOfAName(String),
    /// Something is said of a host that is not there.
    #[error("{place} names {name:?}, and no host is called so")]
    NoSuchHost {
        /// Where it says so.
        place: String,
        /// The name.
        name: String,
    },
    /// A server is configured in a way that it refuses.
    #[error("the configuration of {name} is refused: {reason}")]
    BadServer {
        /// The server.
        name: String,
        /// In its own words.
        reason: String,
    },
    /// A number is out of its range.
    #[error("{0}")]
    OutOfRange(String),
}

impl Tape {
    /// Reads the tape in the file at `path`.
    ///
    /// # Errors
    /// If there is none that can be played.
    pub fn read(path: &Path) -> Result<Tape, TapeError> {
        let file = |error| TapeError::File { path: path.to_owned(), error };
        let not_a_tape = |error| TapeError::NotATape { path: path.to_owned(), error };
        let text = fs::read_to_string(path).map_err(file)?;
        // The version comes first: the rest may mean anything if it is another one.
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_a_tape)?;
        let found = value.get("tape").and_then(serde_json::Value::as_u64);
        if let Some(found) = found.filter(|found| *found != u64::from(VERSION)) {
            let commit = value.get("commit").and_then(serde_json::Value::as_str).unwrap_or("unknown");
            let commit = commit.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(TapeError::OtherVersion { path: path.to_owned(), found, commit });
        }
        let tape: Tape = serde_json::from_str(&text).map_err(not_a_tape)?;
        let flawed = |flaw| TapeError::Flawed { path: path.to_owned(), flaw };
        tape.script.examine().map_err(flawed)?;
        Ok(tape)
    }

    /// Writes it to the file at `path`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TapeError> {
        let text = serde_json::to_string_pretty(self).expect("a tape has no key that is not text") + "\n";
        fs::write(path, text).map_err(|error| TapeError::File { path: path.to_owned(), error })
    }
}

impl Script {
    /// Whether it can be played: every host that it names is there, and every server takes its configuration.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn examine(&self) -> Result<(), Flaw> {
        let hosts = self.host_names()?;
        let known = |place: &str, name: &str| {
            let name = source_of(name).unwrap_or(name);
            let missing = || Flaw::NoSuchHost { place: place.to_owned(), name: name.to_owned() };
            if hosts.contains(name) { Ok(()) } else { Err(missing()) }
        };
        let stored = |place: &str, store: &Option<String>| match store {
            Some(store) if !self.stores.iter().any(|known| known.name == *store) => {
                Err(Flaw::NoSuchHost { place: place.to_owned(), name: store.clone() })
            }
            _ => Ok(()),
        };
        for edge in &self.edges {
            edge.from.iter().try_for_each(|server| known(&format!("edge {:?}", edge.name), server))?;
            stored(&format!("edge {:?}", edge.name), &edge.store)?;
        }
        for origin in &self.origins {
            stored(&format!("origin {:?}", origin.name), &origin.store)?;
        }
        for encoder in &self.encoders {
            encoder.to.iter().try_for_each(|server| known(&format!("encoder {:?}", encoder.name), server))?;
            if encoder.fps.0 == 0 || encoder.fps.1 == 0 || encoder.gop == 0 || encoder.audio == Some(0) {
                let flaw = format!("encoder {:?}: fps, gop and audio are at least 1", encoder.name);
                return Err(Flaw::OutOfRange(flaw));
            }
        }
        for viewer in &self.viewers {
            known(&format!("viewer {:?}", viewer.name), &viewer.server)?;
        }
        for stranger in &self.strangers {
            known(&format!("stranger {:?}", stranger.name), &stranger.server)?;
        }
        for poller in &self.pollers {
            known(&format!("poller {:?}", poller.name), &poller.server)?;
        }
        for step in &self.steps {
            let place = format!("the step at {} ms", step.at_ms);
            step.act.hosts().into_iter().try_for_each(|host| known(&place, host))?;
        }
        self.recovery.core.iter().try_for_each(|host| known("the core", host))?;
        self.examine_servers()?;
        if self.length_ms > LENGTH_MS_MAX || self.recovery.within_ms > LENGTH_MS_MAX {
            return Err(Flaw::OutOfRange(format!("a run is no longer than {LENGTH_MS_MAX} ms")));
        }
        Ok(())
    }

    /// Everyone's name, but no name twice.
    fn host_names(&self) -> Result<BTreeSet<&str>, Flaw> {
        let servers =
            self.origins.iter().map(|origin| &origin.name).chain(self.edges.iter().map(|edge| &edge.name));
        let others = self.encoders.iter().map(|encoder| &encoder.name);
        let others = others.chain(self.stores.iter().map(|store| &store.name));
        let audience = self
            .viewers
            .iter()
            .map(|viewer| &viewer.name)
            .chain(self.pollers.iter().map(|poller| &poller.name))
            .chain(self.strangers.iter().map(|stranger| &stranger.name));
        let mut names = BTreeSet::new();
        for name in servers.chain(others).chain(audience) {
            if !names.insert(name.as_str()) {
                return Err(Flaw::TwoOfAName(name.clone()));
            }
        }
        Ok(names)
    }

    fn examine_servers(&self) -> Result<(), Flaw> {
        for origin in &self.origins {
            let refused = |reason| Flaw::BadServer { name: origin.name.clone(), reason };
            crate::servers::ServerXml::origin(origin, "*").config().map_err(refused)?;
        }
        for edge in &self.edges {
            let xml = crate::servers::ServerXml::edge(edge, "*", str::to_owned);
            let refused = |reason| Flaw::BadServer { name: edge.name.clone(), reason };
            xml.config().map_err(refused)?;
        }
        Ok(())
    }
}

/// A week.
const LENGTH_MS_MAX: u64 = 7 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stories;

    fn read(name: &str, text: &str) -> Result<Tape, TapeError> {
        let path = std::env::temp_dir().join(format!("headwater-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        let tape = Tape::read(&path);
        fs::remove_file(&path).unwrap();
        tape
    }

    fn text(tape: &Tape) -> String {
        serde_json::to_string(tape).unwrap()
    }

    fn tape(script: Script) -> Tape {
        Tape { tape: VERSION, commit: "abc".to_owned(), broke: String::new(), script }
    }

    #[test]
    fn every_scenario_survives_a_tape() {
        for scenario in stories::ALL {
            for seed in 0..20 {
                let tape = tape(scenario.script(seed));
                assert_eq!(read(&format!("{}-{seed}", scenario.name), &text(&tape)).unwrap(), tape);
            }
        }
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        let error = Tape::read(Path::new("/nowhere/x.json")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/x.json: "), "{error}");
        let error = read("garbage", "{").unwrap_err().to_string();
        assert!(error.contains("not a tape"), "{error}");
        let error = read("other", r#"{"tape": 99, "commit": "f00"}"#).unwrap_err().to_string();
        assert!(error.contains("version 99") && error.contains("f00"), "{error}");
        let mut script = Script::new();
        script.viewer("nobody", 0);
        let error = read("nobody", &text(&tape(script))).unwrap_err().to_string();
        assert!(error.contains("viewer \"viewer\" names \"nobody\""), "{error}");
    }
}
