//! What a segment or part of CMAF says about its own time (ISO/IEC 14496-12), and nothing else of it.

/// One movie fragment of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// `mfhd`: its number.
    pub sequence: u32,
    /// `tfdt`: the decode time of its first sample, in ticks of the track.
    pub decode_time: u64,
    /// How long its samples last together, in ticks of the track.
    pub duration: u64,
    /// How long the last of them lasts.
    pub last: u64,
    /// Whether its first sample depends on no other; `None` if nothing is said about it.
    pub starts_with_sync: Option<bool>,
}

/// All movie fragments of a segment or part, in order; `None` if it holds none or cannot be read.
pub fn fragments(mut bytes: &[u8]) -> Option<Vec<Fragment>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (kind, body, rest) = split_box(bytes)?;
        if &kind == b"moof" {
            found.push(fragment(body)?);
        }
        bytes = rest;
    }
    (!found.is_empty()).then_some(found)
}

/// The ticks per second of the first track of an initialization section.
pub fn timescale(init: &[u8]) -> Option<u32> {
    let mdhd = child(child(child(child(init, b"moov")?, b"trak")?, b"mdia")?, b"mdhd")?;
    let at = if *mdhd.first()? == 0 { 12 } else { 20 };
    word(mdhd, at).filter(|timescale| *timescale > 0)
}

/// Whether the first track of an initialization section is video.
pub fn is_video(init: &[u8]) -> Option<bool> {
    let hdlr = child(child(child(child(init, b"moov")?, b"trak")?, b"mdia")?, b"hdlr")?;
    Some(hdlr.get(8..12)? == b"vide")
}

fn fragment(moof: &[u8]) -> Option<Fragment> {
    let traf = child(moof, b"traf")?;
    let (tfhd, tfdt, trun) = (child(traf, b"tfhd")?, child(traf, b"tfdt")?, child(traf, b"trun")?);
    let decode_time = match tfdt.first()? {
        0 => u64::from(word(tfdt, 4)?),
        _ => u64::from(word(tfdt, 4)?) << 32 | u64::from(word(tfdt, 8)?),
    };
    let defaults = Defaults::of(tfhd)?;
    let (duration, last) = durations(trun, defaults.duration)?;
    // Nothing that plays goes on for so long.
    decode_time.checked_add(duration)?;
    let sequence = child(moof, b"mfhd").and_then(|mfhd| word(mfhd, 4)).unwrap_or(0);
    let starts_with_sync = first_flags(trun, defaults.flags).map(|flags| flags & NON_SYNC == 0);
    Some(Fragment { sequence, decode_time, duration, last, starts_with_sync })
}

/// `sample_is_non_sync_sample` of a sample's flags.
const NON_SYNC: u32 = 0x0001_0000;

/// The durations of all samples together and of the last one, in ticks.
fn durations(trun: &[u8], default: u32) -> Option<(u64, u64)> {
    let (flags, count) = (word(trun, 0)?, word(trun, 4)?);
    if flags & 0x100 == 0 {
        let last = if count == 0 { 0 } else { default.into() };
        return Some((u64::from(count) * u64::from(default), last));
    }
    let (first, stride) = samples(flags);
    let (mut sum, mut last) = (0, 0);
    for sample in 0..count as usize {
        last = word(trun, first + sample * stride)?.into();
        sum += last;
    }
    Some((sum, last))
}

/// The flags of the first sample.
fn first_flags(trun: &[u8], default: Option<u32>) -> Option<u32> {
    let flags = word(trun, 0)?;
    if flags & 0x4 != 0 {
        return word(trun, 8 + if flags & 0x1 != 0 { 4 } else { 0 });
    }
    if flags & 0x400 == 0 {
        return default;
    }
    word(trun, samples(flags).0 + 4 * (flags & 0x300).count_ones() as usize)
}

/// Where the samples of a `trun` begin, and how far they are apart.
fn samples(flags: u32) -> (usize, usize) {
    (8 + 4 * (flags & 0x5).count_ones() as usize, 4 * (flags & 0xf00).count_ones() as usize)
}

/// What `tfhd` says about samples of which `trun` says nothing.
struct Defaults {
    duration: u32,
    flags: Option<u32>,
}

