//! H.265: NAL unit types, sequence parameter sets and the HEVCDecoderConfigurationRecord.
//!
//! Sources: ITU-T H.265 7.3.1.2 and 7.3.2.2; ISO/IEC 14496-15 sections 8.3.3 (hvcC) and annex E (the codec string).

use bytes::{BufMut, Bytes, BytesMut};
use shiguredo_mp4::bitstream::h265 as bitstream;
use shiguredo_mp4::boxes::{Hvc1Box, HvccBox, SampleEntry, VisualSampleEntryFields};
use shiguredo_mp4::{Decode, Encode, Uint, codec_string};
use thiserror::Error;

/// The type of a NAL unit: six bits of its first byte.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte >> 1 & 0x3f)
}

/// A video parameter set.
pub const NAL_VPS: u8 = 32;
/// A sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// A picture parameter set.
pub const NAL_PPS: u8 = 34;
/// An access unit delimiter.
pub const NAL_AUD: u8 = 35;
/// Filler data.
pub const NAL_FILLER: u8 = 38;

/// Whether a NAL unit type is a picture at which decoding can start (IRAP: BLA, IDR, CRA).
pub const fn is_irap(nal_type: u8) -> bool {
    nal_type >= 16 && nal_type <= 23
}

/// Why a parameter set or a configuration record cannot be used. It is the encoder's fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum H265Error {
    /// The record is cut short or has an unknown version.
    #[error("the HEVCDecoderConfigurationRecord is damaged: {0}")]
    BadRecord(String),
    /// The parameter sets are damaged, or one kind of them is missing.
    #[error("the H.265 parameter sets are damaged: {0}")]
    BadParameterSets(String),
}

/// An HEVCDecoderConfigurationRecord: the parameter sets of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HevcConfig {
    hvcc: HvccBox,
}

impl HevcConfig {
    /// Reads a record.
    pub fn parse(record: &Bytes) -> Result<HevcConfig, H265Error> {
        let mut framed = BytesMut::with_capacity(record.len() + 8);
        framed.put_u32(u32::try_from(record.len() + 8).unwrap_or(u32::MAX));
        framed.put_slice(b"hvcC");
        framed.put_slice(record);
        let (hvcc, _) = HvccBox::decode(&framed).map_err(|error| H265Error::BadRecord(error.to_string()))?;
        Ok(HevcConfig { hvcc })
    }

    /// The parameter sets among `units`; fails unless there is a VPS, an SPS and a PPS.
    pub fn from_units(units: impl IntoIterator<Item = Bytes>) -> Result<HevcConfig, H265Error> {
        let mut sets = [const { Vec::new() }; 3];
        for unit in units {
            let kind = nal_type(&unit);
            if (NAL_VPS..=NAL_PPS).contains(&kind) {
                sets[usize::from(kind - NAL_VPS)].push(unit.to_vec());
            }
        }
        let entry = bitstream::H265SampleEntryConfig {
            length_size: bitstream::LengthSize::FourBytes,
            avg_frame_rate: 0,
            constant_frame_rate: bitstream::H265ConstantFrameRate::Unknown,
        };
        bitstream::build_hvc1_box(&sets[0], &sets[1], &sets[2], &entry)
            .map(|entry| HevcConfig { hvcc: entry.hvcc_box })
            .map_err(|error| H265Error::BadParameterSets(error.to_string()))
    }

    /// Writes the record for `hvc1` samples: lengths of four bytes, all parameter sets in the record.
    pub fn record(&self) -> Result<Bytes, H265Error> {
        let mut hvcc = self.hvcc.clone();
        hvcc.length_size_minus_one = Uint::new(3);
        for array in &mut hvcc.nalu_arrays {
            if (NAL_VPS..=NAL_PPS).contains(&array.nal_unit_type.get()) {
                array.array_completeness = Uint::new(1);
            }
        }
        let framed = hvcc.encode_to_vec().map_err(|error| H265Error::BadRecord(error.to_string()))?;
        Ok(Bytes::from(framed).slice(8..))
    }

    /// The bytes of the length before each NAL unit of a sample: 1 to 4.
    pub fn length_size(&self) -> u8 {
        self.hvcc.length_size_minus_one.get() + 1
    }

    /// All parameter sets, with their headers.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        self.hvcc.nalu_arrays.iter().flat_map(|array| array.nalus.iter().map(Vec::as_slice))
    }

    /// Whether `unit` is one of these parameter sets, byte for byte.
    pub fn contains(&self, unit: &[u8]) -> bool {
        self.parameter_sets().any(|known| known == unit)
    }

    /// Pixels across and down, after cropping.
    pub fn dimensions(&self) -> Result<(u32, u32), H265Error> {
        let sps = self.parameter_sets().find(|set| nal_type(set) == NAL_SPS);
        let sps = sps.ok_or_else(|| H265Error::BadParameterSets("there is no SPS".into()))?;
        bitstream::parse_sps(sps)
            .map(|sps| (u32::from(sps.width), u32::from(sps.height)))
            .map_err(|error| H265Error::BadParameterSets(error.to_string()))
    }

    /// The name of the format for a playlist: `hvc1.` and profile, compatibility, tier, level and constraints.
    pub fn codec_string(&self) -> String {
        let visual = VisualSampleEntryFields {
            data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            width: 0,
            height: 0,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        };
        let entry =
            SampleEntry::Hvc1(Hvc1Box { visual, hvcc_box: self.hvcc.clone(), unknown_boxes: Vec::new() });
        codec_string::from_sample_entry(&entry).unwrap_or_else(|_| "hvc1".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // x265, testsrc 320x240 at 25 fps, Main profile, level 2.0.
    const VPS: &[u8] = &[
        0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00,
        0x00, 0x03, 0x00, 0x3c, 0x95, 0x98, 0x09,
    ];
    const SPS: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16, 0x59, 0x59, 0xa4, 0x93, 0x2b, 0xc0, 0x5a, 0x02, 0x00, 0x00, 0x03,
        0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x32, 0x10,
    ];
    const PPS: &[u8] = &[0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];

    fn config() -> HevcConfig {
        HevcConfig::from_units([VPS, SPS, PPS].map(Bytes::from_static)).expect("three sets")
    }

    #[test]
    fn reads_dimensions_and_names_the_codec() {
        assert_eq!(config().dimensions(), Ok((320, 240)));
        assert_eq!(config().codec_string(), "hvc1.1.6.L60.90");
    }

    #[test]
    fn record_comes_back() {
        let record = config().record().unwrap();
        assert_eq!(HevcConfig::parse(&record), Ok(config()));
        assert!(config().contains(SPS) && !config().contains(&SPS[1..]));
    }

    #[test]
    fn a_missing_parameter_set_is_refused() {
        assert!(HevcConfig::from_units([VPS, SPS].map(Bytes::from_static)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(config) = HevcConfig::parse(&Bytes::from(data)) {
                let _ = (config.dimensions(), config.codec_string(), config.record());
            }
        }
    }
}
