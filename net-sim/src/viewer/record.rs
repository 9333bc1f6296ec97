//! What a viewer has seen and suffered. Checkers read it; the player only writes it.

use core::time::Duration;
use std::collections::BTreeMap;

use headwater_core::io::CloseReason;
use headwater_core::media::Kind;
use headwater_core::time::Time;
use thiserror::Error;

use crate::integrity::{Damage, Mistiming};
use crate::mark::Mark;
use crate::{fmp4, playlist};

/// Everything that happened to a viewer. Times are the world's.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Every part and segment that was received, in order.
    pub parts: Vec<PartSeen>,
    /// Every media playlist that was received, in order.
    pub playlists: Vec<PlaylistSeen>,
    /// When playing began.
    pub started: Option<Time>,
    /// Every time playing stopped for want of media.
    pub stalls: Vec<Stall>,
    /// Every time playing skipped over a hole.
    pub jumps: Vec<Jump>,
    /// What was wrong and did not stop the player, in order.
    pub troubles: Vec<(Time, Trouble)>,
    /// What stopped the player.
    pub fatal: Option<(Time, Fatal)>,
    /// How many answers there were of each status; 0 for none at all.
    pub answers: BTreeMap<u16, u64>,
    /// The most reloads in a row that brought nothing new.
    pub unchanged_reloads_max: u32,
}

/// A part, or a whole segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSeen {
    /// When it was there.
    pub at: Time,
    /// Its track.
    pub kind: Kind,
    /// Its segment.
    pub msn: u64,
    /// Its number in the segment; none for a whole segment.
    pub part: Option<u32>,
    /// What the playlist says how long it is.
    pub declared_us: i64,
    /// Its first decode time, on the media's own timeline.
    pub media_us: i64,
    /// How long its samples last.
    pub duration_us: i64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// Whether decoding can start at its first sample.
    pub starts_with_sync: bool,
    /// How many discontinuities came before it.
    pub discontinuity: u64,
    /// Its length in bytes.
    pub bytes: usize,
    /// The hash of its bytes.
    pub hash: u64,
    /// How many samples it has.
    pub samples: usize,
    /// The first and the last mark in it.
    pub marks: Option<(Mark, Mark)>,
    /// How long ago its newest frame was made, in microseconds, by the clocks that the viewer's and the encoder's
    /// host had when they were started.
    pub age_us: Option<i64>,
    /// How much later than its first frame was made the playlist dates its segment, in microseconds, by the
    /// encoder's clock; none if it is not the first part or not dated.
    pub date_off_us: Option<i64>,
}

/// A media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaylistSeen {
    /// When it was there.
    pub at: Time,
    /// Its track.
    pub kind: Kind,
    /// Its EXT-X-MEDIA-SEQUENCE.
    pub first_msn: u64,
    /// Its last complete segment.
    pub last_msn: Option<u64>,
    /// Its newest part.
    pub last_part: Option<(u64, u32)>,
    /// What was asked for (`_HLS_msn`, `_HLS_part`).
    pub asked: Option<(u64, Option<u32>)>,
    /// Whether nothing will follow.
    pub ended: bool,
    /// How many segments it lists, and how long all of them but the first are together, in microseconds.
    pub listed: (usize, i64),
    /// Its EXT-X-TARGETDURATION and its PART-TARGET, in microseconds.
    pub targets: (i64, Option<i64>),
    /// How long the answer took.
    pub took: Duration,
    /// The hash of its text.
    pub hash: u64,
}

/// A time without picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it began.
    pub from: Time,
    /// When it ended; none if it lasts.
    pub until: Option<Time>,
    /// Where, on the player's timeline.
    pub position_us: i64,
}

/// A skip over a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// When.
    pub at: Time,
    /// From this position on the player's timeline.
    pub from_us: i64,
    /// To this one.
    pub to_us: i64,
}

