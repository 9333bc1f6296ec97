//! A peer that means no good: it connects to a port of RTMP or OVT and is silent, slow, endless or senseless there, as
//! its seed has it, again and again, and writes down how long it was put up with.
//!
//! HTTP is not among its protocols: whoever speaks nonsense there never gets past the driver to a machine.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use headwater_core::io::{Close, CloseReason, ConnId, Endpoint, Input, Machine, Output};
use headwater_core::time::{Deadline, Now, Time, Wall};

use crate::check::Checker;
use crate::encoder::{Frames, PublishClient, PublishOutput, Source, Target};
use crate::host::Boot;
use crate::ome;
use crate::rng::Rng;
use crate::rtmp::Rtmp;
use crate::world::{HostId, World};

/// What is spoken on the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A port for edges.
    Ovt,
    /// A port for encoders.
    Rtmp,
}

/// What a peer does on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mischief {
    /// Many connections at once that say nothing.
    Crowd,
    /// A good beginning, a byte per second.
    Drip,
    /// One message that never ends.
    Endless,
    /// A good beginning up to a published or described stream, and then random bytes.
    Garbage,
    /// A good beginning up to a published or described stream, and then nothing.
    Linger,
    /// A good beginning, and right behind it the end of the connection.
    Leave,
    /// Random bytes, on and on.
    Noise,
    /// Nothing.
    Silence,
    /// A good beginning that breaks off, and then nothing.
    Truncated,
}

/// Every mischief.
pub const MISCHIEFS: [Mischief; 9] = [
    Mischief::Crowd,
    Mischief::Drip,
    Mischief::Endless,
    Mischief::Garbage,
    Mischief::Linger,
    Mischief::Leave,
    Mischief::Noise,
    Mischief::Silence,
    Mischief::Truncated,
];

/// A connection that a peer had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// What it did there.
    pub mischief: Mischief,
    /// When it was accepted, on the peer's monotonic clock.
    pub since: Time,
    /// When and how it was ended by the other side, on the peer's monotonic clock; none while it lasts, and if the
    /// peer left.
    pub ended: Option<(Time, CloseReason)>,
    /// When the peer left, on its monotonic clock.
    pub left: Option<Time>,
}

/// Every connection of a peer, shared with whoever started it.
pub type Meetings = Rc<RefCell<Vec<Meeting>>>;

/// Where a peer goes, and what it may do there.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub to: Endpoint,
    /// What is spoken there.
    pub protocol: Protocol,
    /// What it picks from; not empty.
    pub mischiefs: Vec<Mischief>,
    /// The longest time between two connections.
    pub pause: Duration,
    /// Connections of a crowd.
    pub crowd: u32,
    /// When it leaves by itself.
    pub patience: Duration,
}

impl Plan {
    /// Everything, on `host`:`port`, every few seconds.
    pub fn new(host: &str, port: u16, protocol: Protocol) -> Plan {
        Plan {
            to: Endpoint { host: host.to_owned(), port },
            protocol,
            mischiefs: MISCHIEFS.to_vec(),
            pause: Duration::from_secs(3),
            crowd: 50,
            patience: Duration::from_secs(120),
        }
    }
}

/// The program.
pub struct Peer {
    plan: Plan,
    meetings: Meetings,
    rng: Rng,
    next_at: Time,
    next_conn: u64,
    talks: BTreeMap<ConnId, Talk>,
    outbox: VecDeque<Output>,
}

struct Talk {
    mischief: Mischief,
    /// Its place among the meetings, once it is accepted.
    meeting: Option<usize>,
    client: Option<Box<dyn PublishClient>>,
    /// What is said one byte at a time.
    drip: VecDeque<u8>,
    next: Option<Time>,
    until: Time,
    unsent: usize,
}

impl Peer {
    /// A peer that has just been started. It writes into `meetings`.
    pub fn new(plan: Plan, meetings: &Meetings, seed: u64, now: Now) -> Peer {
        let meetings = meetings.clone();
        let rng = Rng::new(seed).fork("hostile");
        Peer {
            plan,
            meetings,
            rng,
            next_at: now.mono,
            next_conn: 2,
            talks: BTreeMap::new(),
            outbox: VecDeque::new(),
        }
    }

    /// A host's program that writes into `meetings`, life after life.
    pub fn boot(plan: Plan, meetings: &Meetings) -> Boot {
        let meetings = meetings.clone();
        Boot::new(move |seed, now| Box::new(Peer::new(plan.clone(), &meetings, seed, now)))
    }

    fn settle(&mut self, now: Now) {
        if self.next_at <= now.mono {
            self.next_at = now.mono + Duration::from_millis(1) + self.rng.duration(self.plan.pause);
            self.meet(now.mono);
        }
        let conns: Vec<ConnId> = self.talks.keys().copied().collect();
        for conn in conns {
            self.tend(now.mono, conn);
        }
    }

