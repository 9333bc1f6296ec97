//! What an H.264 sequence parameter set says about the picture (ITU-T H.264 sections 7.3.2.1.1 and E.1.1).

/// Size and rate of the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PictureFormat {
    /// Pixels that are shown; at least 1.
    pub(super) width: u32,
    /// Pixels that are shown; at least 1.
    pub(super) height: u32,
    /// Frames per second, if it is said.
    pub(super) framerate: Option<f64>,
}

/// Reads an SPS with its NAL unit header; `None` if it is not one, or says what cannot be.
pub(super) fn h264(nal: &[u8]) -> Option<PictureFormat> {
    let (header, payload) = nal.split_first()?;
    if header & 0x1f != 7 {
        return None;
    }
    let rbsp = without_emulation_prevention(payload);
    let mut bits = Bits::new(&rbsp);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.unsigned()?;
    let chroma = if HIGH_PROFILES.contains(&profile) { chroma(&mut bits)? } else { 1 };
    skip_to_size(&mut bits)?;
    let (width, height) = size(&mut bits, chroma)?;
    Some(PictureFormat { width, height, framerate: framerate(&mut bits) })
}

/// Bits from the most significant on.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0 }
    }

    /// The next `count` (0 to 32) bits as a number; `None` if there are not that many.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// ue(v), of at most 31 leading zeros.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// se(v).
    fn signed(&mut self) -> Option<i64> {
        let value = i64::from(self.unsigned()?);
        Some(if value % 2 == 1 { (value + 1) / 2 } else { -value / 2 })
    }
}

/// Drops the 3 of every 0 0 3.
fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

/// Reads what only the high profiles have, and returns ChromaArrayType.
fn chroma(bits: &mut Bits<'_>) -> Option<u32> {
    let mut chroma = bits.unsigned()?;
    if chroma > 3 {
        return None;
    }
    let lists = if chroma == 3 { 12 } else { 8 };
    if chroma == 3 && bits.flag()? {
        chroma = 0;
    }
    bits.unsigned()?;
    bits.unsigned()?;
    bits.flag()?;
    if bits.flag()? {
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// From log2_max_frame_num to gaps_in_frame_num_value_allowed_flag.
fn skip_to_size(bits: &mut Bits<'_>) -> Option<()> {
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.flag()?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bits.unsigned()? {
                bits.signed()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.unsigned()?;
    bits.flag()?;
    Some(())
}

/// Width and height after cropping (section 7.4.2.1.1).
fn size(bits: &mut Bits<'_>, chroma: u32) -> Option<(u32, u32)> {
    let blocks_wide = u64::from(bits.unsigned()?) + 1;
    let units_high = u64::from(bits.unsigned()?) + 1;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.flag()?;
    }
    bits.flag()?;
    let fields = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (blocks_wide * 16, units_high * 16 * fields);
    if bits.flag()? {
        let crop_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
        let crop_y = if chroma == 1 { 2 } else { 1 } * fields;
        let mut offset = || bits.unsigned().map(u64::from);
        width = width.checked_sub((offset()? + offset()?) * crop_x)?;
        height = height.checked_sub((offset()? + offset()?) * crop_y)?;
    }
    // No level allows more than 16384; more is a broken SPS, not a large picture.
    let sane = |pixels| (1..=16_384).contains(&pixels);
    if !sane(width) || !sane(height) {
        return None;
    }
    Some((width as u32, height as u32))
}

/// Frames per second from the VUI, if it is there and says so.
fn framerate(bits: &mut Bits<'_>) -> Option<f64> {
    const EXTENDED_SAR: u32 = 255;
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.take(8)? == EXTENDED_SAR {
        bits.take(32)?;
    }
    if bits.flag()? {
        bits.flag()?;
    }
    if bits.flag()? {
        bits.take(4)?;
        if bits.flag()? {
            bits.take(24)?;
        }
    }
    if bits.flag()? {
        bits.unsigned()?;
        bits.unsigned()?;
    }
    if !bits.flag()? {
        return None;
    }
    let (ticks, scale) = (bits.take(32)?, bits.take(32)?);
    // A tick is a field's time.
    (ticks != 0).then(|| f64::from(scale) / (2.0 * f64::from(ticks)))
}

/// Profiles whose SPS says more about colour and scaling.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
