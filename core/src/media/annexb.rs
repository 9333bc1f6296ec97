//! Annex B byte streams: where their NAL units are, and how the bits inside them are read.
//!
//! Common to H.264 and H.265 (ITU-T H.264 Annex B and 7.4.1, H.265 Annex B). Nothing here knows what a NAL unit
//! means; that is in [`super::h264`] and [`super::h265`].

use bytes::{BufMut, Bytes, BytesMut};

/// The NAL units of an Annex B access unit, without start codes and without the zeros that may trail them.
/// Bytes before the first start code belong to no unit; empty units are left out.
pub fn nal_units(data: &[u8]) -> NalUnits<'_> {
    let mut units = NalUnits { data, next: None };
    units.next = units.start_code(0).map(|at| at + 3);
    units
}

/// As [`nal_units`], sharing the memory of `data`.
pub fn nal_slices(data: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    nal_units(data).map(|unit| data.slice_ref(unit))
}

/// Iterator of [`nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    data: &'a [u8],
    next: Option<usize>,
}

impl NalUnits<'_> {
    /// The position of the first `00 00 01` at or after `from`.
    fn start_code(&self, from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(&[a, b, c]) = self.data.get(at..at + 3) {
            match (a, b, c) {
                (0, 0, 1) => return Some(at),
                (_, _, 2..) => at += 3,
                (_, 1.., _) => at += 2,
                _ => at += 1,
            }
        }
        None
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.next?;
            let code = self.start_code(start);
            self.next = code.map(|at| at + 3);
            let unit = &self.data[start..code.unwrap_or(self.data.len())];
            let len = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&unit[..len]);
            }
        }
    }
}

/// One access unit of Annex B from NAL units, each behind a start code of four bytes.
pub fn from_nal_units<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for unit in units {
        out.put_u32(1);
        out.put_slice(unit);
    }
    out.freeze()
}

/// The NAL units of a length-prefixed sample (ISO/IEC 14496-15), with prefixes of `prefix` bytes (1 to 4).
/// `None` if a length leads beyond the end.
pub fn length_prefixed_units(mut data: &[u8], prefix: usize) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !data.is_empty() {
        let (head, rest) = data.split_at_checked(prefix)?;
        let len = head.iter().fold(0usize, |len, &byte| len << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at_checked(len)?;
        if !unit.is_empty() {
            units.push(unit);
        }
        data = rest;
    }
    Some(units)
}

/// Reads the bits of a raw byte sequence payload, most significant first, jumping over the emulation prevention
/// bytes (`03` after two zeros). Every read is `None` beyond the end.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    byte: usize,
    bit: u32,
    zeros: u32,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `data`, which is a NAL unit without its header.
    pub fn new(data: &'a [u8]) -> BitReader<'a> {
        BitReader { data, byte: 0, bit: 0, zeros: 0 }
    }

    /// One bit.
    pub fn bit(&mut self) -> Option<bool> {
        if self.bit == 0 && self.zeros >= 2 && self.data.get(self.byte) == Some(&3) {
            self.byte += 1;
            self.zeros = 0;
        }
        let byte = *self.data.get(self.byte)?;
        let bit = byte >> (7 - self.bit) & 1 == 1;
        self.bit += 1;
        if self.bit == 8 {
            self.bit = 0;
            self.byte += 1;
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        }
        Some(bit)
    }

    /// The next `count` bits (at most 32) as a number.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb number, ue(v).
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed Exp-Golomb number, se(v).
    pub fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 0 { -magnitude } else { magnitude }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn start_codes_of_three_and_four_bytes() {
        let data = [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 1, 2, 0, 0, 0, 1, 0, 0, 1, 0x41];
        let units: Vec<_> = nal_units(&data).collect();
        assert_eq!(units, [&[9, 0xf0][..], &[0x65, 1, 2], &[0x41]]);
    }

    #[test]
    fn emulation_prevention_is_invisible() {
        let mut bits = BitReader::new(&[0, 0, 3, 1, 0x80]);
        assert_eq!(bits.bits(24), Some(1));
        assert_eq!(bits.ue(), Some(0));
    }

    #[test]
    fn exp_golomb() {
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue()], [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(bits.ue(), Some(4));
        assert_eq!(BitReader::new(&[0, 0, 0, 0, 0]).ue(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_units(data in proptest::collection::vec(0u8..4, 0..200), prefix in 1usize..5) {
            for unit in nal_units(&data) {
                prop_assert!(!unit.is_empty());
            }
            let _ = length_prefixed_units(&data, prefix);
            let mut bits = BitReader::new(&data);
            while bits.se().is_some() {}
        }

        #[test]
        fn units_come_back(units in proptest::collection::vec(proptest::collection::vec(4u8.., 1..40), 0..8)) {
            let joined = from_nal_units(units.iter().map(Vec::as_slice));
            let back: Vec<Vec<u8>> = nal_slices(&joined).map(|unit| unit.to_vec()).collect();
            prop_assert_eq!(back, units);
        }
    }
}