    fn meet(&mut self, now: Time) {
        let pick = self.rng.below(self.plan.mischiefs.len() as u64) as usize;
        let Some(mischief) = self.plan.mischiefs.get(pick).copied() else { return };
        let count = if mischief == Mischief::Crowd { self.plan.crowd } else { 1 };
        for _ in 0..count {
            if self.talks.len() >= TALKS_MAX {
                return;
            }
            let conn = ConnId(self.next_conn);
            self.next_conn += 2;
            let talk = Talk {
                mischief,
                meeting: None,
                client: None,
                drip: VecDeque::new(),
                next: None,
                until: now + self.plan.patience,
                unsent: 0,
            };
            self.talks.insert(conn, talk);
            self.outbox.push_back(Output::Open { conn, to: self.plan.to.clone() });
        }
    }

    fn tend(&mut self, now: Time, conn: ConnId) {
        let Some(talk) = self.talks.get_mut(&conn) else { return };
        if talk.until <= now {
            return self.leave(now, conn, Close::Abort);
        }
        if let Some(client) = &mut talk.client {
            let (mut written, mut ready) = (Vec::new(), false);
            while let Some(output) = client.poll() {
                match output {
                    PublishOutput::Write(bytes) => written.push(bytes),
                    PublishOutput::Ready => ready = true,
                    PublishOutput::Refused(_) => {}
                }
            }
            if ready && talk.mischief == Mischief::Garbage {
                begin_stream(client.as_mut());
                talk.next = Some(now);
            }
            for bytes in written {
                self.write(conn, bytes);
            }
        }
        let Some(talk) = self.talks.get_mut(&conn) else { return };
        if talk.next.is_none_or(|next| next > now) {
            return;
        }
        match talk.mischief {
            Mischief::Drip => {
                talk.next = Some(now + DRIP);
                if let Some(byte) = talk.drip.pop_front() {
                    self.write(conn, Bytes::copy_from_slice(&[byte]));
                }
            }
            Mischief::Endless => {
                talk.next = Some(now + SPEECH);
                let more = endless(self.plan.protocol);
                self.write(conn, more);
            }
            _ => {
                talk.next = Some(now + SPEECH);
                let len = 1 + self.rng.below(4_096);
                let noise: Vec<u8> = (0..len).map(|_| self.rng.number() as u8).collect();
                self.write(conn, noise.into());
            }
        }
    }

    fn opened(&mut self, now: Now, conn: ConnId) {
        let Some(talk) = self.talks.get_mut(&conn) else { return };
        let mut meetings = self.meetings.borrow_mut();
        if meetings.len() < MEETINGS_MAX {
            talk.meeting = Some(meetings.len());
            meetings.push(Meeting { mischief: talk.mischief, since: now.mono, ended: None, left: None });
        }
        drop(meetings);
        talk.until = now.mono + self.plan.patience;
        let beginning = beginning(self.plan.protocol, &self.plan.to, now.wall);
        match talk.mischief {
            Mischief::Crowd | Mischief::Silence => {}
            Mischief::Drip => {
                talk.drip = beginning.iter().copied().collect();
                talk.next = Some(now.mono);
            }
            Mischief::Endless => {
                talk.next = Some(now.mono);
                let opening = endless_opening(self.plan.protocol);
                self.write(conn, opening);
            }
            Mischief::Noise => talk.next = Some(now.mono),
            Mischief::Garbage | Mischief::Linger if self.plan.protocol == Protocol::Rtmp => {
                talk.client = Some(Rtmp::connect(&target(&self.plan.to)));
            }
            Mischief::Garbage => {
                talk.next = Some(now.mono + SPEECH);
                self.write(conn, beginning);
            }
            Mischief::Linger => self.write(conn, beginning),
            Mischief::Leave => {
                self.write(conn, beginning);
                self.leave(now.mono, conn, Close::Flush);
            }
            Mischief::Truncated => {
                let len = 1 + self.rng.below(beginning.len() as u64 - 1) as usize;
                self.write(conn, beginning.slice(..len));
            }
        }
    }

    fn write(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(talk) = self.talks.get_mut(&conn).filter(|talk| talk.unsent < UNSENT_MAX) else { return };
        talk.unsent += bytes.len();
        self.outbox.push_back(Output::Write { conn, bytes });
    }

    fn leave(&mut self, now: Time, conn: ConnId, how: Close) {
        self.outbox.push_back(Output::Close { conn, how });
        self.forget(conn, |meeting| meeting.left = Some(now));
    }

    fn forget(&mut self, conn: ConnId, note: impl FnOnce(&mut Meeting)) {
        let Some(place) = self.talks.remove(&conn).and_then(|talk| talk.meeting) else { return };
        if let Some(meeting) = self.meetings.borrow_mut().get_mut(place) {
            note(meeting);
        }
    }
}

