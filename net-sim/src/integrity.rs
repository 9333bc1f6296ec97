//! Whether frames arrive as their encoder made them: byte for byte, at their distance from each other, and in step with
//! the other track. It knows marks and nothing of how frames were carried.

use std::collections::VecDeque;

use thiserror::Error;

use crate::encoder::{self, SLICE_B, SLICE_HEADER, SLICE_KEY, SLICE_P};
use crate::fmp4::Config;
use crate::mark::Mark;

/// What is wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// This byte of its content is not what was made.
    #[error("byte {0} of its content is another one")]
    Byte(usize),
    /// Its decoder was told something else.
    #[error("it needs another decoder configuration than there is")]
    Config,
    /// Its slice does not begin as its mark says.
    #[error("its slice header is not that of its mark")]
    Header,
    /// Its key flag is not what its mark says.
    #[error("it is called a key frame or not, and its mark says otherwise")]
    Key,
    /// Something is missing or added at its end.
    #[error("its content has {is} bytes instead of {was}")]
    Length {
        /// What arrived.
        is: usize,
        /// What was made.
        was: usize,
    },
    /// It carries no mark.
    #[error("it has no mark")]
    NoMark,
    /// It holds no slice or more than one.
    #[error("it has {0} slices instead of one")]
    Slices(usize),
    /// It holds a NAL unit of a type that was never made.
    #[error("there is a NAL unit of type {0}")]
    Stray(u8),
    /// The length of a NAL unit is not that of its bytes.
    #[error("its NAL units do not fill it")]
    Units,
}

/// What is wrong with the time of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Mistiming {
    /// It is presented so much too late after it is decoded.
    #[error("frame {frame} is presented {us} us too late after decoding")]
    Composition {
        /// Which.
        frame: u64,
        /// Microseconds; negative for too early.
        us: i64,
    },
    /// It follows the frame before it at another distance than it was made.
    #[error("frame {frame} follows the one before it {us} us too late")]
    Distance {
        /// Which.
        frame: u64,
        /// Microseconds; negative for too early.
        us: i64,
    },
    /// The other track's frames of the same time are elsewhere.
    #[error("frame {frame} is {us} us late against the other track")]
    OutOfStep {
        /// Which.
        frame: u64,
        /// Microseconds; negative for early.
        us: i64,
    },
}

/// Cuts a sample of fragmented MP4 into its NAL units, each with its length in four bytes before it.
pub fn sized_units(sample: &[u8]) -> Result<Vec<&[u8]>, Damage> {
    let mut units = Vec::new();
    let mut rest = sample;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        units.push(after.get(..len).ok_or(Damage::Units)?);
        rest = &after[len..];
    }
    if rest.is_empty() { Ok(units) } else { Err(Damage::Units) }
}

/// Cuts an access unit of Annex B into its NAL units, each with a start code of three or four bytes before it.
pub fn start_code_units(mut rest: &[u8]) -> Result<Vec<&[u8]>, Damage> {
    let mut units = Vec::new();
    while !rest.is_empty() {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        if zeros < 2 || rest.get(zeros) != Some(&1) {
            return Err(Damage::Units);
        }
        rest = &rest[zeros + 1..];
        let end =
            rest.windows(3).position(|three| three[..2] == [0, 0] && three[2] < 2).unwrap_or(rest.len());
        units.push(&rest[..end]);
        rest = &rest[end..];
    }
    Ok(units)
}

/// The mark of a picture whose every byte is as it was made. Delimiters may have been added, and its own parameter
/// sets.
pub fn picture(units: &[&[u8]]) -> Result<Mark, Damage> {
    let slices: Vec<&[u8]> = units.iter().copied().filter(|unit| matches!(nal_type(unit), 1 | 5)).collect();
    let [slice] = slices[..] else { return Err(Damage::Slices(slices.len())) };
    let (header, content) = slice.split_at(SLICE_HEADER.min(slice.len()));
    let mark = whole(content)?;
    if !matches!((mark.key, header), (true, h) if h == SLICE_KEY)
        && !matches!((mark.key, header), (false, h) if h == SLICE_P || h == SLICE_B)
    {
        return Err(Damage::Header);
    }
    let Some(Config::Avc { sps, pps }) = encoder::decoder_config(mark) else { return Err(Damage::NoMark) };
    for unit in units {
        let own = |sets: &[Vec<u8>]| sets.iter().any(|set| set == unit);
        match nal_type(unit) {
            1 | 5 | 9 => {}
            7 if own(&sps) => {}
            8 if own(&pps) => {}
            7 | 8 => return Err(Damage::Config),
            other => return Err(Damage::Stray(other)),
        }
    }
    Ok(mark)
}

