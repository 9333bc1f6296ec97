//! Checkers of what viewers are answered: whether it is true, what they asked for, and in time.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_core::time::Time;

use super::Checker;
use crate::viewer::{Fatal, PlaylistSeen};
use crate::world::{HostId, World};

type Finding = Result<(), (Time, HostId, String)>;

/// No viewer gives up because of what a server says: neither a network nor a dead encoder can be to blame for that.
#[derive(Debug)]
pub struct AnswersMakeSense;

impl Checker for AnswersMakeSense {
    fn rule(&self) -> &'static str {
        "what viewers are answered makes sense"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let record = viewer.record();
            if let Some((at, fatal)) = &record.fatal
                && !matches!(
                    fatal,
                    Fatal::MasterLoad(_)
                        | Fatal::PlaylistLoad(..)
                        | Fatal::MediaLoad(..)
                        | Fatal::Unchanged(..)
                )
            {
                return Err((*at, host, fatal.to_string()));
            }
            // Viewers ask as they should, so nobody may say otherwise.
            let wrong = |status: &&u16| !matches!(**status, 0 | 200 | 404 | 502 | 503);
            if let Some(status) = record.answers.keys().find(wrong) {
                return Err((world.now(), host, format!("it was answered with status {status}")));
            }
        }
        Ok(())
    }
}

/// A part is as long as its playlist says, and decoding can start with it if its playlist says so, and only then.
#[derive(Debug, Default)]
pub struct PartsAreAsTold {
    places: BTreeMap<HostId, usize>,
}

impl Checker for PartsAreAsTold {
    fn rule(&self) -> &'static str {
        "parts are as their playlist says"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let place = self.places.entry(host).or_default();
            for part in viewer.record().parts.iter().skip(*place) {
                *place += 1;
                // Of a part that was only hinted, and of a whole segment, nothing was said.
                let (Some(number), true) = (part.part, part.declared_us > 0) else { continue };
                let name = format!("{:?} segment {} part {number}", part.kind, part.msn);
                if (part.duration_us - part.declared_us).abs() > ROUNDING_US {
                    let (is, told) = (part.duration_us, part.declared_us);
                    return Err((part.at, host, format!("{name} lasts {is} us and not {told}")));
                }
                if part.independent != part.starts_with_sync {
                    let is = if part.independent { "called" } else { "not called" };
                    return Err((part.at, host, format!("{name} is {is} independent, and is the opposite")));
                }
            }
        }
        Ok(())
    }
}

/// A playlist that was waited for holds what was waited for.
#[derive(Debug, Default)]
pub struct ReloadsBringWhatWasAskedFor {
    places: BTreeMap<HostId, usize>,
}

impl Checker for ReloadsBringWhatWasAskedFor {
    fn rule(&self) -> &'static str {
        "a blocking reload brings what it waited for"
    }

    fn check(&mut self, world: &World) -> Finding {
        for (host, viewer) in world.viewers() {
            let place = self.places.entry(host).or_default();
            for seen in viewer.record().playlists.iter().skip(*place) {
                *place += 1;
                let Some((msn, part)) = seen.asked else { continue };
                let complete = seen.last_msn.is_some_and(|last| last >= msn);
                let there = part.is_some_and(|part| seen.last_part.is_some_and(|last| last >= (msn, part)));
                if !complete && !there && !seen.ended {
                    let asked = part.map_or(String::new(), |part| format!(" part {part}"));
                    let what = format!(
                        "{:?} segment {msn}{asked} was asked for, and the playlist ends with {:?}, part {:?}",
                        seen.kind, seen.last_msn, seen.last_part
                    );
                    return Err((seen.at, host, what));
                }
            }
        }
        Ok(())
    }
}

/// A blocking reload is answered as soon as there is what it waits for. For times without faults, and for a world that
/// keeps its parts ([`World::keep_parts`]).
#[derive(Debug)]
pub struct ReloadsAreAnsweredAtOnce {
    within: Duration,
    facts: usize,
    /// When a part of a track could be asked for first, by server and stream.
    ready: BTreeMap<(HostId, String), BTreeMap<u32, Ready>>,
    places: BTreeMap<HostId, usize>,
}

/// The parts of a track, and since when they are there.
type Ready = BTreeMap<(u64, u32), Time>;

