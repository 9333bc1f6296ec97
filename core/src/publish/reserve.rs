//! What a publisher that stands by has sent since its last key frame: whoever takes over begins with that at once.

use std::collections::VecDeque;

use crate::limits::{RESERVE_BYTES_MAX, RESERVE_PACKETS_MAX};
use crate::media::{Packet, TrackId};

/// A publisher's last group of pictures.
#[derive(Debug, Default)]
pub struct Reserve {
    packets: VecDeque<Packet>,
    bytes: usize,
}

impl Reserve {
    /// Takes the publisher's next packet; decoding starts at key frames of `main`, and at any packet without one. A group
    /// that is too long to be kept is let go: the next key frame is waited for.
    pub fn push(&mut self, main: Option<TrackId>, packet: Packet) {
        let starts = packet.key && main.is_none_or(|main| main == packet.track);
        if starts {
            self.clear();
        } else if self.packets.is_empty() {
            return;
        }
        self.bytes += packet.data.len();
        self.packets.push_back(packet);
        if self.packets.len() > RESERVE_PACKETS_MAX || self.bytes > RESERVE_BYTES_MAX {
            self.clear();
        }
    }

    /// Whether there is anything to begin with.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// How many bytes it keeps.
    pub fn bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.data.len()).sum()
    }

    /// Its packets, from the key frame on.
    pub fn into_packets(self) -> VecDeque<Packet> {
        self.packets
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::{Timebase, Timestamp};

    const VIDEO: TrackId = TrackId(0);

    fn packet(n: i64, track: TrackId, key: bool, len: usize) -> Packet {
        let dts = Timestamp::new(n, Timebase::MILLIS);
        Packet { track, dts, pts: dts, key, data: Bytes::from(vec![0; len]) }
    }

    #[test]
    fn a_group_that_is_too_long_waits_for_the_next_key_frame() {
        let mut reserve = Reserve::default();
        reserve.push(Some(VIDEO), packet(0, VIDEO, true, RESERVE_BYTES_MAX));
        assert!(!reserve.is_empty());
        reserve.push(Some(VIDEO), packet(1, VIDEO, false, 1));
        reserve.push(Some(VIDEO), packet(2, VIDEO, false, 1));
        assert!(reserve.is_empty());
        reserve.push(Some(VIDEO), packet(3, VIDEO, true, 1));
        assert_eq!(reserve.into_packets().len(), 1);
    }

    proptest! {
        /// Whatever comes, it begins with the last key frame, nothing is missing after it, and it is bounded.
        #[test]
        fn it_is_the_end_of_what_came(packets in prop::collection::vec((0u32..2, any::<bool>(), 0usize..2_000_000), 0..60)) {
            let mut reserve = Reserve::default();
            let mut came = Vec::new();
            for (n, (track, key, len)) in packets.into_iter().enumerate() {
                let packet = packet(n as i64, TrackId(track), key, len);
                came.push(packet.clone());
                reserve.push(Some(VIDEO), packet);
                prop_assert!(reserve.bytes() <= RESERVE_BYTES_MAX);
                prop_assert_eq!(reserve.bytes(), reserve.bytes);
            }
            let kept: Vec<Packet> = reserve.into_packets().into();
            prop_assert!(came.ends_with(&kept));
            let starts = |packet: &Packet| packet.key && packet.track == VIDEO;
            prop_assert_eq!(kept.iter().filter(|packet| starts(packet)).count(), usize::from(!kept.is_empty()));
            prop_assert!(kept.first().is_none_or(starts));
        }
    }
}
