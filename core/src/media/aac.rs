//! AAC: the AudioSpecificConfig and the ADTS frame.
//!
//! Sources: ISO/IEC 14496-3 sections 1.6.2.1 (AudioSpecificConfig) and 1.A.3.2 (ADTS). Only what a packager needs is
//! read: object type, rate, channels, and where the raw frame is.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::annexb::BitReader;

/// Samples in one AAC frame, at the rate of the core codec.
pub const FRAME_SAMPLES: u32 = 1_024;

/// The sampling frequencies by their index, in Hz.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Why a configuration or a frame cannot be used. It is the encoder's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AacError {
    /// The AudioSpecificConfig is cut short, or has a reserved value.
    #[error("the AudioSpecificConfig is damaged")]
    BadConfig,
    /// There is no ADTS header where one should be, or the frame is longer than what there is of it.
    #[error("the ADTS frame is damaged")]
    BadFrame,
    /// Several raw data blocks in one ADTS frame.
    #[error("an ADTS frame holds {0} raw data blocks; send one per frame")]
    SeveralBlocks(u8),
    /// The frame or the format cannot be said in an ADTS header.
    #[error("the AAC frame or its format does not fit in an ADTS header")]
    NotAdts,
}

/// The beginning of an AudioSpecificConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The audio object type: 2 is AAC LC, 5 is HE-AAC, 29 is HE-AAC v2.
    pub object_type: u8,
    /// Samples per second of the core codec, of which a frame has [`FRAME_SAMPLES`].
    pub rate: u32,
    /// channelConfiguration: 1 to 7, or 0 if it is told elsewhere.
    pub channel_config: u8,
}

impl AacConfig {
    /// Reads an AudioSpecificConfig; what follows the channels is not looked at.
    pub fn parse(config: &[u8]) -> Result<AacConfig, AacError> {
        // An AudioSpecificConfig has no emulation prevention, but its first bytes cannot look as if it had.
        read_config(&mut BitReader::new(config)).ok_or(AacError::BadConfig)
    }

    /// Writes the AudioSpecificConfig: two bytes, or five if the rate has no index. Object types beyond 30 have
    /// another form, which is not written.
    pub fn record(&self) -> Bytes {
        let mut bits = u64::from(self.object_type & 0x1f);
        let mut len = 5;
        match RATES.iter().position(|&rate| rate == self.rate) {
            Some(index) => (bits, len) = (bits << 4 | index as u64, len + 4),
            None => (bits, len) = (bits << 28 | 15 << 24 | u64::from(self.rate & 0xff_ffff), len + 28),
        }
        (bits, len) = (bits << 7 | u64::from(self.channel_config & 0xf) << 3, len + 7);
        Bytes::copy_from_slice(&(bits << (64 - len)).to_be_bytes()[..len / 8])
    }

    /// The number of channels; 0 if it is told elsewhere.
    pub const fn channels(&self) -> u16 {
        match self.channel_config {
            7 => 8,
            config => config as u16,
        }
    }

    /// The RFC 6381 name of the format: `mp4a.40.` and the object type.
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }

    /// Wraps a raw frame into ADTS, without a checksum.
    pub fn adts(&self, raw: &[u8]) -> Result<Bytes, AacError> {
        let index = RATES.iter().position(|&rate| rate == self.rate).ok_or(AacError::NotAdts)? as u8;
        let len = raw.len() + 7;
        // ADTS can only name the object types 1 to 4; HE-AAC goes out as the AAC LC that its core is.
        let profile = if (1..=4).contains(&self.object_type) { self.object_type - 1 } else { 1 };
        if len > 0x1fff || self.channel_config > 7 {
            return Err(AacError::NotAdts);
        }
        let (length, channels) = (len as u16, self.channel_config);
        let mut out = BytesMut::with_capacity(len);
        out.put_slice(&[
            0xff,
            0xf1,
            profile << 6 | index << 2 | channels >> 2,
            channels << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ]);
        out.put_slice(raw);
        Ok(out.freeze())
    }
}

fn read_config(bits: &mut BitReader<'_>) -> Option<AacConfig> {
    let object_type = match bits.bits(5)? {
        31 => 32 + bits.bits(6)?,
        object_type => object_type,
    };
    let rate = match bits.bits(4)? {
        15 => bits.bits(24)?,
        index => *RATES.get(index as usize)?,
    };
    let channel_config = bits.bits(4)? as u8;
    (rate > 0 && object_type > 0).then_some(AacConfig {
        object_type: object_type as u8,
        rate,
        channel_config,
    })
}

/// An ADTS frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdtsFrame {
    /// The format in its header.
    pub config: AacConfig,
    /// The raw frame.
    pub raw: Bytes,
}

impl AdtsFrame {
    /// Reads the ADTS frame at the beginning of `data`, sharing its memory. A checksum is not checked.
    pub fn parse(data: &Bytes) -> Result<AdtsFrame, AacError> {
        let &[0xff, b1, b2, b3, b4, b5, b6, ..] = &data[..] else {
            return Err(AacError::BadFrame);
        };
        if b1 & 0xf6 != 0xf0 {
            return Err(AacError::BadFrame);
        }
        if b6 & 3 != 0 {
            return Err(AacError::SeveralBlocks((b6 & 3) + 1));
        }
        let rate = *RATES.get(usize::from(b2 >> 2 & 0xf)).ok_or(AacError::BadFrame)?;
        let channel_config = (b2 & 1) << 2 | b3 >> 6;
        let header = if b1 & 1 == 1 { 7 } else { 9 };
        let len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        if len <= header || len > data.len() {
            return Err(AacError::BadFrame);
        }
        let config = AacConfig { object_type: (b2 >> 6) + 1, rate, channel_config };
        Ok(AdtsFrame { config, raw: data.slice(header..len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_captured_config() {
        // As an encoder wrote it, with a backward-compatible extension behind it.
        let config = AacConfig::parse(&[0x11, 0x88, 0x56, 0xe5, 0x00]).unwrap();
        assert_eq!(config, AacConfig { object_type: 2, rate: 48_000, channel_config: 1 });
        assert_eq!(config.codec_string(), "mp4a.40.2");
        assert_eq!(config.record()[..], [0x11, 0x88]);
    }

    proptest! {
        #[test]
        fn config_comes_back(object_type in 1u8..31, rate in 1u32..0xff_ffff, channel_config in 0u8..8) {
            let config = AacConfig { object_type, rate, channel_config };
            prop_assert_eq!(AacConfig::parse(&config.record()), Ok(config));
        }

        #[test]
        fn frame_comes_back(
            object_type in 1u8..5,
            rate in proptest::sample::select(&RATES[..]),
            channel_config in 0u8..8,
            raw in proptest::collection::vec(any::<u8>(), 1..900),
        ) {
            let config = AacConfig { object_type, rate, channel_config };
            let adts = config.adts(&raw).unwrap();
            prop_assert_eq!(AdtsFrame::parse(&adts), Ok(AdtsFrame { config, raw: raw.into() }));
        }

        #[test]
        fn any_bytes_do_no_harm(mut data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = AacConfig::parse(&data);
            if data.len() > 2 {
                (data[0], data[1]) = (0xff, 0xf1);
            }
            let _ = AdtsFrame::parse(&Bytes::from(data));
        }
    }
}