impl ReloadsAreAnsweredAtOnce {
    /// No answer takes longer than `within` for its way and the way of its question.
    pub fn within(within: Duration) -> ReloadsAreAnsweredAtOnce {
        ReloadsAreAnsweredAtOnce { within, facts: 0, ready: BTreeMap::new(), places: BTreeMap::new() }
    }

    fn late(&self, world: &World, url: &str, seen: &PlaylistSeen) -> Option<Duration> {
        let (msn, part) = seen.asked?;
        let mut path = url.split_once("://")?.1.split('/');
        let server = world.host_named(path.next()?.split(':').next()?)?;
        let stream = path.nth(1)?.to_owned();
        let tracks = self.ready.get(&(server, stream))?;
        let ready = match seen.kind {
            Kind::Video => tracks.first_key_value(),
            _ => tracks.last_key_value(),
        };
        let (_, there) = ready?.1.range((msn, part?)..).next()?;
        let asked = Time::ZERO + seen.at.since(Time::ZERO).saturating_sub(seen.took);
        let late = seen.at.since((*there).max(asked));
        (late > self.within).then_some(late)
    }
}

impl Checker for ReloadsAreAnsweredAtOnce {
    fn rule(&self) -> &'static str {
        "a blocking reload is answered as soon as it can be"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.parts().iter().skip(self.facts) {
            self.facts += 1;
            if let Event::PartReady { key, track, msn, part } = &fact.event {
                let stream = self.ready.entry((fact.host, key.stream.clone())).or_default();
                stream.entry(*track).or_default().entry((*msn, *part)).or_insert(fact.at);
            }
        }
        for (host, viewer) in world.viewers() {
            let place = self.places.get(&host).copied().unwrap_or(0);
            for seen in viewer.record().playlists.iter().skip(place) {
                if let Some(late) = self.late(world, viewer.url(), seen) {
                    let what = format!("{:?} {:?} came {late:?} after it was there", seen.kind, seen.asked);
                    return Err((seen.at, host, what));
                }
            }
            self.places.insert(host, viewer.record().playlists.len());
        }
        Ok(())
    }
}

/// Nobody is given the playlist of a stream that has stood still for long. For a world that keeps its parts
/// ([`World::keep_parts`]).
#[derive(Debug, Default)]
pub struct FrozenStreamsAreNotServed {
    facts: usize,
    /// When a stream on a server had a new part.
    moved: BTreeMap<(HostId, String), Vec<Time>>,
    places: BTreeMap<HostId, usize>,
}

impl Checker for FrozenStreamsAreNotServed {
    fn rule(&self) -> &'static str {
        "a stream that stands still is not served"
    }

    fn check(&mut self, world: &World) -> Finding {
        for fact in world.parts().iter().skip(self.facts) {
            self.facts += 1;
            if let Event::PartReady { key, .. } = &fact.event {
                self.moved.entry((fact.host, key.stream.clone())).or_default().push(fact.at);
            }
        }
        for (host, viewer) in world.viewers() {
            let place = self.places.get(&host).copied().unwrap_or(0);
            for seen in viewer.record().playlists.iter().skip(place) {
                let mut path = viewer.url().split("://").nth(1).unwrap_or_default().split('/');
                let name = path.next().and_then(|authority| authority.split(':').next()).unwrap_or_default();
                let stream = path.nth(1).unwrap_or_default().to_owned();
                let Some(server) = world.host_named(name) else { continue };
                let Some(moved) = self.moved.get(&(server, stream)) else { continue };
                // What came after the playlist does not excuse it.
                let before = moved.partition_point(|at| *at <= seen.at);
                if let Some(still) = moved[..before].last().map(|moved| seen.at.since(*moved))
                    && still > seen.took + STANDS_STILL
                    && !seen.ended
                {
                    let what = format!("{:?} playlist of a stream without a part for {still:?}", seen.kind);
                    return Err((seen.at, host, what));
                }
            }
            self.places.insert(host, viewer.record().playlists.len());
        }
        Ok(())
    }
}

/// Lengths are told in microseconds, and a frame of sound is no whole number of them.
const ROUNDING_US: i64 = 1_500;
/// However patient a server is, a stream that has stood still for so long is no live stream.
const STANDS_STILL: Duration = Duration::from_secs(14);
