//! What is inside simulated frames: a mark, by which a viewer can tell which frame it was given, when it belongs and
//! when it was made, and then bytes that follow from the mark, so that a single wrong one shows. All of it comes
//! through containers and servers as real frames do: there is no byte that a bitstream could mistake for a start code,
//! and there are emulation prevention bytes that somebody might be tempted to take out.

use headwater_core::time::Wall;

/// Where a frame comes from, which one it is, and what must be true of it wherever it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The elementary stream: frames of one source count up. Video and audio of one encoder differ in the lowest
    /// bit, which is 1 for audio.
    pub source: u32,
    /// Its number in its source, in the order of decoding.
    pub frame: u64,
    /// When it is decoded, in microseconds of its source's time, which video and audio share.
    pub dts_us: u64,
    /// How much later it is presented, in microseconds.
    pub composition_us: u32,
    /// When it was made.
    pub made: Wall,
    /// How long its content is in bytes, the mark included.
    pub len: u32,
    /// Counts the times at which the encoder broke its timestamps: times of different runs cannot be compared.
    pub run: u8,
    /// Which of its encoder's decoder configurations it needs.
    pub format: u8,
    /// Whether decoding can start here.
    pub key: bool,
}

impl Mark {
    /// How many bytes a mark takes.
    pub const LEN: usize = 82;

    /// A frame with the shortest content, all zero but for its name.
    pub const fn new(source: u32, frame: u64) -> Mark {
        Mark {
            source,
            frame,
            dts_us: 0,
            composition_us: 0,
            made: Wall::from_micros(0),
            len: Mark::LEN as u32,
            run: 0,
            format: 0,
            key: false,
        }
    }

    /// The frame's content: the mark as bytes, and what follows from it, [`Mark::len`] bytes altogether.
    pub fn content(self) -> Vec<u8> {
        let mut content = format!(
            "hw:{:08x}{:016x}{:016x}{:08x}{:016x}{:08x}{:02x}{:02x}{:02x};",
            self.source,
            self.frame,
            self.dts_us,
            self.composition_us,
            self.made.as_micros(),
            self.len,
            self.run,
            self.format,
            u8::from(self.key)
        )
        .into_bytes();
        let len = (self.len as usize).max(Mark::LEN);
        content.reserve(len - content.len());
        let mut state = self.frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.source);
        for word in 1.. {
            let left = len - content.len();
            if left == 0 {
                break;
            }
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let mut bytes = ((state >> 7) | 0x0101_0101_0101_0101).to_le_bytes();
            if word % EMULATION_WORDS == 0 && left >= bytes.len() {
                bytes[..4].copy_from_slice(&[0, 0, 3, 1]);
            }
            content.extend_from_slice(&bytes[..left.min(bytes.len())]);
        }
        content
    }

    /// The first mark in the beginning of `sample`, if there is one.
    pub fn find(sample: &[u8]) -> Option<Mark> {
        let head = &sample[..sample.len().min(SEARCHED)];
        let at = head.windows(3).position(|window| window == b"hw:")?;
        let mut digits = Digits(core::str::from_utf8(sample.get(at + 3..at + Mark::LEN)?).ok()?);
        let mark = Mark {
            source: digits.next(8)?.try_into().ok()?,
            frame: digits.next(16)?,
            dts_us: digits.next(16)?,
            composition_us: digits.next(8)?.try_into().ok()?,
            made: Wall::from_micros(digits.next(16)?.try_into().ok()?),
            len: digits.next(8)?.try_into().ok()?,
            run: digits.next(2)?.try_into().ok()?,
            format: digits.next(2)?.try_into().ok()?,
            key: digits.next(2)? == 1,
        };
        if digits.0 == ";" { Some(mark) } else { None }
    }

    /// The encoder that the frame comes from: equal for its video and its audio.
    pub fn encoder(self) -> u32 {
        self.source >> 1
    }

    /// When the frame is presented, in microseconds of its source's time.
    pub fn pts_us(self) -> u64 {
        self.dts_us.saturating_add(u64::from(self.composition_us))
    }
}

/// Hexadecimal digits of which fields are taken one after the other.
struct Digits<'a>(&'a str);

impl Digits<'_> {
    fn next(&mut self, count: usize) -> Option<u64> {
        let field = self.0.get(..count)?;
        self.0 = self.0.get(count..)?;
        u64::from_str_radix(field, 16).ok()
    }
}

/// Parameter sets and delimiters in front of the mark are shorter than this.
const SEARCHED: usize = 512;
/// Every so many words of eight bytes there is an emulation prevention byte.
const EMULATION_WORDS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark {
            dts_us: 1 << 50,
            composition_us: 33_333,
            made: Wall::from_micros(1_795_219_200_000_001),
            len: 5_000,
            run: 3,
            format: 0xfe,
            key: true,
            ..Mark::new(0xfe, 1 << 40)
        }
    }

    #[test]
    fn a_mark_is_found_behind_other_bytes() {
        let mut sample = vec![0, 0, 0, 1, 9, 16, b'h', b'w'];
        assert_eq!(Mark::find(&sample), None);
        sample.extend(&mark().content()[..Mark::LEN]);
        assert_eq!(Mark::find(&sample), Some(mark()));
        assert_eq!(Mark::find(&sample[..sample.len() - 1]), None);
    }

    #[test]
    fn content_is_as_long_as_said_and_differs_from_frame_to_frame() {
        let content = mark().content();
        assert_eq!(content.len(), 5_000);
        assert_ne!(content[Mark::LEN..], Mark { frame: 7, ..mark() }.content()[Mark::LEN..]);
        assert_eq!(Mark::new(1, 1).content().len(), Mark::LEN);
    }

    #[test]
    fn content_holds_no_start_code_and_some_emulation_prevention() {
        for len in 82..1_200 {
            let content = Mark { len, ..mark() }.content();
            let forbidden = |three: &[u8]| three[..2] == [0, 0] && three[2] < 3;
            assert!(!content.windows(3).any(forbidden), "{len}");
            assert_ne!(content.last(), Some(&0), "{len}");
        }
        assert!(mark().content().windows(3).any(|three| three == [0, 0, 3]));
    }
}
