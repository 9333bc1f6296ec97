//! Fragmented MP4 as CMAF wants it: an init section with one track, and media parts of one movie fragment each.
//!
//! Sources: ISO/IEC 14496-12 (boxes), 14496-14 and -15 (sample entries), 23000-19 (CMAF). Everything written is a
//! function of the arguments: no creation times, no counters. This module knows nothing of segments or playlists.

use bytes::{BufMut, Bytes, BytesMut};

/// The number of the one track in every init section and part.
const TRACK_NUMBER: u32 = 1;
/// Sample flags: depends on no other sample.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, and is no sync sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;

/// How the samples of a track are coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleEntry {
    /// H.264: `avc1` with an AVCDecoderConfigurationRecord.
    Avc1 {
        /// The record.
        record: Bytes,
        /// Pixels across and down.
        size: (u16, u16),
    },
    /// H.265: `hvc1` with an HEVCDecoderConfigurationRecord.
    Hvc1 {
        /// The record.
        record: Bytes,
        /// Pixels across and down.
        size: (u16, u16),
    },
    /// AAC: `mp4a` with an AudioSpecificConfig.
    Mp4a {
        /// The AudioSpecificConfig; longer than 100 bytes it is cut.
        config: Bytes,
        /// Channels.
        channels: u16,
        /// Samples per second.
        rate: u32,
    },
}

/// One sample of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In ticks of the track's timescale.
    pub duration: u32,
    /// Whether decoding can start here.
    pub sync: bool,
    /// Presentation minus decoding time, in ticks; may be negative.
    pub composition_offset: i32,
    /// What it holds.
    pub payload: Payload,
}

/// The bytes of a sample, in pieces of memory that is shared with whoever parsed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// As it is.
    Frame(Bytes),
    /// NAL units; each is written behind its length in four bytes.
    NalUnits(Vec<Bytes>),
}

impl Payload {
    /// The length of the sample in bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Frame(frame) => frame.len(),
            Payload::NalUnits(units) => units.iter().map(|unit| unit.len() + 4).sum(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Payload::Frame(frame) => out.put_slice(frame),
            Payload::NalUnits(units) => {
                for unit in units {
                    out.put_u32(unit.len() as u32);
                    out.put_slice(unit);
                }
            }
        }
    }
}

/// The init section: `ftyp` and `moov`, with times of 64 bits that are all zero.
pub fn init_section(entry: &SampleEntry, timescale: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(1_024);
    boxed(&mut out, b"ftyp", |out| {
        out.put_slice(b"iso6\0\0\0\0iso6mp41cmfcdashhlsf");
    });
    boxed(&mut out, b"moov", |out| {
        full_box(out, b"mvhd", 1, 0, |out| {
            out.put_bytes(0, 16);
            out.put_u32(timescale);
            out.put_u64(0);
            out.put_u32(0x0001_0000); // rate 1.0
            out.put_u16(0x0100); // volume 1.0
            out.put_bytes(0, 10);
            put_unity_matrix(out);
            out.put_bytes(0, 24);
            out.put_u32(TRACK_NUMBER + 1);
        });
        boxed(out, b"trak", |out| put_track(out, entry, timescale));
        boxed(out, b"mvex", |out| {
            full_box(out, b"trex", 0, 0, |out| {
                for field in [TRACK_NUMBER, 1, 0, 0, 0] {
                    out.put_u32(field);
                }
            });
        });
    });
    out.freeze()
}

/// A media part: `moof` and `mdat`. `decode_time` is that of the first sample, in ticks; `sequence` is written as
/// it is. All in one piece of memory, allocated once.
pub fn part(sequence: u32, decode_time: u64, samples: &[Sample]) -> Bytes {
    const MOOF_FIXED: usize = 8 + 16 + 8 + 16 + 20 + 20;
    let moof_len = MOOF_FIXED + samples.len() * 16;
    let media_len: usize = samples.iter().map(|sample| sample.payload.len()).sum();
    let mut out = BytesMut::with_capacity(moof_len + 8 + media_len);
    boxed(&mut out, b"moof", |out| {
        full_box(out, b"mfhd", 0, 0, |out| out.put_u32(sequence));
        boxed(out, b"traf", |out| {
            // default-base-is-moof
            full_box(out, b"tfhd", 0, 0x02_0000, |out| out.put_u32(TRACK_NUMBER));
            full_box(out, b"tfdt", 1, 0, |out| out.put_u64(decode_time));
            // data offset, and per sample: duration, size, flags, composition offset
            full_box(out, b"trun", 1, 0x0f01, |out| {
                out.put_u32(samples.len() as u32);
                out.put_u32((moof_len + 8) as u32);
                for sample in samples {
                    out.put_u32(sample.duration);
                    out.put_u32(sample.payload.len() as u32);
                    out.put_u32(if sample.sync { FLAGS_SYNC } else { FLAGS_NON_SYNC });
                    out.put_i32(sample.composition_offset);
                }
            });
        });
    });
    debug_assert_eq!(out.len(), moof_len, "the data offset was computed from this length");
    boxed(&mut out, b"mdat", |out| {
        for sample in samples {
            sample.payload.write(out);
        }
    });
    out.freeze()
}

