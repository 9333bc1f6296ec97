//! A reader of fragmented MP4 for the viewer: what a decoder is told, when the samples of a fragment are, and whether
//! decoding can start there. It shares nothing with the writer in core.
//!
//! Source: ISO/IEC 14496-12, sections 8.8 (movie fragments) and 8.16; ISO/IEC 14496-15, section 5.3.3.1 (avcC);
//! ISO/IEC 14496-1, section 7.2.6 (esds).

use thiserror::Error;

/// Why a file could not be read: the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A box is longer than what holds it, or a field is cut off.
    #[error("a box or a field is cut off")]
    Truncated,
    /// A required box is missing.
    #[error("there is no {0} box")]
    Missing(&'static str),
    /// A sample's bytes are not in the file.
    #[error("a sample lies outside its fragment")]
    SampleOutside,
}

/// What a decoder has to know before the first sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Config {
    /// The parameter sets of H.264.
    Avc {
        /// Sequence parameter sets.
        sps: Vec<Vec<u8>>,
        /// Picture parameter sets.
        pps: Vec<Vec<u8>>,
    },
    /// AudioSpecificConfig.
    Aac(Vec<u8>),
    /// None, or one of another codec.
    #[default]
    Unknown,
}

/// What an initialization segment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Ticks per second.
    pub timescale: u32,
    /// What its decoder is told.
    pub config: Config,
    default_duration: u32,
    default_size: u32,
    default_flags: u32,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it is decoded, in ticks.
    pub dts: u64,
    /// How much later it is presented, in ticks.
    pub composition: i64,
    /// How long it lasts, in ticks.
    pub duration: u32,
    /// Whether decoding can start here.
    pub sync: bool,
    /// Where its bytes begin in the file.
    pub offset: usize,
    /// How many they are.
    pub size: usize,
}

impl Init {
    /// Reads an initialization segment with one track.
    pub fn parse(file: &[u8]) -> Result<Init, Error> {
        let moov = find(file, "moov")?;
        let mdia = find(find(moov, "trak")?, "mdia")?;
        let mdhd = find(mdia, "mdhd")?;
        let timescale = if u8_at(mdhd, 0)? == 1 { u32_at(mdhd, 20)? } else { u32_at(mdhd, 12)? };
        let trex = find(find(moov, "mvex")?, "trex")?;
        if timescale == 0 {
            return Err(Error::Missing("mdhd"));
        }
        Ok(Init {
            timescale,
            config: config(mdia)?,
            default_duration: u32_at(trex, 12)?,
            default_size: u32_at(trex, 16)?,
            default_flags: u32_at(trex, 20)?,
        })
    }

    /// Every sample of a part or segment, in order: it holds one or more movie fragments of one track.
    pub fn samples(&self, file: &[u8]) -> Result<Vec<Sample>, Error> {
        let mut samples = Vec::new();
        let mut at = 0;
        let mut fragments = 0;
        while let Some((kind, body, next)) = next_box(file, at)? {
            if kind == *b"moof" {
                fragments += 1;
                self.fragment(file, at, body, &mut samples)?;
            }
            at = next;
        }
        if fragments == 0 { Err(Error::Missing("moof")) } else { Ok(samples) }
    }

