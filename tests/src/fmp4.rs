//! What a CMAF part says about itself (ISO/IEC 14496-12): its decode time, its samples, and the last picture in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use anyhow::{Context, Result, ensure};

/// A movie fragment with one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// `tfdt`: the decode time of the first sample, in ticks of the track.
    pub decode_time: u64,
    /// How long its samples last together, in ticks of the track.
    pub duration: u64,
    /// Where the samples' bytes are, in decode order.
    pub samples: Vec<Range<usize>>,
}

/// Reads the first movie fragment of `part`.
///
/// # Errors
///
/// If there is none, or if it points outside `part`.
pub fn fragment(part: &[u8]) -> Result<Fragment> {
    let moof = child(part, 0..part.len(), *b"moof")?;
    let traf = child(part, moof.clone(), *b"traf")?;
    let tfhd = child(part, traf.clone(), *b"tfhd")?;
    let tfdt = child(part, traf.clone(), *b"tfdt")?;
    let trun = child(part, traf, *b"trun")?;
    let defaults = Defaults::read(&part[tfhd])?;
    // `data_offset` counts from the first byte of the moof box, whose header has 8 bytes.
    let (samples, duration) = run(&part[trun], &defaults, moof.start - 8, part.len())?;
    Ok(Fragment { decode_time: decode_time(&part[tfdt])?, duration, samples })
}

/// A number for an H.264 or H.265 access unit by which it is known again, whatever container it travels in: a hash
/// of its last NAL unit, which carries a slice of the picture.
pub fn fingerprint_length_prefixed(sample: &[u8]) -> Option<u64> {
    let mut rest = sample;
    let mut last = None;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        last = Some(after.get(..length)?);
        rest = &after[length..];
    }
    last.map(fingerprint)
}

/// [`fingerprint_length_prefixed`] of an access unit with start codes (Annex B).
pub fn fingerprint_annex_b(unit: &[u8]) -> Option<u64> {
    let start = unit.windows(3).rposition(|bytes| bytes == [0, 0, 1])? + 3;
    Some(fingerprint(&unit[start..]))
}

fn fingerprint(nal: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A NAL unit never ends with a zero byte; in Annex B such bytes may follow it.
    nal[..nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)].hash(&mut hasher);
    hasher.finish()
}

/// The body of the first box of `kind` within `range`.
fn child(bytes: &[u8], range: Range<usize>, kind: [u8; 4]) -> Result<Range<usize>> {
    let mut at = range.start;
    while at + 8 <= range.end {
        let size = usize::try_from(u32_at(bytes, at)?)?;
        ensure!(size >= 8 && size <= range.end - at, "a box of {size} bytes in {}", range.end - at);
        if bytes[at + 4..at + 8] == kind {
            return Ok(at + 8..at + size);
        }
        at += size;
    }
    anyhow::bail!("no {} box", String::from_utf8_lossy(&kind))
}

fn decode_time(tfdt: &[u8]) -> Result<u64> {
    let high = u64::from(u32_at(tfdt, 4)?);
    match tfdt[0] {
        0 => Ok(high),
        _ => Ok(high << 32 | u64::from(u32_at(tfdt, 8)?)),
    }
}

/// What `tfhd` says about samples of which `trun` says nothing; 0 where it is silent too.
struct Defaults {
    duration: u32,
    size: u32,
}

impl Defaults {
    fn read(tfhd: &[u8]) -> Result<Defaults> {
        let flags = u32_at(tfhd, 0)?;
        let mut at = 8 + if flags & 0x1 != 0 { 8 } else { 0 } + if flags & 0x2 != 0 { 4 } else { 0 };
        let mut next = |bit| -> Result<u32> {
            if flags & bit == 0 {
                return Ok(0);
            }
            at += 4;
            u32_at(tfhd, at - 4)
        };
        Ok(Defaults { duration: next(0x8)?, size: next(0x10)? })
    }
}

/// Where the samples of a `trun` are, and how long they last together.
fn run(trun: &[u8], defaults: &Defaults, moof: usize, end: usize) -> Result<(Vec<Range<usize>>, u64)> {
    let flags = u32_at(trun, 0)?;
    let count = u32_at(trun, 4)?;
    ensure!(flags & 0x1 != 0, "a trun without a data offset");
    let mut data = moof + usize::try_from(u32_at(trun, 8)?)?;
    let mut at = 12 + if flags & 0x4 != 0 { 4 } else { 0 };
    let stride = 4 * (flags & 0xf00).count_ones() as usize;
    let before_size = if flags & 0x100 != 0 { 4 } else { 0 };
    let (mut samples, mut duration) = (Vec::new(), 0);
    for _ in 0..count {
        duration += u64::from(if flags & 0x100 != 0 { u32_at(trun, at)? } else { defaults.duration });
        let size = if flags & 0x200 != 0 { u32_at(trun, at + before_size)? } else { defaults.size };
        let sample = data..data + usize::try_from(size)?;
        ensure!(sample.end <= end, "a sample lies outside the part");
        data = sample.end;
        samples.push(sample);
        at += stride;
    }
    Ok((samples, duration))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).context("a box ends too early")?;
    Ok(u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_part_made_by_ovenmediaengine() {
        let part =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/20-video-part-2.body"));
        let fragment = fragment(part).unwrap();
        assert_eq!(fragment.samples.len(), 15);
        assert!(fragment.duration > 0);
        assert_eq!(fragment.samples.last().unwrap().end, part.len());
        assert!(fingerprint_length_prefixed(&part[fragment.samples[14].clone()]).is_some());
    }

    #[test]
    fn one_picture_has_one_fingerprint_in_both_framings() {
        let annex_b = [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 1, 2, 3, 0];
        let length_prefixed = [0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 4, 0x65, 1, 2, 3];
        assert_eq!(fingerprint_annex_b(&annex_b), fingerprint_length_prefixed(&length_prefixed));
        assert_ne!(fingerprint_annex_b(&annex_b), fingerprint_annex_b(&annex_b[..12]));
        assert_eq!(fingerprint_length_prefixed(&length_prefixed[..12]), None);
    }

    #[test]
    fn cut_parts_are_errors() {
        let part =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/20-video-part-2.body"));
        for end in 0..400 {
            assert!(fragment(&part[..end]).is_err());
        }
    }
}
