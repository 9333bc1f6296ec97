//! How an input becomes events: every byte of it decides something, and no input is refused.

use bytes::Bytes;

/// Numbers at the edges of what fields and clocks can hold.
const EDGES: [i64; 24] = [
    0,
    1,
    -1,
    2,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    i64::MAX / 2,
    i64::MIN / 2,
    u32::MAX as i64,
    u32::MAX as i64 + 1,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 53,
    -(1 << 53),
    (1 << 53) - 1,
    1 << 40,
    -(1 << 40),
    1 << 62,
    0xff_ffff,
    90_000,
    1_000,
    1_000_000,
    1_000_000_000_000_000,
];

/// Decisions, taken from the front of an input. When it is used up, every further byte is zero.
pub(super) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(input: &'a [u8]) -> Script<'a> {
        Script { rest: input }
    }

    /// Whether all of the input was used.
    pub(super) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number below `count` (1 to 256).
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// One of `items`.
    pub(super) fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    pub(super) fn chance(&mut self, of_256: u8) -> bool {
        self.byte() < of_256
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Any number: mostly a small one, sometimes one at the edge of something, sometimes any.
    pub(super) fn number(&mut self) -> i64 {
        match self.byte() {
            0..128 => i64::from(self.byte()),
            128..160 => -i64::from(self.byte()),
            160..192 => i64::from(self.u16()),
            192..232 => *self.pick(&EDGES),
            232.. => i64::from_be_bytes(core::array::from_fn(|_| self.byte())),
        }
    }

    /// Up to `max` bytes as they stand.
    pub(super) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(max.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Up to `max` bytes as text, letters in place of what is none.
    pub(super) fn text(&mut self, max: usize) -> String {
        String::from_utf8_lossy(self.bytes(max)).into_owned()
    }
}

/// How the bytes of a connection are cut into pieces, and how time passes between the pieces.
#[derive(Clone, Copy)]
pub(super) struct Cuts {
    codes: [u8; CUTS],
}

/// The bytes at the front of an input that say how the rest is cut.
const CUTS: usize = 8;

impl Cuts {
    /// Takes an input apart: how to cut, and what.
    pub(super) fn split(input: &[u8]) -> (Cuts, Bytes) {
        let (head, rest) = input.split_at(CUTS.min(input.len()));
        let mut codes = [0; CUTS];
        codes[..head.len()].copy_from_slice(head);
        (Cuts { codes }, Bytes::copy_from_slice(rest))
    }

    /// Inputs that deliver `streams` whole, and in several kinds of pieces.
    pub(super) fn seeds(streams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        const PLANS: [[u8; CUTS]; 4] =
            [[0; CUTS], [0x70; CUTS], [0x11, 0x50, 0x03, 0xa7, 0x62, 0x34, 0x10, 0x85], [0x2f; CUTS]];
        let plans = PLANS.iter().cycle();
        let cut = streams.iter().zip(plans).map(|(stream, plan)| [&plan[..], stream].concat());
        let whole = streams.iter().map(|stream| [&[0; CUTS][..], stream].concat());
        cut.chain(whole).collect()
    }

    /// `stream` in pieces, each with its code: 0 is all that is left, else the low half is the beginning and the high
    /// half the number of doublings of the piece's length.
    pub(super) fn pieces(self, mut stream: Bytes) -> impl Iterator<Item = (u8, Bytes)> {
        self.codes.into_iter().cycle().map_while(move |code| {
            if stream.is_empty() {
                return None;
            }
            let length = if code == 0 { stream.len() } else { (usize::from(code & 0xf) + 1) << (code >> 4) };
            Some((code, stream.split_to(length.min(stream.len()))))
        })
    }

    /// A decision that is the same however the stream is cut.
    pub(super) fn decides(self, count: u8) -> u8 {
        self.codes[CUTS - 1] % count
    }
}
