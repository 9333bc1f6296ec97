//! H.264: NAL unit types, sequence parameter sets and the AVCDecoderConfigurationRecord.
//!
//! Sources: ITU-T H.264 7.3.2.1, 7.4.2.1.1 and E.1.1; ISO/IEC 14496-15 section 5.3.3 (avcC); RFC 6381 section 3.3
//! (the codec string).

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::annexb::BitReader;

/// The type of a NAL unit: the low five bits of its first byte.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

/// A slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// A sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// A picture parameter set.
pub const NAL_PPS: u8 = 8;
/// An access unit delimiter.
pub const NAL_AUD: u8 = 9;
/// Filler data.
pub const NAL_FILLER: u8 = 12;

/// Why a parameter set or a configuration record cannot be used. It is the encoder's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum H264Error {
    /// The record is cut short, or a length in it leads beyond its end.
    #[error("the AVCDecoderConfigurationRecord ends too early")]
    RecordTruncated,
    /// The record has another version than 1.
    #[error("the AVCDecoderConfigurationRecord has version {0}; only version 1 is known")]
    RecordVersion(u8),
    /// A record needs at least one SPS and one PPS.
    #[error("there is no SPS or no PPS")]
    NoParameterSets,
    /// The SPS is cut short or has a value out of range.
    #[error("the H.264 sequence parameter set is damaged")]
    BadSps,
}

/// What of a sequence parameter set matters to a packager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc.
    pub profile: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// level_idc.
    pub level: u8,
    /// chroma_format_idc; 1 is 4:2:0.
    pub chroma_format: u8,
    /// bit_depth_luma_minus8.
    pub bit_depth_luma_minus8: u8,
    /// bit_depth_chroma_minus8.
    pub bit_depth_chroma_minus8: u8,
    /// Pixels across, after cropping.
    pub width: u32,
    /// Pixels down, after cropping.
    pub height: u32,
    /// Frames per second as a fraction, if the VUI tells.
    pub framerate: Option<(u32, u32)>,
}

impl Sps {
    /// Reads an SPS NAL unit with its header.
    pub fn parse(unit: &[u8]) -> Result<Sps, H264Error> {
        if nal_type(unit) != NAL_SPS {
            return Err(H264Error::BadSps);
        }
        read_sps(&mut BitReader::new(&unit[1..])).ok_or(H264Error::BadSps)
    }
}