impl Defaults {
    fn of(tfhd: &[u8]) -> Option<Defaults> {
        let flags = word(tfhd, 0)?;
        let mut at = 8 + if flags & 0x1 != 0 { 8 } else { 0 } + if flags & 0x2 != 0 { 4 } else { 0 };
        let mut next = |bit| -> Option<Option<u32>> {
            if flags & bit == 0 {
                return Some(None);
            }
            at += 4;
            word(tfhd, at - 4).map(Some)
        };
        let (duration, _size, flags) = (next(0x8)?, next(0x10)?, next(0x20)?);
        Some(Defaults { duration: duration.unwrap_or(0), flags })
    }
}

/// The body of the first box of this kind.
fn child<'a>(mut boxes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let (kind, body, rest) = split_box(boxes)?;
        if &kind == wanted {
            return Some(body);
        }
        boxes = rest;
    }
}

/// The kind and body of the first box, and what follows it.
fn split_box(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let size = word(bytes, 0)? as usize;
    let (this, rest) = bytes.split_at_checked(size)?;
    Some((*this.get(4..)?.first_chunk()?, this.get(8..)?, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// Segments and initialization sections made by hand, for tests.
#[doc(hidden)]
pub mod made {
    fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&size[..], kind, body].concat()
    }

    /// A part of `count` samples of `duration` ticks, with `marks` as its media.
    pub fn part(start: u64, count: u32, duration: u32, marks: &[u8]) -> Vec<u8> {
        fragment(start, duration, &[0, count], marks)
    }

    /// A part of which it is said whether it begins with a key frame.
    pub fn video_part(start: u64, count: u32, duration: u32, sync: bool) -> Vec<u8> {
        let flags = if sync { 0x0200_0000 } else { super::NON_SYNC };
        fragment(start, duration, &[0x4, count, flags], b"picture")
    }

    fn fragment(start: u64, duration: u32, trun: &[u32], media: &[u8]) -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let tfdt = [&[1, 0, 0, 0][..], &start.to_be_bytes()].concat();
        let boxes = [
            mp4_box(b"tfhd", &words(&[0x0002_0008, 1, duration])),
            mp4_box(b"tfdt", &tfdt),
            mp4_box(b"trun", &words(trun)),
        ];
        let traf = mp4_box(b"traf", &boxes.concat());
        [mp4_box(b"moof", &traf), mp4_box(b"mdat", media)].concat()
    }

    /// An initialization section of one track, of video or of audio.
    pub fn init(timescale: u32, video: bool) -> Vec<u8> {
        let mdhd = [&[0; 12][..], &timescale.to_be_bytes(), &[0; 8]].concat();
        let hdlr = [&[0; 8][..], if video { b"vide" } else { b"soun" }, &[0; 13]].concat();
        let mdia = [mp4_box(b"mdhd", &mdhd), mp4_box(b"hdlr", &hdlr)].concat();
        let trak = mp4_box(b"trak", &mp4_box(b"mdia", &mdia));
        [mp4_box(b"ftyp", b"iso6"), mp4_box(b"moov", &trak)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_part_made_by_ovenmediaengine() {
        let part =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/20-video-part-2.body"));
        let init =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/14-video-init.body"));
        let timescale = u64::from(timescale(init).unwrap());
        let [only] = fragments(part).unwrap()[..] else { panic!("one fragment") };
        // The declared durations are those of RTMP's whole milliseconds.
        assert!((499..=501).contains(&(only.duration * 1_000 / timescale)), "{only:?}");
        assert!((33..=34).contains(&(only.last * 1_000 / timescale)), "{only:?}");
        assert_eq!(is_video(init), Some(true));
    }

    #[test]
    fn reads_what_is_declared_once_for_all_samples() {
        let both =
            [made::video_part(45_000, 15, 3_000, true), made::video_part(90_000, 2, 1, false)].concat();
        let found = fragments(&both).unwrap();
        let seen: Vec<_> = found.iter().map(|it| (it.decode_time, it.duration, it.last)).collect();
        assert_eq!(seen, [(45_000, 45_000, 3_000), (90_000, 2, 1)]);
        assert_eq!((found[0].starts_with_sync, found[1].starts_with_sync), (Some(true), Some(false)));
        assert_eq!(timescale(&made::init(48_000, false)), Some(48_000));
        assert_eq!(is_video(&made::init(48_000, false)), Some(false));
    }

    #[test]
    fn bytes_that_end_anywhere_do_not_panic() {
        let whole = [made::init(1, true), made::part(u64::MAX, u32::MAX, u32::MAX, b"x")].concat();
        for end in 0..whole.len() {
            let _ = (timescale(&whole[..end]), fragments(&whole[..end]));
            let _ = (timescale(&whole[end..]), fragments(&whole[end..]));
        }
    }
}