    fn fragment(&self, file: &[u8], start: usize, moof: &[u8], out: &mut Vec<Sample>) -> Result<(), Error> {
        let traf = find(moof, "traf")?;
        let tfhd = Fields::of(find(traf, "tfhd")?)?;
        let mut fields = tfhd;
        fields.skip(4);
        let base = if tfhd.has(0x01) { usize_of(fields.u64()?)? } else { start };
        if tfhd.has(0x02) {
            fields.skip(4);
        }
        let duration = if tfhd.has(0x08) { fields.u32()? } else { self.default_duration };
        let size = if tfhd.has(0x10) { fields.u32()? } else { self.default_size };
        let flags = if tfhd.has(0x20) { fields.u32()? } else { self.default_flags };

        let tfdt = find(traf, "tfdt")?;
        let mut dts = if u8_at(tfdt, 0)? == 1 { u64_at(tfdt, 4)? } else { u64::from(u32_at(tfdt, 4)?) };

        let mut run = Fields::of(find(traf, "trun")?)?;
        let count = run.u32()?;
        let mut offset = base;
        if run.has(0x01) {
            offset = base.wrapping_add_signed(run.u32()?.cast_signed() as isize);
        }
        let first_flags = if run.has(0x04) { Some(run.u32()?) } else { None };
        for index in 0..count {
            let duration = if run.has(0x100) { run.u32()? } else { duration };
            let size = if run.has(0x200) { run.u32()? } else { size } as usize;
            let flags =
                if run.has(0x400) { run.u32()? } else { first_flags.filter(|_| index == 0).unwrap_or(flags) };
            let composition = match (run.has(0x800), run.version) {
                (false, _) => 0,
                (true, 0) => i64::from(run.u32()?),
                (true, _) => i64::from(run.u32()?.cast_signed()),
            };
            if offset.checked_add(size).is_none_or(|end| end > file.len()) {
                return Err(Error::SampleOutside);
            }
            out.push(Sample { dts, composition, duration, sync: flags & NON_SYNC == 0, offset, size });
            dts = dts.saturating_add(u64::from(duration));
            offset += size;
        }
        Ok(())
    }
}

/// A full box: its flags, and its fields one after the other.
#[derive(Clone, Copy)]
struct Fields<'a> {
    version: u8,
    flags: u32,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(full_box: &'a [u8]) -> Result<Fields<'a>, Error> {
        let flags = u32_at(full_box, 0)? & 0x00ff_ffff;
        Ok(Fields { version: full_box[0], flags, rest: &full_box[4..] })
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or(&[]);
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let value = u32_at(self.rest, 0)?;
        self.skip(4);
        Ok(value)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        let value = u64_at(self.rest, 0)?;
        self.skip(8);
        Ok(value)
    }
}

/// The decoder configuration of the first sample entry of a track.
fn config(mdia: &[u8]) -> Result<Config, Error> {
    let stsd =
        match find(mdia, "minf").and_then(|minf| find(minf, "stbl")).and_then(|stbl| find(stbl, "stsd")) {
            Err(Error::Missing(_)) => return Ok(Config::Unknown),
            found => found?,
        };
    let Some((kind, entry, _)) = next_box(stsd, 8)? else { return Ok(Config::Unknown) };
    let children = |fields: usize| entry.get(fields..).ok_or(Error::Truncated);
    match &kind {
        b"avc1" | b"avc3" => avc(find(children(78)?, "avcC")?),
        b"mp4a" => Ok(Config::Aac(specific_config(find(children(28)?, "esds")?)?.to_vec())),
        _ => Ok(Config::Unknown),
    }
}

/// An AVCDecoderConfigurationRecord.
pub(crate) fn avc(record: &[u8]) -> Result<Config, Error> {
    let mut rest = record.get(5..).ok_or(Error::Truncated)?;
    let sps = parameter_sets(&mut rest, 0x1f)?;
    let pps = parameter_sets(&mut rest, 0xff)?;
    Ok(Config::Avc { sps, pps })
}

fn parameter_sets(rest: &mut &[u8], count_mask: u8) -> Result<Vec<Vec<u8>>, Error> {
    let count = u8_at(rest, 0)? & count_mask;
    *rest = &rest[1..];
    let mut sets = Vec::new();
    for _ in 0..count {
        let len = usize::from(u8_at(rest, 0)?) << 8 | usize::from(u8_at(rest, 1)?);
        sets.push(rest.get(2..2 + len).ok_or(Error::Truncated)?.to_vec());
        *rest = &rest[2 + len..];
    }
    Ok(sets)
}

/// The DecoderSpecificInfo inside a DecoderConfigDescriptor inside an ES_Descriptor.
fn specific_config(esds: &[u8]) -> Result<&[u8], Error> {
    let mut rest = esds.get(4..).ok_or(Error::Truncated)?;
    for (tag, fields) in [(3, 3), (4, 13)] {
        rest = descriptor(rest, tag)?.get(fields..).ok_or(Error::Truncated)?;
    }
    descriptor(rest, 5)
}