/// Writes a box around what `content` writes.
fn boxed(out: &mut BytesMut, name: &[u8; 4], content: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(name);
    content(out);
    let len = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn full_box(
    out: &mut BytesMut,
    name: &[u8; 4],
    version: u8,
    flags: u32,
    content: impl FnOnce(&mut BytesMut),
) {
    boxed(out, name, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        content(out);
    });
}

fn put_unity_matrix(out: &mut BytesMut) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        out.put_u32(value);
    }
}

fn put_track(out: &mut BytesMut, entry: &SampleEntry, timescale: u32) {
    let (handler, volume, (width, height)) = match entry {
        SampleEntry::Avc1 { size, .. } | SampleEntry::Hvc1 { size, .. } => (b"vide", 0, *size),
        SampleEntry::Mp4a { .. } => (b"soun", 0x0100, (0, 0)),
    };
    // enabled, in movie
    full_box(out, b"tkhd", 1, 3, |out| {
        out.put_bytes(0, 16);
        out.put_u32(TRACK_NUMBER);
        out.put_bytes(0, 4 + 8 + 8 + 4);
        out.put_u16(volume);
        out.put_u16(0);
        put_unity_matrix(out);
        out.put_u32(u32::from(width) << 16);
        out.put_u32(u32::from(height) << 16);
    });
    boxed(out, b"mdia", |out| {
        full_box(out, b"mdhd", 1, 0, |out| {
            out.put_bytes(0, 16);
            out.put_u32(timescale);
            out.put_u64(0);
            out.put_u16(0x55c4); // "und"
            out.put_u16(0);
        });
        full_box(out, b"hdlr", 0, 0, |out| {
            out.put_u32(0);
            out.put_slice(handler);
            out.put_bytes(0, 12);
            out.put_slice(if handler == b"vide" { b"Video\0" } else { b"Audio\0" });
        });
        boxed(out, b"minf", |out| put_media_information(out, entry));
    });
}

fn put_media_information(out: &mut BytesMut, entry: &SampleEntry) {
    match entry {
        SampleEntry::Mp4a { .. } => full_box(out, b"smhd", 0, 0, |out| out.put_u32(0)),
        _ => full_box(out, b"vmhd", 0, 1, |out| out.put_u64(0)),
    }
    boxed(out, b"dinf", |out| {
        full_box(out, b"dref", 0, 0, |out| {
            out.put_u32(1);
            full_box(out, b"url ", 0, 1, |_| ());
        });
    });
    boxed(out, b"stbl", |out| {
        full_box(out, b"stsd", 0, 0, |out| {
            out.put_u32(1);
            put_sample_entry(out, entry);
        });
        full_box(out, b"stts", 0, 0, |out| out.put_u32(0));
        full_box(out, b"stsc", 0, 0, |out| out.put_u32(0));
        full_box(out, b"stsz", 0, 0, |out| out.put_u64(0));
        full_box(out, b"stco", 0, 0, |out| out.put_u32(0));
    });
}

fn put_sample_entry(out: &mut BytesMut, entry: &SampleEntry) {
    match entry {
        SampleEntry::Avc1 { record, size } => put_video_entry(out, b"avc1", b"avcC", record, *size),
        SampleEntry::Hvc1 { record, size } => put_video_entry(out, b"hvc1", b"hvcC", record, *size),
        SampleEntry::Mp4a { config, channels, rate } => boxed(out, b"mp4a", |out| {
            out.put_bytes(0, 6);
            out.put_u16(1); // data reference
            out.put_u64(0);
            out.put_u16(*channels);
            out.put_u16(16);
            out.put_u32(0);
            // A rate beyond 16 bits is told by the AudioSpecificConfig alone.
            out.put_u32(u32::from(u16::try_from(*rate).unwrap_or(0)) << 16);
            put_esds(out, &config[..config.len().min(100)]);
        }),
    }
}

