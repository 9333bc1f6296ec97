//! What a peer was told and has not taken yet.
//!
//! Media has queues of its own. This is for everything else: a peer that asks on and on, or makes us acknowledge, and
//! never reads, would otherwise fill the memory with answers.

use crate::limits::UNREAD_ANSWERS_BYTES_MAX;

/// Bytes of answers that are on their way to one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unread {
    bytes: usize,
}

impl Unread {
    /// Counts an answer. False if so much was unread already that the peer is to be cut.
    pub(super) fn add(&mut self, bytes: usize) -> bool {
        let has_room = self.bytes <= UNREAD_ANSWERS_BYTES_MAX;
        self.bytes += bytes;
        has_room
    }

    /// That many bytes have left.
    pub(super) fn taken(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// How many are on their way.
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }
}
