//! The timeline of one stream: where the media of a source is placed in time, and how a new source is joined to
//! what viewers have already.
//!
//! A [`Timeline`] outlives its sources. Each source (a publisher, or one connection to an origin) has a [`Feed`]:
//! it begins by joining and then maps every packet by one constant offset. Two origins that are fed by one encoder
//! carry the same access units, so a new source is recognised by its content: the offset is then exact, nothing is
//! lost, nothing repeated, and decoding goes on without a key frame. A source that is not recognised is joined at a
//! key frame, at the time that the clock says has passed. A source may also stand by: it is in step with the one that
//! plays, and takes over at the very access unit at which that one ends.
//!
//! This module knows packets and clocks as values; it knows nothing of connections, protocols or segments.

mod clock;
mod join;
mod mapping;
mod memory;
mod standing;

pub use join::{Feed, Passed};

use core::time::Duration;
use std::collections::BTreeMap;

use crate::config::TimestampMode;
use crate::media::{Packet, Timestamp, TrackId};
use crate::time::{Now, Time};
use clock::{STEP_US, Zero};
use memory::Memory;

#[cfg(test)]
mod tests;

/// The output side of a stream's time.
#[derive(Debug)]
pub struct Timeline {
    mode: TimestampMode,
    /// Why it may not be the same on every server; `None` if it is.
    doubt: Option<Doubt>,
    /// Where on the wall clock its source's time zero was put, in microseconds since the epoch; for SystemClock only.
    zero_us: Option<i64>,
    /// The same, if all servers have agreed on it.
    agreed_us: Option<i64>,
    /// After how long its source's clock begins anew, in microseconds, if it does.
    wraps_us: Option<i64>,
    /// For Original: what the source's clock has lost by beginning anew, in microseconds.
    wrapped_us: i64,
    tracks: BTreeMap<TrackId, Position>,
    /// Whether what passes is remembered.
    recalls: bool,
    memory: Memory,
    /// Where the last source began that was placed by the clock: before that, media lies some milliseconds off from where
    /// it would lie behind it.
    seam: Option<Timestamp>,
    last_passed: Option<Time>,
}

/// Why a stream's times may not be the same on another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// ZeroBased.
    #[error(
        "its times count from its start here; set <TimestampMode> to Original if the encoder's timestamps are those of \
         the wall clock, else to SystemClock"
    )]
    OwnTime,
    /// The clock was read where another server may have read another second.
    #[error(
        "the encoder's time zero lies between two seconds of the clock, and another server may have taken the other \
         one; give the servers an <OriginMapStore>, in which they agree"
    )]
    CloseCall,
    /// Others have another time zero.
    #[error(
        "other servers have put the encoder's time zero elsewhere; set the servers' clocks (NTP), then publish again"
    )]
    Overruled,
    /// The source's time went back, or is that of another source.
    #[error(
        "the encoder's timestamps went back or jumped, and its media was placed by this server's clock; publish again \
         to all servers, with timestamps that only grow"
    )]
    SetBack,
}

/// How far a track has come.
#[derive(Clone, Copy, Debug)]
struct Position {
    last: Timestamp,
    step_us: i64,
}

impl Timeline {
    /// A timeline on which nothing has happened, and which recognises its media when it comes from another source.
    pub fn new(mode: TimestampMode) -> Timeline {
        Timeline { recalls: true, ..Timeline::forgetful(mode) }
    }

    /// The same for a stream that only ever has one source: it remembers nothing.
    pub fn forgetful(mode: TimestampMode) -> Timeline {
        Timeline {
            mode,
            doubt: (mode == TimestampMode::ZeroBased).then_some(Doubt::OwnTime),
            zero_us: None,
            agreed_us: None,
            wraps_us: None,
            wrapped_us: 0,
            tracks: BTreeMap::new(),
            recalls: false,
            memory: Memory::default(),
            seam: None,
            last_passed: None,
        }
    }

    /// The same for a source whose clock begins anew after `us` microseconds. With TimestampMode Original, one that shows
    /// what is left of the wall clock is taken for the wall clock, so that servers agree that began to receive it before
    /// and after.
    pub fn wrapping_every(self, us: i64) -> Timeline {
        Timeline { wraps_us: Some(us), ..self }
    }

    /// When the last packet was placed; `None` before the first.
    pub fn last_passed(&self) -> Option<Time> {
        self.last_passed
    }

    /// How many access units it remembers.
    pub fn marks(&self) -> usize {
        self.memory.len()
    }

    /// Whether any media was placed yet.
    pub fn is_started(&self) -> bool {
        self.last_passed.is_some()
    }

    /// Whether a source is playing: something was placed a moment ago.
    fn is_playing(&self, now: Now) -> bool {
        self.last_passed.is_some_and(|last| now.mono.since(last) < PLAYING_WITHIN)
    }

    /// Notes that a packet was placed; decoding can start at it if it is a `start`.
    fn note(&mut self, now: Now, packet: &Packet, fingerprint: Option<u64>, start: bool) {
        let step_us = match self.tracks.get(&packet.track) {
            Some(position) => packet.dts.micros_since(position.last).clamp(1, STEP_US_MAX),
            None => STEP_US_DEFAULT,
        };
        self.tracks.insert(packet.track, Position { last: packet.dts, step_us });
        if let Some(fingerprint) = fingerprint {
            self.memory.remember(fingerprint, packet.dts, start);
        }
        self.last_passed = Some(now.mono);
    }

