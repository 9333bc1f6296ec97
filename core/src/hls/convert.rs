//! From the normal form of packets to what fragmented MP4 stores: init sections and sample payloads.

use core::time::Duration;

use bytes::Bytes;

use super::names;
use crate::media::aac::{AacConfig, AdtsFrame};
use crate::media::h264::{self, AvcConfig, Sps};
use crate::media::h265::{self, HevcConfig};
use crate::media::{Codec, Kind, Packet, Timebase, Track, annexb};
use crate::wire::fmp4::{self, Payload, Sample, SampleEntry};
use crate::wire::mpegts::Coding;

/// How a track's samples are coded, and the init section that says so.
#[derive(Clone, Debug)]
pub(super) struct Format {
    config: Config,
    /// The init section.
    pub(super) init: Bytes,
    /// The key in the init section's name.
    pub(super) init_key: String,
    /// Ticks per second of the samples.
    pub(super) timescale: u32,
    /// The RFC 6381 name.
    pub(super) codec: String,
    /// Pixels across and down; zeros for audio.
    pub(super) size: (u32, u32),
    /// Frames per second, if the parameter sets tell.
    pub(super) framerate: Option<f64>,
    /// Channels; 0 for video.
    pub(super) channels: u16,
}

#[derive(Clone, Debug)]
enum Config {
    Avc(AvcConfig),
    Hevc(HevcConfig),
    Aac(AacConfig, Bytes),
}

impl Format {
    /// The format in the track's decoder configuration, or why there is none.
    pub(super) fn of_track(track: &Track, stream_key: &str) -> Result<Format, String> {
        let record = track.config.as_ref().ok_or("it has no decoder configuration")?;
        let config = match track.codec {
            Codec::H264 => Config::Avc(AvcConfig::parse(record).map_err(|error| error.to_string())?),
            Codec::H265 => Config::Hevc(HevcConfig::parse(record).map_err(|error| error.to_string())?),
            _ => {
                let config = AacConfig::parse(record).map_err(|error| error.to_string())?;
                Config::Aac(config, record.clone())
            }
        };
        Format::new(config, track, stream_key)
    }

    /// The format in the headers of a packet that decoding can start with.
    pub(super) fn of_packet(packet: &Packet, track: &Track, stream_key: &str) -> Result<Format, String> {
        let units = annexb::nal_slices(&packet.data);
        let config = match track.codec {
            Codec::H264 => Config::Avc(AvcConfig::from_units(units).ok_or("there is no SPS or no PPS")?),
            Codec::H265 => Config::Hevc(HevcConfig::from_units(units).map_err(|error| error.to_string())?),
            _ => {
                let frame = AdtsFrame::parse(&packet.data).map_err(|error| error.to_string())?;
                Config::Aac(frame.config, frame.config.record())
            }
        };
        Format::new(config, track, stream_key)
    }

    fn new(config: Config, track: &Track, stream_key: &str) -> Result<Format, String> {
        let declared = (track.video.width, track.video.height);
        let (mut size, mut framerate, mut channels) = ((0, 0), None, 0);
        let mut timescale = video_timescale(track.timebase);
        let (entry, codec) = match &config {
            Config::Avc(avc) => {
                let record = avc.record().map_err(|error| error.to_string())?;
                let sps = Sps::parse(&avc.sps[0]).map_err(|error| error.to_string())?;
                size = (sps.width, sps.height);
                framerate = sps.framerate.map(|(num, den)| f64::from(num) / f64::from(den));
                (SampleEntry::Avc1 { record, size: entry_size(size) }, avc.codec_string())
            }
            Config::Hevc(hevc) => {
                let record = hevc.record().map_err(|error| error.to_string())?;
                size = hevc.dimensions().unwrap_or(declared);
                (SampleEntry::Hvc1 { record, size: entry_size(size) }, hevc.codec_string())
            }
            Config::Aac(aac, record) => {
                channels = match aac.channels() {
                    0 => u16::try_from(track.audio.channels).unwrap_or(2),
                    channels => channels,
                };
                timescale = aac.rate;
                (SampleEntry::Mp4a { config: record.clone(), channels, rate: aac.rate }, aac.codec_string())
            }
        };
        let init = fmp4::init_section(&entry, timescale);
        let init_key = names::init_key(stream_key, &init);
        Ok(Format { config, init, init_key, timescale, codec, size, framerate, channels })
    }

    /// The payload of a packet as a sample, or `None` if there is nothing in it to decode. Parameter sets that are
    /// in the init section are left out, and so are delimiters and filler.
    pub(super) fn payload(&self, packet: &Packet) -> Option<Payload> {
        let units = annexb::nal_slices(&packet.data);
        let units: Vec<Bytes> = match &self.config {
            Config::Avc(avc) => units
                .filter(|unit| match h264::nal_type(unit) {
                    h264::NAL_AUD | h264::NAL_FILLER => false,
                    h264::NAL_SPS | h264::NAL_PPS => !avc.contains(unit),
                    _ => true,
                })
                .collect(),
            Config::Hevc(hevc) => units
                .filter(|unit| match h265::nal_type(unit) {
                    h265::NAL_AUD | h265::NAL_FILLER => false,
                    h265::NAL_VPS..=h265::NAL_PPS => !hevc.contains(unit),
                    _ => true,
                })
                .collect(),
            Config::Aac(..) => {
                return AdtsFrame::parse(&packet.data).ok().map(|frame| Payload::Frame(frame.raw));
            }
        };
        (!units.is_empty()).then_some(Payload::NalUnits(units))
    }

