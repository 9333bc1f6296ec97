//! What a machine holds at a moment, counted from outside.
//!
//! A census is taken by walking the collections themselves, never from counters kept beside them: a counter would be
//! forgotten together with the thing that it counts. So it costs time in proportion to what it counts, and is meant
//! for checkers and for people who look for a leak, not for every packet.

/// What a machine holds. Where a thing is kept in two collections (by its name and in the order of time), the longer
/// one counts, so that what was forgotten in only one of them shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections of publishers.
    pub publishers: usize,
    /// Publishers that stand by.
    pub standby_publishers: usize,
    /// Connections of OVT clients.
    pub clients: usize,
    /// Connections to origins.
    pub pulls: usize,
    /// Streams, or the names under which they are found.
    pub streams: usize,
    /// Pulls that have not delivered anything yet.
    pub starting_pulls: usize,
    /// OVT clients that a stream counts as its players.
    pub playing_clients: usize,
    /// DESCRIBE requests that wait for a stream to start.
    pub held_describes: usize,
    /// HTTP requests that wait for a part or for a stream to start.
    pub waiting_requests: usize,
    /// Deadlines that are kept in a queue.
    pub deadlines: usize,
    /// Things to do or to tell that nobody has polled.
    pub outputs: usize,
    /// Bytes that were given to the driver and have not left, as the machine counts them.
    pub unsent_bytes: usize,
    /// Bytes of unfinished messages, and of media that has no place yet.
    pub unfinished_bytes: usize,
    /// Bytes of media that are kept for OVT clients that come late.
    pub history_bytes: usize,
    /// Bytes of media that viewers can ask for, and of what is about to become that.
    pub window_bytes: usize,
    /// Fingerprints of access units, and boundaries of segments.
    pub marks: usize,
    /// Streams that are announced in a directory, or are to be.
    pub announced_streams: usize,
    /// Streams of which a directory is asked where they are.
    pub watched_routes: usize,
    /// Streams that no origin had a moment ago. They stay: the memory is bounded by
    /// [`ABSENT_STREAMS_MAX`](crate::limits::ABSENT_STREAMS_MAX) and tidied up when the next one is remembered.
    pub absent_streams: usize,
    /// Streams that ended and whose last media sequence number is known. They stay, bounded by
    /// [`ENDED_STREAMS_MAX`](crate::limits::ENDED_STREAMS_MAX).
    pub ended_streams: usize,
}

impl Census {
    /// What must be nothing once nobody publishes, plays or asks any more, and every deadline has passed: the counts
    /// that are not, with their names. What is remembered on purpose of streams that are gone is not among them.
    pub fn held(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("publishers", self.publishers),
            ("standby publishers", self.standby_publishers),
            ("clients", self.clients),
            ("pulls", self.pulls),
            ("streams", self.streams),
            ("starting pulls", self.starting_pulls),
            ("playing clients", self.playing_clients),
            ("held describes", self.held_describes),
            ("waiting requests", self.waiting_requests),
            ("deadlines", self.deadlines),
            ("outputs", self.outputs),
            ("unsent bytes", self.unsent_bytes),
            ("unfinished bytes", self.unfinished_bytes),
            ("bytes of history", self.history_bytes),
            ("bytes in windows", self.window_bytes),
            ("marks", self.marks),
            ("announced streams", self.announced_streams),
            ("watched routes", self.watched_routes),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}