fn read_sps(bits: &mut BitReader<'_>) -> Option<Sps> {
    let (profile, constraints, level) = (bits.bits(8)? as u8, bits.bits(8)? as u8, bits.bits(8)? as u8);
    bits.ue()?; // seq_parameter_set_id
    let (mut chroma, mut luma_depth, mut chroma_depth, mut planes) = (1, 0, 0, false);
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.ue().filter(|&format| format <= 3)?;
        if chroma == 3 {
            planes = bits.bit()?;
        }
        luma_depth = bits.ue().filter(|&depth| depth <= 6)?;
        chroma_depth = bits.ue().filter(|&depth| depth <= 6)?;
        bits.bit()?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            skip_scaling_matrix(bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    skip_picture_order(bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    let (columns, rows) = (bits.ue()?, bits.ue()?);
    let frame_mbs_only = bits.bit()?;
    if !frame_mbs_only {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    bits.bit()?; // direct_8x8_inference_flag
    let crop =
        if bits.bit()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?].map(u64::from) } else { [0; 4] };
    let fields = if frame_mbs_only { 1 } else { 2 };
    let (unit_x, unit_y) = match (chroma, planes) {
        (1, _) => (2, 2 * fields),
        (2, _) => (2, fields),
        _ => (1, fields),
    };
    let width = ((u64::from(columns) + 1) * 16).checked_sub(unit_x * (crop[0] + crop[1]))?;
    let height = ((u64::from(rows) + 1) * 16 * fields).checked_sub(unit_y * (crop[2] + crop[3]))?;
    // Sample entries have 16 bits for each.
    if !(1..=0xffff).contains(&width) || !(1..=0xffff).contains(&height) {
        return None;
    }
    let framerate = match bits.bit() {
        Some(true) => read_vui_framerate(bits),
        _ => None,
    };
    Some(Sps {
        profile,
        constraints,
        level,
        chroma_format: chroma as u8,
        bit_depth_luma_minus8: luma_depth as u8,
        bit_depth_chroma_minus8: chroma_depth as u8,
        width: width as u32,
        height: height as u32,
        framerate,
    })
}

fn skip_scaling_matrix(bits: &mut BitReader<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8i32, 8i32);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.wrapping_add(bits.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Option<()> {
    bits.ue()?; // log2_max_frame_num_minus4
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue().filter(|&frames| frames <= 255)? {
                bits.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(())
}

/// time_scale / (2 × num_units_in_tick), from the beginning of the VUI.
fn read_vui_framerate(bits: &mut BitReader<'_>) -> Option<(u32, u32)> {
    if bits.bit()? && bits.bits(8)? == 255 {
        bits.bits(32)?; // sar_width, sar_height
    }
    if bits.bit()? {
        bits.bit()?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.bits(4)?; // video_format, video_full_range_flag
        if bits.bit()? {
            bits.bits(24)?; // colours
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    if !bits.bit()? {
        return None;
    }
    let (units, scale) = (bits.bits(32)?, bits.bits(32)?);
    let units = units.checked_mul(2)?;
    (units > 0 && scale > 0).then_some((scale, units))
}

/// An AVCDecoderConfigurationRecord: the parameter sets of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// The bytes of the length before each NAL unit of a sample: 1, 2 or 4.
    pub length_size: u8,
    /// Sequence parameter sets, with their headers.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, with their headers.
    pub pps: Vec<Bytes>,
}

impl AvcConfig {
    /// Reads a record. Whatever follows the parameter sets is not needed and not looked at.
    pub fn parse(record: &Bytes) -> Result<AvcConfig, H264Error> {
        let &[version, _, _, _, length_size, ..] = &record[..] else {
            return Err(H264Error::RecordTruncated);
        };
        if version != 1 {
            return Err(H264Error::RecordVersion(version));
        }
        let mut at = 5;
        let sps = read_sets(record, &mut at, 0x1f).ok_or(H264Error::RecordTruncated)?;
        let pps = read_sets(record, &mut at, 0xff).ok_or(H264Error::RecordTruncated)?;
        if sps.is_empty() || pps.is_empty() {
            return Err(H264Error::NoParameterSets);
        }
        Ok(AvcConfig { length_size: (length_size & 3) + 1, sps, pps })
    }

    /// The parameter sets among `units`; `None` if there is no SPS or no PPS.
    pub fn from_units(units: impl IntoIterator<Item = Bytes>) -> Option<AvcConfig> {
        let mut config = AvcConfig { length_size: 4, sps: Vec::new(), pps: Vec::new() };
        for unit in units.into_iter().filter(|unit| unit.len() <= 0xffff) {
            match nal_type(&unit) {
                NAL_SPS if unit.len() >= 4 && config.sps.len() < 31 => config.sps.push(unit),
                NAL_PPS if config.pps.len() < 255 => config.pps.push(unit),
                _ => {}
            }
        }
        (!config.sps.is_empty() && !config.pps.is_empty()).then_some(config)
    }

    /// Writes the record for samples with lengths of four bytes.
    pub fn record(&self) -> Result<Bytes, H264Error> {
        let sps = Sps::parse(self.sps.first().ok_or(H264Error::NoParameterSets)?)?;
        let mut out = BytesMut::new();
        out.put_slice(&[1, sps.profile, sps.constraints, sps.level, 0xff]);
        put_sets(&mut out, &self.sps, 31, 0xe0);
        put_sets(&mut out, &self.pps, 255, 0);
        if !matches!(sps.profile, 66 | 77 | 88) {
            out.put_u8(0xfc | sps.chroma_format);
            out.put_u8(0xf8 | sps.bit_depth_luma_minus8);
            out.put_u8(0xf8 | sps.bit_depth_chroma_minus8);
            out.put_u8(0);
        }
        Ok(out.freeze())
    }

    /// The RFC 6381 name of the format: `avc1.PPCCLL`.
    pub fn codec_string(&self) -> String {
        let id = self.sps.first().and_then(|sps| sps.get(1..4)).unwrap_or(&[0, 0, 0]);
        format!("avc1.{:02x}{:02x}{:02x}", id[0], id[1], id[2])
    }

    /// Whether `unit` is one of these parameter sets, byte for byte.
    pub fn contains(&self, unit: &[u8]) -> bool {
        self.sps.iter().chain(&self.pps).any(|known| known == unit)
    }
}

fn read_sets(record: &Bytes, at: &mut usize, count_mask: u8) -> Option<Vec<Bytes>> {
    let count = record.get(*at)? & count_mask;
    *at += 1;
    let mut sets = Vec::new();
    for _ in 0..count {
        let len = usize::from(u16::from_be_bytes([*record.get(*at)?, *record.get(*at + 1)?]));
        *at += 2;
        record.get(*at..*at + len)?;
        sets.push(record.slice(*at..*at + len));
        *at += len;
    }
    Some(sets)
}

fn put_sets(out: &mut BytesMut, sets: &[Bytes], max: usize, reserved: u8) {
    let sets: Vec<_> = sets.iter().filter(|set| set.len() <= 0xffff).take(max).collect();
    out.put_u8(reserved | sets.len() as u8);
    for set in sets {
        out.put_u16(set.len() as u16);
        out.put_slice(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the init section of a captured stream: 640x360, 30 fps, constrained baseline 3.0.
    const SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00,
        0x00, 0x03, 0x00, 0xf0, 0x3c, 0x58, 0xba, 0x80,
    ];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    #[test]
    fn reads_a_captured_sps() {
        let sps = Sps::parse(SPS).unwrap();
        assert_eq!((sps.width, sps.height), (640, 360));
        assert_eq!((sps.profile, sps.constraints, sps.level), (0x42, 0xc0, 0x1e));
        assert_eq!(sps.framerate, Some((60, 2)));
    }

    #[test]
    fn record_comes_back() {
        let config =
            AvcConfig::from_units([Bytes::from_static(SPS), Bytes::from_static(PPS)]).expect("both sets");
        let record = config.record().unwrap();
        assert_eq!(record[..6], [1, 0x42, 0xc0, 0x1e, 0xff, 0xe1]);
        assert_eq!(AvcConfig::parse(&record), Ok(config.clone()));
        assert_eq!(config.codec_string(), "avc1.42c01e");
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let config = AvcConfig::from_units([Bytes::from_static(SPS), Bytes::from_static(PPS)]).unwrap();
        let record = config.record().unwrap();
        for len in 0..record.len() {
            assert_eq!(AvcConfig::parse(&record.slice(..len)), Err(H264Error::RecordTruncated));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(mut data in proptest::collection::vec(any::<u8>(), 1..80)) {
            let _ = AvcConfig::parse(&Bytes::from(data.clone()));
            data[0] = 0x67;
            let _ = Sps::parse(&data);
        }
    }
}
