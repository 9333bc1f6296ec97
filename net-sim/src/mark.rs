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
        let mut content = Vec::with_capacity((self.len as usize).max(Mark::LEN));
        self.pieces(|piece| {
            content.extend_from_slice(piece);
            true
        });
        content
    }

    /// The first byte of `content` that is not as [`Mark::content`] has it; its end if something is missing there, and
    /// `None` if all is as it should be.
    pub fn first_difference(self, content: &[u8]) -> Option<usize> {
        let mut at = 0;
        self.pieces(|piece| {
            let same = content.get(at..at + piece.len()) == Some(piece);
            at += if same { piece.len() } else { 0 };
            same
        });
        let whole = at == (self.len as usize).max(Mark::LEN);
        if whole && at == content.len() {
            return None;
        }
        let made = self.content();
        let differs = content.iter().zip(&made).position(|(is, was)| is != was);
        Some(differs.unwrap_or(content.len().min(made.len())))
    }

    /// Gives the content piece by piece, for as long as `take` wants more.
    fn pieces(self, mut take: impl FnMut(&[u8]) -> bool) {
        if !take(&self.head()) {
            return;
        }
        let mut left = (self.len as usize).saturating_sub(Mark::LEN);
        let mut state = self.frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.source);
        let mut word = 0;
        while left > 0 {
            word += 1;
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            let mut bytes = ((state >> 7) | 0x0101_0101_0101_0101).to_le_bytes();
            if word % EMULATION_WORDS == 0 && left >= bytes.len() {
                bytes[..4].copy_from_slice(&[0, 0, 3, 1]);
            }
            let len = left.min(bytes.len());
            left -= len;
            if !take(&bytes[..len]) {
                return;
            }
        }
    }

    /// The mark as bytes: its fields in hexadecimal digits, between a beginning and an end.
    fn head(self) -> [u8; Mark::LEN] {
        let fields = [
            (u64::from(self.source), 8),
            (self.frame, 16),
            (self.dts_us, 16),
            (u64::from(self.composition_us), 8),
            (self.made.as_micros().cast_unsigned(), 16),
            (u64::from(self.len), 8),
            (u64::from(self.run), 2),
            (u64::from(self.format), 2),
            (u64::from(self.key), 2),
        ];
        let mut head = [b';'; Mark::LEN];
        head[..3].copy_from_slice(b"hw:");
        let mut at = 3;
        for (value, digits) in fields {
            for place in (0..digits).rev() {
                head[at] = b"0123456789abcdef"[(value >> (4 * place) & 15) as usize];
                at += 1;
            }
        }
        head
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
            made: Wall::from_micros(digits.next(16)?.cast_signed()),
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
    fn every_difference_has_a_place() {
        let content = mark().content();
        assert_eq!(mark().first_difference(&content), None);
        for at in [0, 40, Mark::LEN, 1_000, 4_999] {
            let mut other = content.clone();
            other[at] ^= 1;
            assert_eq!(mark().first_difference(&other), Some(at));
            assert_eq!(mark().first_difference(&content[..at]), Some(at));
        }
        assert_eq!(mark().first_difference(&[&content[..], &[1]].concat()), Some(5_000));
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
