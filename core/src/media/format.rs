//! What a key frame says of its own format.

use bytes::Bytes;

use super::h264::{self, AvcConfig, Sps};
use super::h265::{self, HevcConfig};
use super::{Codec, Packet, Track, annexb};

/// The track as the parameter sets in `packet` describe it, if they are not those of its decoder configuration.
/// `None` for codecs without parameter sets, for packets that carry none, and for sets that cannot be read.
pub fn changed_format(track: &Track, packet: &Packet) -> Option<Track> {
    match track.codec {
        Codec::H264 => changed_h264(track, &packet.data),
        Codec::H265 => changed_h265(track, &packet.data),
        _ => None,
    }
}

fn changed_h264(track: &Track, data: &Bytes) -> Option<Track> {
    let is_set = |unit: &Bytes| matches!(h264::nal_type(unit), h264::NAL_SPS | h264::NAL_PPS);
    let sets: Vec<Bytes> = annexb::nal_slices(data).filter(is_set).collect();
    let known = track.config.as_ref().and_then(|record| AvcConfig::parse(record).ok());
    if sets.is_empty() || known.is_some_and(|known| sets.iter().all(|unit| known.contains(unit))) {
        return None;
    }
    let sps = sets.iter().find(|unit| h264::nal_type(unit) == h264::NAL_SPS)?;
    let sps = Sps::parse(sps).ok()?;
    let record = AvcConfig::from_units(sets)?.record().ok()?;
    Some(described(track, record, (sps.width, sps.height)))
}

fn changed_h265(track: &Track, data: &Bytes) -> Option<Track> {
    let is_set = |unit: &Bytes| matches!(h265::nal_type(unit), h265::NAL_VPS | h265::NAL_SPS | h265::NAL_PPS);
    let sets: Vec<Bytes> = annexb::nal_slices(data).filter(is_set).collect();
    let known = track.config.as_ref().and_then(|record| HevcConfig::parse(record).ok());
    if sets.is_empty() || known.is_some_and(|known| sets.iter().all(|unit| known.contains(unit))) {
        return None;
    }
    let config = HevcConfig::from_units(sets).ok()?;
    let size = config.dimensions().ok()?;
    Some(described(track, config.record().ok()?, size))
}

fn described(track: &Track, record: Bytes, (width, height): (u32, u32)) -> Track {
    let mut track = track.clone();
    track.config = Some(record);
    (track.video.width, track.video.height) = (width, height);
    track
}