fn put_video_entry(
    out: &mut BytesMut,
    name: &[u8; 4],
    config_name: &[u8; 4],
    record: &[u8],
    (width, height): (u16, u16),
) {
    boxed(out, name, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data reference
        out.put_bytes(0, 16);
        out.put_u16(width);
        out.put_u16(height);
        out.put_u32(0x0048_0000); // 72 dpi
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1); // frames per sample
        out.put_bytes(0, 32); // compressor name
        out.put_u16(0x0018);
        out.put_i16(-1);
        boxed(out, config_name, |out| out.put_slice(record));
    });
}

/// The elementary stream descriptor (ISO/IEC 14496-1); `config` is at most 100 bytes, so every length is one byte.
fn put_esds(out: &mut BytesMut, config: &[u8]) {
    let specific = config.len() as u8;
    full_box(out, b"esds", 0, 0, |out| {
        out.put_slice(&[3, 3 + (2 + 13 + 2 + specific) + 3, 0, 1, 0]);
        // MPEG-4 audio; buffer size and bit rates are unknown.
        out.put_slice(&[4, 13 + 2 + specific, 0x40, 0x15]);
        out.put_bytes(0, 11);
        out.put_slice(&[5, specific]);
        out.put_slice(config);
        out.put_slice(&[6, 1, 2]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shiguredo_mp4::boxes::{MoofBox, MoovBox};
    use shiguredo_mp4::{BoxHeader, Decode};

    /// Splits top-level boxes.
    fn boxes(mut data: &[u8]) -> Vec<(BoxHeader, &[u8])> {
        let mut all = Vec::new();
        while !data.is_empty() {
            let (header, _) = BoxHeader::decode(data).unwrap();
            let len = u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
            all.push((header, &data[..len]));
            data = &data[len..];
        }
        all
    }

    #[test]
    fn another_parser_reads_the_init_sections() {
        let record = Bytes::from_static(&[
            1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 1, 0x68,
        ]);
        let audio = SampleEntry::Mp4a {
            config: Bytes::from_static(&[0x11, 0x88, 0x56, 0xe5, 0]),
            channels: 1,
            rate: 48_000,
        };
        for entry in [SampleEntry::Avc1 { record, size: (640, 360) }, audio] {
            let init = init_section(&entry, 90_000);
            let moov = boxes(&init)[1].1;
            let (moov, len) = MoovBox::decode(moov).unwrap();
            assert_eq!(len, init.len() - 36);
            assert_eq!(moov.trak_boxes.len(), 1);
            assert_eq!(moov.trak_boxes[0].mdia_box.mdhd_box.timescale.get(), 90_000);
        }
    }

    proptest! {
        #[test]
        fn another_parser_reads_the_parts(
            sequence: u32,
            decode_time: u64,
            samples in proptest::collection::vec((1u32..10_000, any::<bool>(), -9_000i32..9_000, 0usize..40), 0..9),
        ) {
            let samples: Vec<Sample> = samples
                .into_iter()
                .map(|(duration, sync, composition_offset, len)| Sample {
                    duration,
                    sync,
                    composition_offset,
                    payload: match sync {
                        true => Payload::Frame(Bytes::from(vec![7; len])),
                        false => Payload::NalUnits(vec![Bytes::from(vec![7; len]); 2]),
                    },
                })
                .collect();
            let bytes = part(sequence, decode_time, &samples);
            let boxes = boxes(&bytes);
            let (moof, _) = MoofBox::decode(boxes[0].1).unwrap();
            prop_assert_eq!(moof.mfhd_box.sequence_number, sequence);
            let traf = &moof.traf_boxes[0];
            prop_assert_eq!(traf.tfdt_box.as_ref().unwrap().base_media_decode_time, decode_time);
            let trun = &traf.trun_boxes[0];
            prop_assert_eq!(trun.data_offset, Some(boxes[0].1.len() as i32 + 8));
            prop_assert_eq!(trun.samples.len(), samples.len());
            for (read, written) in trun.samples.iter().zip(&samples) {
                prop_assert_eq!(read.duration, Some(written.duration));
                prop_assert_eq!(read.size, Some(written.payload.len() as u32));
                prop_assert_eq!(read.composition_time_offset, Some(i64::from(written.composition_offset)));
            }
            let media: usize = samples.iter().map(|sample| sample.payload.len()).sum();
            prop_assert_eq!(boxes[1].1.len(), media + 8);
        }
    }
}