/// The good beginning of a connection, as far as it does not depend on answers.
fn beginning(protocol: Protocol, to: &Endpoint, wall: Wall) -> Bytes {
    match protocol {
        Protocol::Ovt => {
            let target = format!("ovt://{to}/{APP}/{STREAM}");
            let text = format!(r#"{{"application":"describe","id":1,"target":"{target}"}}"#);
            ome::request(wall, &text).into()
        }
        Protocol::Rtmp => {
            let mut client = Rtmp::connect(&target(to));
            let written = core::iter::from_fn(|| client.poll()).filter_map(|output| match output {
                PublishOutput::Write(bytes) => Some(bytes),
                _ => None,
            });
            written.collect::<Vec<_>>().concat().into()
        }
    }
}

/// What comes before a message that never ends.
fn endless_opening(protocol: Protocol) -> Bytes {
    match protocol {
        Protocol::Ovt => Bytes::new(),
        // The handshake, and then the header of an audio message of 8 MB, which is not too long.
        Protocol::Rtmp => {
            let mut bytes = vec![3];
            bytes.resize(1 + 2 * 1_536, 0);
            bytes.extend([4, 0, 0, 0, 0x7f, 0xff, 0xff, 8, 1, 0, 0, 0]);
            bytes.extend([0; 128]);
            bytes.into()
        }
    }
}

/// A little more of a message that never ends.
fn endless(protocol: Protocol) -> Bytes {
    match protocol {
        Protocol::Ovt => ome::endless().into(),
        Protocol::Rtmp => {
            let chunk = [&[0xc4][..], &[0; 128]].concat();
            chunk.repeat(500).into()
        }
    }
}

/// The first frames of a stream, as an encoder sends them.
fn begin_stream(client: &mut dyn PublishClient) {
    let source = Source::default();
    let mut frames = Frames::new(source.clone(), 0, Wall::from_micros(0));
    client.send_metadata(&source);
    client.send_video(0, frames.video_header());
    client.send_audio(0, frames.audio_header());
    for frame in (0..10).map(|_| frames.produce()) {
        match frame.video {
            true => client.send_video(frame.timestamp_ms, frame.payload),
            false => client.send_audio(frame.timestamp_ms, frame.payload),
        }
    }
}

fn target(to: &Endpoint) -> Target {
    Target::new(&to.host, to.port, APP, STREAM)
}

impl Machine for Peer {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Opened { conn } => self.opened(now, conn),
            Input::Closed { conn, reason } => {
                self.forget(conn, |meeting| meeting.ended = Some((now.mono, reason)));
            }
            Input::Received { conn, bytes } => {
                if let Some(client) = self.talks.get_mut(&conn).and_then(|talk| talk.client.as_mut()) {
                    client.receive(&bytes);
                }
            }
            Input::Sent { conn, bytes } => {
                if let Some(talk) = self.talks.get_mut(&conn) {
                    talk.unsent = talk.unsent.saturating_sub(bytes);
                }
            }
            Input::Command(_) => {
                let conns: Vec<ConnId> = self.talks.keys().copied().collect();
                conns.into_iter().for_each(|conn| self.leave(now.mono, conn, Close::Abort));
                self.next_at = Time::from_micros(u64::MAX);
            }
            _ => {}
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let talks = self.talks.values().map(|talk| talk.next.unwrap_or(talk.until).min(talk.until));
        let at = talks.min().map_or(self.next_at, |at| at.min(self.next_at));
        Some(Deadline { at, why: "mischief" })
    }
}

/// Nobody puts up with a hostile peer for long.
pub struct HostilePeersAreClosed {
    host: HostId,
    meetings: Meetings,
    bound: Duration,
    place: usize,
}

impl HostilePeersAreClosed {
    /// The peer on `host`, which writes into `meetings`, is cut off within `bound` of being accepted, unless it leaves
    /// before.
    pub fn within(bound: Duration, host: HostId, meetings: &Meetings) -> HostilePeersAreClosed {
        HostilePeersAreClosed { host, meetings: meetings.clone(), bound, place: 0 }
    }
}

impl Checker for HostilePeersAreClosed {
    fn rule(&self) -> &'static str {
        "hostile peers are cut off"
    }

    fn check(&mut self, world: &World) -> Result<(), (Time, HostId, String)> {
        // A peer that is dead notices nothing any more.
        if !world.is_running(self.host) {
            return Ok(());
        }
        let now = world.clock(self.host).mono;
        let meetings = self.meetings.borrow();
        for meeting in meetings.iter().skip(self.place) {
            let end = meeting.ended.map(|(at, _)| at).or(meeting.left);
            let lasted = end.unwrap_or(now).since(meeting.since);
            if lasted > self.bound {
                let what = format!("{:?} was put up with for {lasted:?}", meeting.mischief);
                let ago = now.since(end.unwrap_or(now));
                return Err((world.now() - ago, self.host, what));
            }
        }
        let over = |meeting: &Meeting| meeting.ended.is_some() || meeting.left.is_some();
        self.place += meetings.iter().skip(self.place).take_while(|meeting| over(meeting)).count();
        Ok(())
    }
}

const APP: &str = "live";
const STREAM: &str = "hostile";
/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_secs(1);
/// Between two pieces of endless speech.
const SPEECH: Duration = Duration::from_millis(200);
/// Connections that a peer has at once.
const TALKS_MAX: usize = 1_000;
/// Connections that are written down.
const MEETINGS_MAX: usize = 100_000;
/// A peer that is not listened to stops talking.
const UNSENT_MAX: usize = 4 << 20;
