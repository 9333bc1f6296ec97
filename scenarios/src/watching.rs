//! What stories ask of a viewer beyond the checkers of the simulator: which frames it was given, and in which order
//! of numbers.

use headwater_core::media::Kind;
use headwater_net_sim::viewer::{PartSeen, Record, Trouble};

/// What is missing in what a viewer was given of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames of a source that never came, between two that did.
    pub lost: u64,
    /// Times at which frames came that had come before.
    pub repeats: u64,
    /// Changes of the source.
    pub sources: u64,
}

/// Counts what a viewer of `record` was not given of `kind`.
pub fn losses(record: &Record, kind: Kind) -> Losses {
    let mut losses = Losses::default();
    for (_, trouble) in &record.troubles {
        match trouble {
            Trouble::FramesLost { kind: of, count, .. } if *of == kind => losses.lost += count,
            Trouble::FramesRepeated { kind: of, .. } if *of == kind => losses.repeats += 1,
            Trouble::SourceChanged { kind: of, .. } if *of == kind => losses.sources += 1,
            _ => {}
        }
    }
    losses
}

/// Every frame of both tracks came once and in order, and all from one source.
///
/// # Panics
/// If one did not.
pub fn demand_every_frame(record: &Record) {
    for kind in [Kind::Video, Kind::Audio] {
        assert!(of(record, kind).next().is_some(), "the viewer got no {kind:?}");
        assert_eq!(losses(record, kind), Losses::default(), "{kind:?}: {:?}", record.troubles);
    }
}

/// The numbers of what the viewer was given go on by one: no segment was left out.
///
/// # Panics
/// If one was.
pub fn demand_consecutive(record: &Record) {
    for kind in [Kind::Video, Kind::Audio] {
        let msns: Vec<u64> = of(record, kind).map(|part| part.msn).collect();
        assert!(!msns.is_empty(), "the viewer got no {kind:?}");
        for pair in msns.windows(2) {
            assert!(
                pair[1] == pair[0] || pair[1] == pair[0] + 1,
                "{kind:?}: from {} to {}",
                pair[0],
                pair[1]
            );
        }
    }
}

/// The parts and segments of a track, in the order in which they came.
pub fn of(record: &Record, kind: Kind) -> impl DoubleEndedIterator<Item = &PartSeen> {
    record.parts.iter().filter(move |part| part.kind == kind)
}

/// What a track goes on with after the first place at which media time is missing.
pub fn after_hole(record: &Record, kind: Kind) -> Option<&PartSeen> {
    let later = of(record, kind).skip(1);
    let missing = |before: &PartSeen, after: &PartSeen| after.media_us - before.media_us - before.duration_us;
    of(record, kind)
        .zip(later)
        .find(|(before, after)| missing(before, after) > HOLE_US)
        .map(|(_, after)| after)
}

/// Less than this is rounding.
const HOLE_US: i64 = 100_000;