/// The body of a descriptor with this tag; its length is written in groups of seven bits.
fn descriptor(data: &[u8], tag: u8) -> Result<&[u8], Error> {
    if u8_at(data, 0)? != tag {
        return Err(Error::Missing("esds"));
    }
    let (mut len, mut at) = (0_usize, 1);
    loop {
        let byte = u8_at(data, at)?;
        len = len << 7 | usize::from(byte & 0x7f);
        at += 1;
        if byte & 0x80 == 0 {
            return data.get(at..at + len).ok_or(Error::Truncated);
        }
        if at > 5 {
            return Err(Error::Truncated);
        }
    }
}

type Found<'a> = Option<([u8; 4], &'a [u8], usize)>;

/// The box at `at`: its type, its body, and where the next one begins.
fn next_box(data: &[u8], at: usize) -> Result<Found<'_>, Error> {
    if at >= data.len() {
        return Ok(None);
    }
    let rest = &data[at..];
    let kind = rest.get(4..8).and_then(|kind| kind.try_into().ok()).ok_or(Error::Truncated)?;
    let (header, size) = match u32_at(rest, 0)? {
        0 => (8, rest.len()),
        1 => (16, usize_of(u64_at(rest, 8)?)?),
        size => (8, size as usize),
    };
    let body = rest.get(header..size).ok_or(Error::Truncated)?;
    Ok(Some((kind, body, at + size)))
}

fn find<'a>(data: &'a [u8], name: &'static str) -> Result<&'a [u8], Error> {
    let mut at = 0;
    while let Some((kind, body, next)) = next_box(data, at)? {
        if kind == name.as_bytes() {
            return Ok(body);
        }
        at = next;
    }
    Err(Error::Missing(name))
}

fn u8_at(data: &[u8], at: usize) -> Result<u8, Error> {
    data.get(at).copied().ok_or(Error::Truncated)
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, Error> {
    let bytes = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(Error::Truncated)
}

fn u64_at(data: &[u8], at: usize) -> Result<u64, Error> {
    let bytes = data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or(Error::Truncated)
}

fn usize_of(value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| Error::Truncated)
}

/// sample_is_non_sync_sample (ISO/IEC 14496-12, section 8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(name: &str) -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/ome-llhls/");
        std::fs::read(format!("{path}{name}")).unwrap()
    }

    #[test]
    fn reads_captured_video() {
        let init = Init::parse(&captured("14-video-init.body")).unwrap();
        assert_eq!(init.timescale, 1_000);
        let Config::Avc { sps, pps } = &init.config else { panic!("{:?}", init.config) };
        assert_eq!((sps.len(), pps.len()), (1, 1));
        assert_eq!(sps[0][..4], [0x67, 0x42, 0xc0, 0x1e]);
        let file = captured("20-video-part-2.body");
        let samples = init.samples(&file).unwrap();
        assert_eq!(samples.len(), 15);
        assert_eq!(samples[0].dts, 54_021);
        assert!(samples[0].sync && !samples[1].sync);
        assert_eq!(samples.iter().map(|sample| sample.size).sum::<usize>(), 36_007);
        let last = samples.last().unwrap();
        assert_eq!(last.offset + last.size, file.len());
    }

    #[test]
    fn reads_captured_audio() {
        let init = Init::parse(&captured("34-audio-init.body")).unwrap();
        assert_eq!(init.config, Config::Aac(vec![0x11, 0x88, 0x56, 0xe5, 0x00]));
        let samples = init.samples(&captured("38-audio-part-0.body")).unwrap();
        assert_eq!(samples.len(), 23);
        assert_eq!(samples.iter().map(|sample| sample.duration).sum::<u32>(), 490);
    }

    #[test]
    fn cut_files_are_errors() {
        let init = Init::parse(&captured("14-video-init.body")).unwrap();
        let file = captured("20-video-part-2.body");
        for len in 0..file.len().min(400) {
            assert!(init.samples(&file[..len]).is_err(), "{len}");
        }
        let file = captured("14-video-init.body");
        for len in 0..file.len() {
            assert!(Init::parse(&file[..len]).is_err(), "{len}");
        }
    }
}