/// Something that a server must not do and a player survives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Trouble {
    /// The bytes under a number are not those that were there before.
    ContentChanged { kind: Kind, msn: u64, part: u32 },
    /// The bytes of a frame are not those that were made.
    Damaged { kind: Kind, msn: u64, part: Option<u32>, what: Damage },
    /// Decoding had to start at a part that does not begin with a key frame.
    BrokenStart { kind: Kind, msn: u64, part: Option<u32> },
    /// A part is called independent and is not.
    FalselyIndependent { kind: Kind, msn: u64, part: Option<u32> },
    /// Frames that were never given.
    FramesLost { kind: Kind, source: u32, first: u64, count: u64 },
    /// After frames that were never given comes one that cannot be decoded without them.
    Undecodable { source: u32, frame: u64 },
    /// Frames that were given before.
    FramesRepeated { kind: Kind, source: u32, first: u64 },
    /// Media time is missing between two neighbours.
    Hole { kind: Kind, msn: u64, part: Option<u32>, us: i64 },
    /// A frame's times are not those at which it was made.
    Mistimed { kind: Kind, msn: u64, part: Option<u32>, what: Mistiming },
    /// Media time comes twice.
    Overlap { kind: Kind, msn: u64, part: Option<u32>, us: i64 },
    /// A playlist ends before, or begins before, where an earlier one did.
    SequenceWentBack { kind: Kind, from: (u64, Option<u32>), to: (u64, Option<u32>) },
    /// The frames come from somewhere else from here on.
    SourceChanged { kind: Kind, from: u32, to: u32 },
    /// A playlist breaks a rule of its format in this segment.
    Unruly { kind: Kind, msn: u64, what: String },
    /// The playlist has left the player's position behind; it starts anew at the live edge.
    LeftBehind { kind: Kind, msn: u64 },
}

/// What ends playing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fatal {
    /// The multivariant playlist cannot be had.
    #[error("the multivariant playlist cannot be loaded: {0}")]
    MasterLoad(Failure),
    /// It cannot be read.
    #[error("the multivariant playlist cannot be read: {0}")]
    MasterParse(playlist::Error),
    /// A media playlist cannot be had.
    #[error("the {0:?} playlist cannot be loaded: {1}")]
    PlaylistLoad(Kind, Failure),
    /// A media playlist cannot be read.
    #[error("the {0:?} playlist cannot be read: {1}")]
    PlaylistParse(Kind, playlist::Error),
    /// A number names another segment than before (hls.js: "media sequence mismatch").
    #[error("the {kind:?} segment {msn} was {was} and is {is}")]
    SequenceMismatch {
        /// The track.
        kind: Kind,
        /// The number.
        msn: u64,
        /// The earlier URL.
        was: String,
        /// The new URL.
        is: String,
    },
    /// A segment has another discontinuity counter than before (hls.js: "discontinuity sequence mismatch").
    #[error("the {kind:?} segment {msn} had {was} discontinuities before it and has {is}")]
    DiscontinuityMismatch {
        /// The track.
        kind: Kind,
        /// The number.
        msn: u64,
        /// The earlier counter.
        was: u64,
        /// The new counter.
        is: u64,
    },
    /// A discontinuity stands right before the hinted part, which hls.js does not survive.
    #[error("a discontinuity of the {0:?} playlist stands before the hinted part")]
    DiscontinuityAtHint(Kind),
    /// Too many reloads brought nothing new.
    #[error("the {0:?} playlist did not change in {1} reloads")]
    Unchanged(Kind, u32),
    /// Media cannot be had.
    #[error("{0:?} {1} cannot be loaded: {2}")]
    MediaLoad(Kind, String, Failure),
    /// Media cannot be read.
    #[error("{0:?} {1} cannot be read: {2}")]
    MediaParse(Kind, String, fmp4::Error),
}

/// Why something cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// An answer that is none.
    #[error("status {0}")]
    Status(u16),
    /// No answer in time.
    #[error("it took too long")]
    TimedOut,
    /// The connection was lost or not made.
    #[error("network error ({0:?})")]
    Network(CloseReason),
}

impl Record {
    /// The longest time between two arrivals of `kind`, and between the last one and `now`. Zero before the first.
    pub fn longest_gap(&self, kind: Kind, now: Time) -> Duration {
        let mut last: Option<Time> = None;
        let mut longest = Duration::ZERO;
        let arrivals = self.parts.iter().filter(|part| part.kind == kind).map(|part| part.at);
        for at in arrivals.chain([now]) {
            if let Some(last) = last {
                longest = longest.max(at.since(last));
            }
            last = Some(at);
        }
        if self.parts.iter().any(|part| part.kind == kind) { longest } else { Duration::ZERO }
    }

    /// How long playing was interrupted altogether; a stall that lasts counts until `now`.
    pub fn stalled(&self, now: Time) -> Duration {
        self.stalls.iter().map(|stall| stall.until.unwrap_or(now).since(stall.from)).sum()
    }

    /// The newest part, or whole segment, of `kind`.
    pub fn newest(&self, kind: Kind) -> Option<&PartSeen> {
        self.parts.iter().rev().find(|part| part.kind == kind)
    }

    pub(crate) fn trouble(&mut self, at: Time, trouble: Trouble) {
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push((at, trouble));
        }
    }
}

/// A viewer that suffers more than this has made its point.
const TROUBLES_MAX: usize = 10_000;