/// The mark of an AAC frame, without any header, whose every byte is as it was made.
pub fn sound(frame: &[u8]) -> Result<Mark, Damage> {
    whole(frame)
}

/// Whether a decoder that was told `config` can decode the frame with this mark.
pub fn fits(mark: Mark, config: &Config) -> Result<(), Damage> {
    if encoder::decoder_config(mark).as_ref() == Some(config) { Ok(()) } else { Err(Damage::Config) }
}

fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |first| first & 0x1f)
}

fn whole(content: &[u8]) -> Result<Mark, Damage> {
    let mark = Mark::find(content.get(..Mark::LEN).unwrap_or(content)).ok_or(Damage::NoMark)?;
    if content.len() != mark.len as usize {
        return Err(Damage::Length { is: content.len(), was: mark.len as usize });
    }
    match mark.first_difference(content) {
        Some(at) => Err(Damage::Byte(at)),
        None => Ok(mark),
    }
}

/// The times of two tracks, frame after frame, held against the times at which their encoder made them.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    video: Lane,
    audio: Lane,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    last: Option<(Mark, u64)>,
    /// The run that its last frame belongs to, and when, by the source's time, its first one was made.
    began: Option<((u32, u8, u64), u64)>,
    spans: VecDeque<Span>,
}

/// Frames of one run of one encoder that lie at the same distance from where they were made.
#[derive(Clone, Copy, Debug)]
struct Span {
    of: (u32, u8, u64),
    from_us: u64,
    to_us: u64,
    offset_us: i64,
    reported: bool,
}

impl Span {
    /// On which timeline it ends, and where there.
    fn end(&self) -> (u64, i64) {
        (self.of.2, place_us(self.to_us, self.offset_us))
    }
}

/// Where on the receiver's timeline something is that was made at `made_us` of the source's time.
fn place_us(made_us: u64, offset_us: i64) -> i64 {
    offset_us.saturating_add_unsigned(made_us)
}

impl Timing {
    /// Takes the next frame of a track: when it is decoded, and how much later presented, on the receiver's timeline
    /// of this `epoch`. Times of different epochs have nothing to do with each other. Returns what is wrong; a track
    /// that is out of step is reported once in a while, not for every frame.
    pub fn frame(&mut self, mark: Mark, dts_us: i64, composition_us: i64, epoch: u64) -> Vec<Mistiming> {
        let frame = mark.frame;
        let mut wrong = Vec::new();
        let late_us = composition_us - i64::from(mark.composition_us);
        let (lane, other) = match mark.source & 1 {
            0 => (&mut self.video, &self.audio),
            _ => (&mut self.audio, &self.video),
        };
        let of = (mark.encoder(), mark.run, epoch);
        // What counts is when it is presented: behind a hole a sample may be decoded earlier than it was made. Whoever
        // begins with that one has not seen the hole.
        let offset_us = dts_us + late_us - i64::try_from(mark.dts_us).unwrap_or(i64::MAX);
        let follows = lane.last.is_some_and(|(last, of_epoch)| {
            (last.source, last.run, of_epoch, last.frame + 1) == (mark.source, mark.run, epoch, frame)
        });
        lane.last = Some((mark, epoch));
        if lane.began.is_none_or(|(run, _)| run != of) {
            lane.began = Some((of, mark.dts_us));
        }
        // The origin lets time stand nearly still until an encoder that has set its clock back a little is there again.
        let settling = mark.run > 0
            && lane.began.is_some_and(|(_, began)| mark.dts_us.saturating_sub(began) < SETTLING_US);
        if settling {
            return wrong;
        }
        let seam_us = if mark.source & 1 == 0 { ROUNDING_US } else { STEP_US };
        if late_us < -ROUNDING_US || (late_us > ROUNDING_US && follows) {
            wrong.push(Mistiming::Composition { frame, us: late_us });
        }
        match lane.spans.back_mut().filter(|span| span.of == of) {
            Some(span) if (offset_us - span.offset_us).abs() <= ROUNDING_US => {
                span.from_us = span.from_us.min(mark.dts_us);
                span.to_us = span.to_us.max(mark.dts_us);
            }
            before => {
                if let Some(before) =
                    before.filter(|before| follows && (offset_us - before.offset_us).abs() > seam_us)
                {
                    wrong.push(Mistiming::Distance { frame, us: offset_us - before.offset_us });
                }
                let at = mark.dts_us;
                lane.spans.push_back(Span { of, from_us: at, to_us: at, offset_us, reported: false });
                if lane.spans.len() > SPANS_MAX {
                    lane.spans.pop_front();
                }
            }
        }
        // What is shown a second time has two places, and one track may have been shown again already when the other
        // has not: that is held against this one as soon as it has come as far.
        let place = (epoch, place_us(mark.dts_us, offset_us));
        let has_come_as_far = other.spans.iter().any(|span| span.end() >= place);
        let beside = |span: &&Span, by_us: u64| {
            let (from_us, to_us) = (span.from_us.saturating_sub(by_us), span.to_us.saturating_add(by_us));
            span.of == of && (from_us..=to_us).contains(&mark.dts_us)
        };
        let is_beside = other.spans.iter().any(|span| beside(&span, 0));
        let near = other.spans.iter().rev().filter(|span| beside(span, FRAME_US));
        let off_us = near.map(|span| offset_us - span.offset_us).min_by_key(|us| us.abs());
        if let (Some(own), Some(us)) = (lane.spans.back_mut(), off_us)
            && us.abs() > STEP_US
            && is_beside
            && has_come_as_far
            && !core::mem::replace(&mut own.reported, true)
        {
            wrong.push(Mistiming::OutOfStep { frame, us });
        }
        wrong
    }
}