    /// Whether `place` lies where the source that plays has been placed by its content or by the clock, and not before.
    fn is_behind_the_seam(&self, place: Timestamp) -> bool {
        self.seam.is_none_or(|seam| place >= seam)
    }

    /// Where the next packet of `track` is expected if nothing was lost, in microseconds.
    fn next_us(&self, track: TrackId) -> Option<i64> {
        let position = self.tracks.get(&track).or_else(|| self.tracks.values().next())?;
        Some(position.last.as_micros().saturating_add(position.step_us))
    }

    /// Where the media ends, in microseconds.
    fn end_us(&self) -> Option<i64> {
        self.tracks.values().map(|position| position.last.as_micros()).max()
    }

    /// Where the live edge is now if media had gone on, in microseconds.
    fn live_us(&self, now: Now) -> Option<i64> {
        let last = self.end_us()?;
        let silent = now.mono.since(self.last_passed?);
        Some(last.saturating_add(i64::try_from(silent.as_micros()).unwrap_or(0)))
    }

    /// Why its times may not be the same on every server of the stream that is configured alike; `None` if they are.
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Where on the wall clock its source's time zero lies, in milliseconds since the Unix epoch; `None` if that does
    /// not matter, or nothing was placed yet.
    pub fn zero_ms(&self) -> Option<i64> {
        self.zero_us.map(|us| us / 1_000)
    }

    /// Other servers have put the source's time zero elsewhere.
    pub fn overruled(&mut self) {
        self.doubt.get_or_insert(Doubt::Overruled);
    }

    /// Whether a source has to be listened to before it can be placed.
    fn listens(&self) -> bool {
        self.mode == TimestampMode::SystemClock && !self.is_started()
    }

    /// Whether a packet of `track` at `place` comes too early for what was there: something before it is missing.
    fn lacks_before(&self, track: TrackId, place: Timestamp) -> bool {
        self.tracks.get(&track).is_some_and(|position| {
            place.micros_since(position.last) > position.step_us.saturating_add(position.step_us / 2)
        })
    }

    /// Where a source is placed whose first packet has `dts`, as an offset in microseconds. `heard` is what its packets
    /// said of its time zero.
    fn first_offset_us(&mut self, now: Now, heard: Option<Zero>, dts: Timestamp) -> i64 {
        match (self.mode, heard) {
            (TimestampMode::Original, _) => {
                self.wrapped_us = self.wraps_us.map_or(0, |wraps_us| wrapped_us(now, wraps_us, dts));
                self.wrapped_us
            }
            (TimestampMode::SystemClock, Some(zero)) => {
                self.doubt = (!zero.is_sure && self.agreed_us.is_none()).then_some(Doubt::CloseCall);
                *self.zero_us.insert(self.agreed_us.unwrap_or(zero.us))
            }
            (TimestampMode::SystemClock | TimestampMode::ZeroBased, _) => {
                0_i64.saturating_sub(dts.as_micros())
            }
        }
    }

    /// Where every server of the stream places a source that comes after others, as an offset in microseconds, if it is
    /// `least_us` or more: time does not go back. `None` if there is no such place.
    fn shared_offset_us(&self, heard: Option<Zero>, least_us: i64) -> Option<i64> {
        match self.mode {
            TimestampMode::ZeroBased => None,
            TimestampMode::Original => Some(self.wrapped_us).filter(|offset_us| *offset_us >= least_us),
            TimestampMode::SystemClock => {
                let zero_us = heard?.us;
                let behind_us = least_us.saturating_sub(zero_us).max(0);
                let steps = behind_us.saturating_add(STEP_US - 1) / STEP_US;
                (steps <= STEPS_MAX).then_some(zero_us.saturating_add(steps * STEP_US))
            }
        }
    }

    /// A source that came after others was placed where every server places it.
    fn shares_again(&mut self, heard: Option<Zero>) {
        self.zero_us = None;
        if self.mode == TimestampMode::SystemClock && !heard.is_some_and(|zero| zero.is_sure) {
            self.doubt.get_or_insert(Doubt::CloseCall);
        }
    }
}

/// What a clock that begins anew every `wraps_us` has lost if it shows the wall clock: a multiple of that; 0 if it does
/// not.
fn wrapped_us(now: Now, wraps_us: i64, dts: Timestamp) -> i64 {
    let behind_us = now.wall.as_micros().saturating_sub(dts.as_micros());
    let lost_us = behind_us.saturating_add(wraps_us / 2).div_euclid(wraps_us).saturating_mul(wraps_us);
    if behind_us.abs_diff(lost_us) <= SYNCHRONISED_US { lost_us } else { 0 }
}

/// A clock that is off by less, in microseconds, shows the wall clock.
const SYNCHRONISED_US: u64 = 86_400_000_000;
/// A source is placed so many seconds after what the clock says at most, so that time does not go back.
const STEPS_MAX: i64 = 10;
/// A timeline on which nothing was placed for so long has no source that plays.
const PLAYING_WITHIN: Duration = Duration::from_millis(500);
/// The longest frame that is taken for a track's rhythm, in microseconds.
const STEP_US_MAX: i64 = 1_000_000;
/// The rhythm of a track that has shown one packet only, in microseconds.
const STEP_US_DEFAULT: i64 = 33_333;

/// Whether a viewer can start with this packet.
fn is_start(main: Option<TrackId>, packet: &Packet) -> bool {
    main.is_none_or(|main| packet.track == main && packet.key)
}

/// Offsets that differ by less are the same offset, rounded differently.
const OFFSET_AGREES_US: u64 = 2_000;

/// An access unit of this size is not there twice by chance.
const PROOF_BYTES: usize = 512;
