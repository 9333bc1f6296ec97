//! Checkers of how servers treat each other.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use headwater_core::time::Time;

use super::Checker;
use crate::world::{HostId, World};

type Finding = Result<(), (Time, HostId, String)>;

/// A server pulls a stream once: on one connection, and on a second one only while it changes its source; besides these
/// on as many as stand by.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnePullPerStream {
    /// How many standbys a stream may have.
    pub standbys: usize,
}

impl Checker for OnePullPerStream {
    fn rule(&self) -> &'static str {
        "a stream is pulled once"
    }

    fn check(&mut self, world: &World) -> Finding {
        let mut opened: BTreeMap<HostId, usize> = BTreeMap::new();
        for (host, connection) in world.held_connections() {
            if connection.opened && !connection.http && !connection.is_to_directory() {
                *opened.entry(host).or_default() += 1;
            }
        }
        for host in world.machines() {
            let census = world.census(host);
            if census.pulls > (2 + self.standbys) * census.streams {
                let what = format!("{} connections pull {} streams", census.pulls, census.streams);
                return Err((world.now(), host, what));
            }
            let (opened, known) = (opened.get(&host).copied().unwrap_or(0), census.pulls);
            if census.streams > 0 && known > 0 && opened > known {
                let what = format!("it has {opened} connections open and knows of {known}");
                return Err((world.now(), host, what));
            }
        }
        Ok(())
    }
}

/// Nobody is dialled without end: as those who are dialled see it, whatever the one who dials says of it.
#[derive(Debug)]
pub struct NobodyIsPestered {
    /// The most connections that a server opens in [`PESTERED_FOR`], by its name.
    most: BTreeMap<String, usize>,
    place: usize,
    dials: BTreeMap<HostId, VecDeque<Time>>,
}

impl NobodyIsPestered {
    /// None of the servers of these names opens more connections in ten seconds than this.
    pub fn new(most: BTreeMap<String, usize>) -> NobodyIsPestered {
        NobodyIsPestered { most, place: 0, dials: BTreeMap::new() }
    }
}

impl Checker for NobodyIsPestered {
    fn rule(&self) -> &'static str {
        "nobody is pestered"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (at, host) in world.dials().iter().skip(self.place).copied() {
            self.place += 1;
            let Some(most) = self.most.get(world.name(host)) else { continue };
            let dials = self.dials.entry(host).or_default();
            dials.push_back(at);
            while dials.front().is_some_and(|first| at.since(*first) > PESTERED_FOR) {
                dials.pop_front();
            }
            if dials.len() > *most {
                let what = format!("it has opened {} connections in {PESTERED_FOR:?}", dials.len());
                return Err((at, host, what));
            }
        }
        Ok(())
    }
}

/// The span in which connections are counted.
pub const PESTERED_FOR: Duration = Duration::from_secs(10);