/// Timestamps are milliseconds on some stretch of the way: two of them together are this inexact.
const ROUNDING_US: i64 = 2_000;
/// How far the tracks may be apart. Sound follows sound without a seam to the end of a segment, so after a joint it may
/// be half a frame off: 12 ms of 1,024 samples at 44.1 kHz; and both tracks are rounded.
const STEP_US: i64 = 14_000;
/// The longest frame, in microseconds: the two tracks of what is shown again do not begin and end with the same moment.
const FRAME_US: u64 = 50_000;
/// A clock that is set back by more than this is taken for a new one at once.
const SETTLING_US: u64 = 1_100_000;
/// How many spans of a track are remembered, to hold the other one against.
const SPANS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{Frames, Source};
    use headwater_core::time::Wall;

    fn pictures() -> Vec<(Mark, Vec<u8>)> {
        let mut frames = Frames::new(Source::with_b_frames(), 1, Wall::from_micros(0));
        let all = (0..400).map(|_| frames.produce()).filter(|frame| frame.video);
        all.map(|frame| (frame.mark, frame.payload[5..].to_vec())).collect()
    }

    fn seen(sample: &[u8]) -> Result<Mark, Damage> {
        picture(&sized_units(sample)?)
    }

    #[test]
    fn pictures_as_they_were_made_are_whole() {
        for (mark, sample) in pictures() {
            assert_eq!(seen(&sample), Ok(mark));
            let annex_b = [&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1], &sample[4..]].concat();
            assert_eq!(picture(&start_code_units(&annex_b).unwrap()), Ok(mark));
        }
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let (_, sample) = pictures().swap_remove(1);
        for at in 0..sample.len() {
            let mut damaged = sample.clone();
            damaged[at] ^= 0x40;
            assert!(seen(&damaged).is_err(), "{at}");
            assert!(seen(&sample[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn what_was_taken_out_or_added_is_named() {
        let (mark, sample) = pictures().swap_remove(0);
        let slice = &sample[4..];
        let at = slice.windows(3).position(|three| three == [0, 0, 3]).unwrap() + 2;
        let unescaped = [&slice[..at], &slice[at + 1..]].concat();
        let was = mark.len as usize;
        assert_eq!(picture(&[&unescaped]), Err(Damage::Length { is: was - 1, was }));
        assert_eq!(picture(&[slice, &[0, 0]]), Err(Damage::Stray(0)));
        assert_eq!(picture(&[slice, slice]), Err(Damage::Slices(2)));
        assert_eq!(picture(&[&[0x67, 1], slice]), Err(Damage::Config));
        assert_eq!(picture(&[&[&[0x41, 0x9a], &slice[2..]].concat()]), Err(Damage::Header));
        assert_eq!(picture(&[]), Err(Damage::Slices(0)));
        assert_eq!(sound(b"no mark"), Err(Damage::NoMark));
        assert_eq!(fits(mark, &Config::Aac(vec![0x11, 0x90])), Err(Damage::Config));
        assert_eq!(sized_units(&[0, 0, 0, 2, 1]), Err(Damage::Units));
        assert_eq!(start_code_units(&[1, 2, 3]), Err(Damage::Units));
    }

    #[test]
    fn times_that_move_are_found() {
        let times = |wrong: fn(&Mark) -> (i64, i64)| {
            let mut frames = Frames::new(Source::with_b_frames(), 1, Wall::from_micros(0));
            let mut timing = Timing::default();
            let mut found = Vec::new();
            for frame in (0..600).map(|_| frames.produce()) {
                let mark = frame.mark;
                let (dts_us, composition_us) = wrong(&mark);
                let dts_us = mark.dts_us as i64 + dts_us + 7_000_000;
                found.extend(timing.frame(mark, dts_us, i64::from(mark.composition_us) + composition_us, 0));
            }
            found
        };
        assert_eq!(times(|_| (0, 0)), []);
        assert_eq!(times(|mark| ((mark.frame % 3) as i64 * 500, 400)), [], "rounding");
        assert_eq!(
            times(|mark| if mark.frame == 50 && mark.source & 1 == 0 { (0, 33_333) } else { (0, 0) }),
            [
                Mistiming::Composition { frame: 50, us: 33_333 },
                Mistiming::Distance { frame: 50, us: 33_333 },
                Mistiming::Distance { frame: 51, us: -33_333 }
            ]
        );
        let mut behind_a_hole = Timing::default();
        let mut frames = Frames::new(Source::with_b_frames(), 1, Wall::from_micros(0));
        let of_video = (0..600).map(|_| frames.produce().mark).filter(|mark| mark.source & 1 == 0);
        for mark in of_video.filter(|mark| mark.frame >= 50) {
            let early_us = if mark.frame == 50 { 17_000 } else { 0 };
            let composition_us = i64::from(mark.composition_us) + early_us;
            assert_eq!(behind_a_hole.frame(mark, mark.dts_us as i64 - early_us, composition_us, 0), []);
        }
        let late = times(|mark| if mark.frame >= 50 && mark.source & 1 == 0 { (40_000, 0) } else { (0, 0) });
        assert_eq!(late[0], Mistiming::Distance { frame: 50, us: 40_000 });
        assert!(matches!(late[1], Mistiming::OutOfStep { us: -40_000, .. }), "{late:?}");
        let apart = times(|mark| if mark.source & 1 == 0 { (0, 0) } else { (-90_000, 0) });
        assert!(matches!(apart[..], [Mistiming::OutOfStep { frame: 0, us: -90_000 }]), "{apart:?}");
    }

    /// Two seconds, and then the last half of them again, four seconds later, one track after the other.
    #[test]
    fn what_is_shown_again_is_held_against_what_is_shown_again() {
        let mut frames = Frames::new(Source::default(), 1, Wall::from_micros(0));
        let marks: Vec<Mark> = (0..160).map(|_| frames.produce().mark).collect();
        let of = |audio: bool| marks.iter().filter(move |mark| mark.source & 1 == u32::from(audio));
        let again = |video_us: i64, audio_us: i64, video_first: bool| {
            let mut timing = Timing::default();
            let mut show = |mark: &Mark, by_us: i64| {
                timing.frame(*mark, mark.dts_us as i64 + by_us, i64::from(mark.composition_us), 0)
            };
            let mut found: Vec<Mistiming> = marks.iter().flat_map(|mark| show(mark, 0)).collect();
            for audio in [!video_first, video_first] {
                let by_us = if audio { audio_us } else { video_us };
                let late = of(audio).filter(|mark| mark.dts_us > 1_000_000);
                found.extend(late.flat_map(|mark| show(mark, by_us)));
            }
            found
        };
        for video_first in [false, true] {
            assert_eq!(again(4_000_000, 4_000_000, video_first), []);
            let apart = again(4_000_000, 4_090_000, video_first);
            assert!(matches!(apart[..], [Mistiming::OutOfStep { .. }]), "{apart:?}");
        }
    }
}