    /// How the track is coded in a transport stream.
    pub(super) fn coding(&self) -> Coding {
        match self.config {
            Config::Avc(_) => Coding::H264,
            Config::Hevc(_) => Coding::H265,
            Config::Aac(..) => Coding::Aac,
        }
    }

    /// A sample as a transport stream has it, in pieces: Annex B with a delimiter and, where decoding can start, all
    /// parameter sets; or ADTS. `None` if that cannot say it.
    pub(super) fn elementary(&self, sample: &Sample) -> Option<Vec<Bytes>> {
        let before = match &self.config {
            Config::Avc(avc) => {
                let sets = avc.sps.iter().chain(&avc.pps).map(|set| &set[..]).filter(|_| sample.sync);
                annexb::from_nal_units(core::iter::once(&AUD_H264[..]).chain(sets))
            }
            Config::Hevc(hevc) => {
                let sets = hevc.parameter_sets().filter(|_| sample.sync);
                annexb::from_nal_units(core::iter::once(&AUD_H265[..]).chain(sets))
            }
            Config::Aac(aac, _) => {
                let Payload::Frame(raw) = &sample.payload else { return None };
                return aac.adts(raw).ok().map(|frame| vec![frame]);
            }
        };
        let Payload::NalUnits(units) = &sample.payload else { return None };
        let units = units.iter().flat_map(|unit| [Bytes::from_static(START_CODE), unit.clone()]);
        Some(core::iter::once(before).chain(units).collect())
    }
}

/// Access-unit delimiters that allow for every kind of picture.
const AUD_H264: [u8; 2] = [h264::NAL_AUD, 0xf0];
const AUD_H265: [u8; 3] = [h265::NAL_AUD << 1, 1, 0x50];
const START_CODE: &[u8] = &[0, 0, 0, 1];

/// The timescale of a video track: 90000 if that says the timebase exactly, else the timebase's own.
fn video_timescale(base: Timebase) -> u32 {
    if base.num() == 1 && 90_000 % base.den() != 0 && base.den() <= 10_000_000 { base.den() } else { 90_000 }
}

fn entry_size((width, height): (u32, u32)) -> (u16, u16) {
    (u16::try_from(width).unwrap_or(0), u16::try_from(height).unwrap_or(0))
}

/// Frames per second of a video track, if they are known and sane.
pub(super) fn framerate(track: &Track, format: Option<&Format>) -> Option<f64> {
    let declared = (track.video.framerate > 0.0).then_some(track.video.framerate);
    declared.or_else(|| format?.framerate).filter(|rate| (1.0..=1_000.0).contains(rate))
}

/// PART-TARGET in whole milliseconds, said in microseconds: the chunk duration rounded to whole frames, and up to
/// whole milliseconds (reference: LL-HLS section 3). A timebase of milliseconds lets parts vary by one.
pub(super) fn part_target_us(track: &Track, format: Option<&Format>, chunk: Duration) -> i64 {
    let chunk_s = chunk.as_secs_f64();
    let rate = match track.kind {
        Kind::Audio => {
            let rate = format.map_or(track.audio.samplerate, |format| format.timescale);
            Some(
                f64::from(if rate == 0 { 48_000 } else { rate })
                    / f64::from(crate::media::aac::FRAME_SAMPLES),
            )
        }
        _ => framerate(track, format),
    };
    let target_ms = match rate {
        None => chunk_s * 1_000.0,
        Some(rate) => {
            let (exact, nearest) = (chunk_s * rate, (chunk_s * rate).round());
            let near = track.kind == Kind::Audio || (nearest - exact).abs() <= exact * 0.01;
            let frames = if near { nearest } else { exact.floor() };
            frames.max(1.0) * 1_000.0 / rate
        }
    };
    let jitter_ms = if track.timebase.den() / track.timebase.num() < 10_000 { 1 } else { 0 };
    // The subtrahend keeps 500 ms at 500 ms when a fraction is not exact in binary.
    ((target_ms - 1e-6).ceil().clamp(1.0, 60_000.0) as i64 + jitter_ms) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioFormat, TrackId, VideoFormat};

    fn track(kind: Kind, rate: f64, timebase: Timebase) -> Track {
        Track {
            id: TrackId(0),
            kind,
            codec: if kind == Kind::Video { Codec::H264 } else { Codec::Aac },
            timebase,
            name: String::new(),
            bitrate: 0,
            video: VideoFormat {
                framerate: if kind == Kind::Video { rate } else { 0.0 },
                ..Default::default()
            },
            audio: AudioFormat { samplerate: rate as u32, ..Default::default() },
            config: None,
        }
    }

    #[test]
    fn part_targets_are_whole_frames() {
        let target = |kind, rate, base| {
            part_target_us(&track(kind, rate, base), None, Duration::from_millis(500)) / 1_000
        };
        assert_eq!(target(Kind::Audio, 48_000.0, Timebase::hertz(48_000)), 491);
        assert_eq!(target(Kind::Video, 30.0, Timebase::MPEG), 500);
        assert_eq!(target(Kind::Video, 30_000.0 / 1_001.0, Timebase::MPEG), 501);
        assert_eq!(target(Kind::Video, 25.0, Timebase::MPEG), 480);
        assert_eq!(target(Kind::Video, 0.0, Timebase::MPEG), 500);
        assert_eq!(target(Kind::Video, 30.0, Timebase::MILLIS), 501);
        assert_eq!(target(Kind::Video, 1.0, Timebase::MPEG), 1_000);
    }
}
