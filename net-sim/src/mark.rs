//! Marks inside simulated frames, by which a viewer can tell which frames it was given, whatever containers and
//! servers they have passed through. They contain no byte that a bitstream could mistake for a start code.

/// Where a frame comes from, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The elementary stream: frames of one source count up.
    pub source: u32,
    /// Its number in its source.
    pub frame: u64,
}

impl Mark {
    /// How many bytes a mark takes.
    pub const LEN: usize = 29;

    /// The mark as bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        format!("hw:{:08x}:{:016x};", self.source, self.frame).into_bytes()
    }

    /// The first mark in the beginning of `sample`, if there is one.
    pub fn find(sample: &[u8]) -> Option<Mark> {
        let head = &sample[..sample.len().min(SEARCHED)];
        let at = head.windows(3).position(|window| window == b"hw:")?;
        let text = core::str::from_utf8(sample.get(at..at + Mark::LEN)?).ok()?;
        let (source, frame) = text.strip_prefix("hw:")?.strip_suffix(';')?.split_once(':')?;
        let source = u32::from_str_radix(source, 16).ok()?;
        Some(Mark { source, frame: u64::from_str_radix(frame, 16).ok()? })
    }
}

/// Parameter sets and delimiters in front of the mark are shorter than this.
const SEARCHED: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_behind_other_bytes() {
        let mark = Mark { source: 0xfe, frame: 1 << 40 };
        let mut sample = vec![0, 0, 0, 1, 9, 16, b'h', b'w'];
        assert_eq!(Mark::find(&sample), None);
        sample.extend(mark.to_bytes());
        assert_eq!(Mark::find(&sample), Some(mark));
        assert_eq!(Mark::find(&sample[..sample.len() - 1]), None);
    }
}
