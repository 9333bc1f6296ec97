//! A run as one page to look at: lanes per host, messages, faults, failovers, viewers' buffers. The page is a file
//! that needs nothing else, neither a network nor a server; its drawing is in `assets/`.
//!
//! This file turns a [`World`] that was recorded into the page's data. It knows nothing of scenarios: what they
//! have to say comes in as [`Note`]s.

use std::collections::BTreeMap;

use headwater_core::event::{Event, Severity, StreamKey};
use headwater_core::io::Service;
use headwater_core::media::Kind;
use headwater_core::time::Time;
use serde::Serialize;

use crate::check::Violation;
use crate::host::Program;
use crate::net::Way;
use crate::recording::{Cargo, Condition, Flow, Newest, Recording};
use crate::trace::{Entry, What};
use crate::viewer::{Record, Viewer};
use crate::world::{HostId, World};

/// What whoever ran the world has to say about it.
#[derive(Clone, Debug)]
pub enum Note {
    /// A line of the page's head, such as the commit and its hash. The seed, the hash, the simulated time and the
    /// number of events are there without being said; a line of that name takes their place.
    Head {
        /// What is said.
        name: String,
        /// What it is.
        value: String,
    },
    /// A mark across all lanes.
    Mark {
        /// Where.
        at: Time,
        /// What for, in a few words.
        text: String,
    },
    /// A rule is broken: the run has failed.
    Violation(Violation),
}

impl Note {
    /// A line of the page's head.
    pub fn head(name: &str, value: impl Into<String>) -> Note {
        Note::Head { name: name.to_owned(), value: value.into() }
    }

    /// A mark across all lanes.
    pub fn mark(at: Time, text: impl Into<String>) -> Note {
        Note::Mark { at, text: text.into() }
    }
}

/// The page of `world`, which is best recorded from its beginning ([`World::record`]): without that, the last
/// entries of its trace and what its viewers suffered are all that there is to see. `title` is what was run.
pub fn page(title: &str, world: &World, notes: &[Note]) -> String {
    let data = serde_json::to_string(&Data::of(title, world, notes)).expect("numbers and texts are JSON");
    // Inside of a script element only its end tag, and what may open another, have a meaning.
    let data = data.replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let mut page = String::new();
    let mut rest = TEMPLATE;
    for (place, text) in [("{title}", &*title), ("{style}", STYLE), ("{data}", &*data), ("{script}", SCRIPT)]
    {
        let (before, after) = rest.split_once(place).expect("the template has every place, in this order");
        page.push_str(before);
        page.push_str(text);
        rest = after;
    }
    page + rest
}

/// All that the script draws. Times are microseconds; a column `t` holds what each is later than the one before.
#[derive(Serialize)]
struct Data {
    title: String,
    head: Vec<(String, String)>,
    violations: Vec<Broken>,
    marks: Vec<(u64, String)>,
    end: u64,
    categories: Vec<&'static str>,
    cargos: Vec<&'static str>,
    hosts: Vec<Lane>,
    messages: Messages,
    wires: Vec<WireSpan>,
    spans: Vec<PullSpan>,
    missing: Vec<String>,
    texts: Vec<String>,
}

#[derive(Serialize)]
struct Broken {
    at: u64,
    rule: &'static str,
    host: String,
    what: String,
}

#[derive(Serialize)]
struct Lane {
    name: String,
    role: Role,
    conditions: Vec<(u64, &'static str)>,
    events: Events,
    viewer: Option<Screen>,
}

/// What a host is there for, as far as one can see from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Encoder,
    Origin,
    Edge,
    Viewer,
    Other,
}

#[derive(Default, Serialize)]
struct Events {
    t: Vec<u64>,
    category: Vec<usize>,
    /// Indices of texts.
    label: Vec<usize>,
    detail: Vec<usize>,
    /// Numbers in the trace; what a viewer has written down has none.
    number: Vec<Option<u64>>,
}

/// A viewer's playing.
#[derive(Serialize)]
struct Screen {
    /// When, how much is buffered, and whether it is being played.
    levels: Vec<(u64, u64, u8)>,
    stalls: Vec<(u64, Option<u64>)>,
    /// Times without an arrival that are longer than usual: from, until, of what.
    gaps: Vec<(u64, u64, &'static str)>,
}

#[derive(Default, Serialize)]
struct Messages {
    t: Vec<u64>,
    /// How long the first was under way; -1 if it got stuck.
    flight: Vec<i64>,
    /// How much later than the first the last one left.
    span: Vec<u64>,
    from: Vec<usize>,
    to: Vec<usize>,
    /// Which connection of the world; none for datagrams.
    conn: Vec<Option<u64>>,
    cargo: Vec<usize>,
    count: Vec<u64>,
    bytes: Vec<u64>,
    /// The index of a text, 0 for none.
    text: Vec<usize>,
}

#[derive(Serialize)]
struct WireSpan {
    from: usize,
    to: usize,
    since: u64,
    until: Option<u64>,
    held: bool,
}

/// A stream of an edge that is waited for.
#[derive(Serialize)]
struct PullSpan {
    host: usize,
    since: u64,
    until: Option<u64>,
    /// Whether it had played before.
    failover: bool,
    /// Since when there was no media, if that is earlier.
    silent: Option<u64>,
    stream: String,
    label: String,
    detail: String,
}

impl Data {
    fn of(title: &str, world: &World, notes: &[Note]) -> Data {
        let recording = world.recording.as_deref();
        let mut texts = Texts::new();
        let hosts = world.hosts().map(|host| Lane::of(world, host, recording, &mut texts)).collect();
        let messages = recording.map(|recording| Messages::of(recording, &mut texts)).unwrap_or_default();
        let mut data = Data {
            title: title.to_owned(),
            head: Vec::new(),
            violations: Vec::new(),
            marks: Vec::new(),
            end: world.now().as_micros(),
            categories: CATEGORIES.iter().map(|(_, name)| *name).collect(),
            cargos: CARGOS.to_vec(),
            hosts,
            messages,
            wires: recording.map(wire_spans).unwrap_or_default(),
            spans: pull_spans(world),
            missing: missing(world, recording),
            texts: texts.all,
        };
        for note in notes {
            match note.clone() {
                Note::Head { name, value } => data.head.push((name, value)),
                Note::Mark { at, text } => data.marks.push((at.as_micros(), text)),
                Note::Violation(Violation { rule, at, host, what }) => {
                    data.violations.push(Broken { at: at.as_micros(), rule, host, what });
                }
            }
        }
        let own = [
            ("seed", format!("{:#x}", world.seed())),
            ("simulated", format!("{:.3} s", seconds(world.now()))),
            ("events", world.trace().count().to_string()),
            ("hash", format!("{:016x}", world.trace_hash())),
        ];
        for (name, value) in own {
            if !data.head.iter().any(|(known, _)| known == name) {
                data.head.push((name.to_owned(), value));
            }
        }
        data
    }
}

/// Texts that are written once and pointed to. The first is empty.
struct Texts {
    all: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Texts {
    fn new() -> Texts {
        Texts { all: vec![String::new()], places: BTreeMap::from([(String::new(), 0)]) }
    }

    fn place(&mut self, text: String) -> usize {
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        self.all.push(text.clone());
        self.places.insert(text, self.all.len() - 1);
        self.all.len() - 1
    }
}

impl Lane {
    fn of(world: &World, host: HostId, recording: Option<&Recording>, texts: &mut Texts) -> Lane {
        let recorded = recording.and_then(|recording| recording.lane(host));
        let mut lines: Vec<Line> = match recorded {
            Some(lane) => lane.loud.iter().chain(lane.quiet.iter()).map(Line::of).collect(),
            None => world.trace().last().filter(|entry| entry.host == host).map(Line::of).collect(),
        };
        let viewer = match &world.hosts[host.index()].program {
            Program::Viewer(viewer) => Some(viewer.as_ref()),
            _ => None,
        };
        if let Some(viewer) = viewer {
            lines.extend(suffering(viewer.record()));
        }
        lines.sort_by_key(|line| (line.at, line.number));
        let levels = recorded.map(|lane| lane.levels.iter()).into_iter().flatten();
        let levels = levels.map(|l| (l.at.as_micros(), micros(l.ahead), u8::from(l.playing))).collect();
        let conditions = recorded.map(|lane| lane.conditions.iter()).into_iter().flatten();
        let closed = conditions.clone().last().filter(|(_, how)| *how == Condition::Down).map(|(at, _)| *at);
        Lane {
            name: world.name(host).to_owned(),
            role: Role::of(world, host),
            conditions: conditions.map(|(at, how)| (at.as_micros(), condition(*how))).collect(),
            events: Events::of(lines, texts),
            viewer: viewer.map(|viewer| Screen::of(viewer, levels, closed, world.now())),
        }
    }
}

impl Role {
    fn of(world: &World, host: HostId) -> Role {
        let host = &world.hosts[host.index()];
        let offers = |service| host.services().any(|offered| offered == service);
        match &host.program {
            Program::Viewer(_) => Role::Viewer,
            _ if offers(Service::Rtmp) => Role::Origin,
            _ if offers(Service::Http) => Role::Edge,
            _ if offers(Service::Ovt) => Role::Origin,
            _ if host.name.starts_with("encoder") => Role::Encoder,
            Program::Machine { .. } if host.services().next().is_none() => Role::Encoder,
            _ => Role::Other,
        }
    }
}

/// One event of a lane, in words.
struct Line {
    at: Time,
    number: Option<u64>,
    category: Category,
    label: String,
    detail: String,
}

impl Line {
    fn of(entry: &Entry) -> Line {
        let (category, label, detail) = words(&entry.what);
        Line { at: entry.at, number: Some(entry.number), category, label, detail }
    }
}

impl Events {
    fn of(lines: Vec<Line>, texts: &mut Texts) -> Events {
        let mut events = Events::default();
        let mut before = 0;
        for line in lines {
            let at = line.at.as_micros();
            events.t.push(at - before);
            before = at;
            events.category.push(line.category.index());
            events.label.push(texts.place(line.label));
            events.detail.push(texts.place(line.detail));
            events.number.push(line.number);
        }
        events
    }
}

impl Screen {
    /// `closed` is when it went away, if it did.
    fn of(viewer: &Viewer, levels: Vec<(u64, u64, u8)>, closed: Option<Time>, now: Time) -> Screen {
        let record = viewer.record();
        let stalls = record.stalls.iter();
        let mut gaps = Vec::new();
        for (kind, name) in [(Kind::Video, "video"), (Kind::Audio, "audio")] {
            let arrivals = record.parts.iter().filter(|part| part.kind == kind).map(|part| part.at);
            let mut last: Option<Time> = None;
            for at in arrivals.chain([closed.unwrap_or(now)]) {
                if let Some(last) = last.filter(|last| at.since(*last) > GAP) {
                    gaps.push((last.as_micros(), at.as_micros(), name));
                }
                last = Some(at);
            }
        }
        Screen {
            levels,
            stalls: stalls.map(|s| (s.from.as_micros(), s.until.or(closed).map(Time::as_micros))).collect(),
            gaps,
        }
    }
}

impl Messages {
    fn of(recording: &Recording, texts: &mut Texts) -> Messages {
        let mut messages = Messages::default();
        let mut before = 0;
        for message in recording.messages.iter() {
            let sent = message.sent.as_micros();
            messages.t.push(sent - before);
            before = sent;
            let flight = message.arrived.map(|arrived| micros(arrived.since(message.sent)));
            messages.flight.push(flight.map_or(-1, |us| i64::try_from(us).unwrap_or(i64::MAX)));
            messages.span.push(micros(message.last_sent.since(message.sent)));
            messages.from.push(message.from.index());
            messages.to.push(message.to.index());
            messages.conn.push(match message.flow {
                Flow::Connection(number, _) => Some(number),
                Flow::Datagrams(..) => None,
            });
            let (cargo, text) = cargo(&message.cargo);
            messages.cargo.push(cargo);
            messages.text.push(texts.place(text));
            messages.count.push(message.count);
            messages.bytes.push(message.bytes);
        }
        messages
    }
}

/// When which wire was cut or held.
fn wire_spans(recording: &Recording) -> Vec<WireSpan> {
    let mut spans: Vec<WireSpan> = Vec::new();
    let mut open: BTreeMap<(HostId, HostId), usize> = BTreeMap::new();
    for change in recording.wires.iter() {
        let at = change.at.as_micros();
        let held = change.way == Way::Held;
        if let Some(place) = open.remove(&(change.from, change.to)) {
            if change.way != Way::Open && spans[place].held == held {
                open.insert((change.from, change.to), place);
                continue;
            }
            spans[place].until = Some(at);
        }
        if change.way != Way::Open {
            open.insert((change.from, change.to), spans.len());
            let (from, to) = (change.from.index(), change.to.index());
            spans.push(WireSpan { from, to, since: at, until: None, held });
        }
    }
    spans
}

/// When an edge waited for a stream: from the first dial, or from the moment at which it suspected or lost the origin that
/// it played, until media came.
fn pull_spans(world: &World) -> Vec<PullSpan> {
    #[derive(Default)]
    struct Pull<'a> {
        playing: Option<&'a str>,
        waiting: Option<usize>,
        /// Since when the origin that it plays is suspect.
        suspect: Option<u64>,
    }
    let mut spans: Vec<PullSpan> = Vec::new();
    let mut pulls: BTreeMap<(HostId, &StreamKey), Pull> = BTreeMap::new();
    for fact in world.facts() {
        let at = fact.at.as_micros();
        let begin = |key: &StreamKey, failover, detail: String| {
            let label = if failover { "no origin" } else { "no media yet" }.to_owned();
            let (host, stream) = (fact.host.index(), key.to_string());
            PullSpan { host, since: at, until: None, failover, silent: None, stream, label, detail }
        };
        match &fact.event {
            Event::PullDialled { key, url } => {
                let pull = pulls.entry((fact.host, key)).or_default();
                if pull.playing.is_none() && pull.waiting.is_none() {
                    pull.waiting = Some(spans.len());
                    spans.push(begin(key, false, format!("dialled {url}")));
                }
            }
            Event::PullLost { key, url, why } => {
                let pull = pulls.entry((fact.host, key)).or_default();
                if pull.playing.is_some_and(|playing| playing == url) {
                    pull.playing = None;
                    pull.waiting = Some(spans.len());
                    let span = begin(key, true, format!("lost {url}: {why}"));
                    spans.push(PullSpan { since: pull.suspect.take().unwrap_or(at), ..span });
                } else if let Some(span) = pull.waiting.and_then(|place| spans.get_mut(place)) {
                    span.detail += &format!("\ncould not use {url}: {why}");
                }
            }
            Event::PullPlaying { key, url, outage, joined } => {
                let pull = pulls.entry((fact.host, key)).or_default();
                pull.playing = Some(url);
                pull.suspect = None;
                let Some(span) = pull.waiting.take().and_then(|place| spans.get_mut(place)) else { continue };
                span.until = Some(at);
                let took = milliseconds(at - span.since);
                let silent = at.saturating_sub(micros(*outage));
                let outage = milliseconds(micros(*outage));
                span.silent = Some(silent).filter(|silent| span.failover && *silent < span.since);
                span.label = match (span.failover, span.silent) {
                    (false, _) => format!("first media {took}"),
                    (true, None) => format!("failover {took}"),
                    (true, Some(_)) => format!("failover {took}, {outage} without media"),
                };
                span.detail += &format!("\nplays {url}, joined {joined:?}, {outage} without media");
            }
            Event::PullSuspected { key, .. } => pulls.entry((fact.host, key)).or_default().suspect = Some(at),
            Event::PullTrusted { key, .. } => pulls.entry((fact.host, key)).or_default().suspect = None,
            Event::PullEnded { key, why } => {
                let Some(pull) = pulls.remove(&(fact.host, key)) else { continue };
                let Some(span) = pull.waiting.and_then(|place| spans.get_mut(place)) else { continue };
                span.until = Some(at);
                span.label = format!("given up after {}", milliseconds(at - span.since));
                span.detail += &format!("\ngiven up: {why}");
            }
            _ => {}
        }
    }
    spans
}

/// What the bounds of the recording have cost.
fn missing(world: &World, recording: Option<&Recording>) -> Vec<String> {
    let Some(recording) = recording else {
        return vec!["This run was not recorded: only its last events are here.".to_owned()];
    };
    fn note<T>(missing: &mut Vec<String>, kept: &Newest<T>, what: &str, at: impl Fn(&T) -> Time) {
        if let (true, Some(first)) = (kept.gone() > 0, kept.iter().next()) {
            let before = seconds(at(first));
            missing.push(format!("{} {what} before {before:.3} s not kept", kept.gone()));
        }
    }
    let mut missing = Vec::new();
    for host in world.hosts() {
        let Some(lane) = recording.lane(host) else { continue };
        let name = world.name(host);
        note(&mut missing, &lane.loud, &format!("events of {name}"), |entry| entry.at);
        note(&mut missing, &lane.quiet, &format!("packets, timers and parts of {name}"), |entry| entry.at);
        note(&mut missing, &lane.conditions, &format!("starts and stops of {name}"), |(at, _)| *at);
        note(&mut missing, &lane.levels, &format!("buffer levels of {name}"), |level| level.at);
    }
    note(&mut missing, &recording.messages, "messages", |message| message.sent);
    note(&mut missing, &recording.wires, "cuts and heals", |change| change.at);
    missing
}

/// What kind of thing an event is; each has a shape and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Violation,
    Fatal,
    Fault,
    Warning,
    Trouble,
    Event,
    Connection,
    Http,
    Part,
    Timer,
    Bytes,
}

/// With their names in the page's data.
const CATEGORIES: [(Category, &str); 11] = [
    (Category::Violation, "violation"),
    (Category::Fatal, "fatal"),
    (Category::Fault, "fault"),
    (Category::Warning, "warning"),
    (Category::Trouble, "trouble"),
    (Category::Event, "event"),
    (Category::Connection, "connection"),
    (Category::Http, "http"),
    (Category::Part, "part"),
    (Category::Timer, "timer"),
    (Category::Bytes, "bytes"),
];

impl Category {
    fn index(self) -> usize {
        CATEGORIES.iter().position(|(category, _)| *category == self).expect("every category is listed")
    }
}

/// An entry as its category, what it is called, and the rest.
fn words(what: &What) -> (Category, String, String) {
    let text = str::to_owned;
    match what {
        What::Accepted(conn, service) => {
            (Category::Connection, text("accepted"), format!("connection {}, {service:?}", conn.0))
        }
        What::Closed(conn, reason) => {
            (Category::Connection, text("closed"), format!("connection {}: {reason:?}", conn.0))
        }
        What::Datagram(from, port, bytes, hash) => (
            Category::Bytes,
            text("datagram"),
            format!("{bytes} bytes from {from} to port {port}, hash {hash:016x}"),
        ),
        What::Fault(fault) => (Category::Fault, fault.clone(), String::new()),
        What::Event(event) => {
            let (name, detail) = event_words(event);
            let category = match event.severity() {
                Severity::Warn => Category::Warning,
                Severity::Info => Category::Event,
                Severity::Debug if matches!(event, Event::PartReady { .. }) => Category::Part,
                Severity::Debug => Category::Connection,
            };
            (category, name, detail)
        }
        // The body of an answer has no status of its own.
        What::Fetched(number, Ok(0), hash) => {
            (Category::Http, text("body"), format!("of request {number}, hash {hash:016x}"))
        }
        What::Fetched(number, Ok(status), _) if *status < 400 => {
            (Category::Http, format!("answer {status}"), format!("to request {number}"))
        }
        What::Fetched(number, Ok(status), _) => {
            (Category::Warning, format!("answer {status}"), format!("to request {number}"))
        }
        What::Fetched(number, Err(reason), _) => {
            (Category::Warning, text("no answer"), format!("to request {number}: {reason:?}"))
        }
        What::Opened(conn) => (Category::Connection, text("opened"), format!("connection {}", conn.0)),
        What::Received(conn, bytes, hash) => (
            Category::Bytes,
            text("received"),
            format!("{bytes} bytes on connection {}, hash {hash:016x}", conn.0),
        ),
        What::Request(id, uri) => (Category::Http, text("request"), format!("{} {uri}", id.0)),
        What::RequestGone(id) => (Category::Http, text("request gone"), format!("{}", id.0)),
        What::Sent(conn, bytes) => {
            (Category::Bytes, text("sent"), format!("{bytes} bytes on connection {}", conn.0))
        }
        What::Timeout(why) => (Category::Timer, text(why), text("a deadline has passed")),
    }
}

/// What a program said: the event's name, and what it holds.
fn event_words(event: &Event) -> (String, String) {
    let debug = format!("{event:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
    let detail = match event {
        Event::ViewersRefused { count, why } => format!("{count}: {why}"),
        Event::Configured { stays } => stays.join("; "),
        Event::ConfigurationAsked => String::new(),
        Event::DrainEnded { why } => (*why).to_owned(),
        Event::DrainStarted { within } => format!("within {}", milliseconds(micros(*within))),
        Event::PeerMisbehaved { conn, what } => format!("connection {}: {what}", conn.0),
        Event::PublishRefused { conn, why } => format!("connection {}: {why}", conn.0),
        Event::PublishStarted { key, conn }
        | Event::PublisherStandsBy { key, conn }
        | Event::RelayStarted { key, conn }
        | Event::RelayEnded { key, conn } => format!("{key} on connection {}", conn.0),
        Event::PublishEnded { key, why }
        | Event::PublishInterrupted { key, why }
        | Event::PullEnded { key, why } => format!("{key}: {why}"),
        Event::PublishResumed { key, outage, joined } => {
            format!("{key}, {} without media, joined {joined:?}", milliseconds(micros(*outage)))
        }
        Event::PullDialled { key, url }
        | Event::StandbyApart { key, url }
        | Event::StandbyCovers { key, url }
        | Event::StandbyReady { key, url } => format!("{key} at {url}"),
        Event::PullLost { key, url, why } | Event::StandbyLost { key, url, why } => {
            format!("{key} at {url}: {why}")
        }
        Event::PullPlaying { key, url, outage, joined } => {
            format!("{key} at {url}, {} without media, joined {joined:?}", milliseconds(micros(*outage)))
        }
        Event::PullSuspected { key, url, silent_for } | Event::PullTrusted { key, url, silent_for } => {
            format!("{key} at {url}, silent for {}", milliseconds(micros(*silent_for)))
        }
        Event::RelaySkipped { key, conn, packets } => {
            format!("{key} on connection {}: {packets} packets", conn.0)
        }
        Event::PartReady { key, track, msn, part } => {
            format!("{key} track {track} segment {msn} part {part}")
        }
        Event::ConnectionLost { conn, reason, .. } => format!("connection {}: {reason:?}", conn.0),
        Event::RouteFollowed { key, epoch: Some(epoch), url }
        | Event::StreamWaits { key, epoch: Some(epoch), url } => {
            format!("{key} at {url} in epoch {epoch}")
        }
        Event::RouteFollowed { key, epoch: None, url } | Event::StreamWaits { key, epoch: None, url } => {
            format!("{key} at {url}")
        }
        Event::RouteUnusable { key, why } => format!("{key}: {why}"),
        Event::StreamShared { key, doubt: None } => format!("{key} is the same on every server"),
        Event::StreamShared { key, doubt: Some(why) } => {
            format!("{key} may differ from other servers: {why}")
        }
        Event::StoreAway { vhost, why } => format!("{vhost}: {why}"),
        Event::StoreBack { vhost, after } => format!("{vhost} after {}", milliseconds(micros(*after))),
        Event::StreamAnnounced { key, epoch } => format!("{key} in epoch {epoch}"),
        Event::StreamDisowned { key } => key.to_string(),
        Event::StreamWarning { key, what } => format!("{key}: {what}"),
    };
    (debug[..end].to_owned(), detail)
}

/// What a viewer has written down of its troubles.
fn suffering(record: &Record) -> Vec<Line> {
    let line = |at, category, label: String, detail| Line { at, number: None, category, label, detail };
    let mut lines = Vec::new();
    for (at, trouble) in &record.troubles {
        let debug = format!("{trouble:?}");
        let (label, detail) = debug.split_once(' ').unwrap_or((&debug, ""));
        let detail = detail.trim_start_matches("{ ").trim_end_matches(" }").to_owned();
        lines.push(line(*at, Category::Trouble, label.to_owned(), detail));
    }
    for jump in &record.jumps {
        let over = milliseconds(u64::try_from(jump.to_us - jump.from_us).unwrap_or(0));
        lines.push(line(jump.at, Category::Trouble, format!("skips {over}"), "a hole".to_owned()));
    }
    if let Some(started) = record.started {
        lines.push(line(started, Category::Event, "starts playing".to_owned(), String::new()));
    }
    if let Some((at, fatal)) = &record.fatal {
        lines.push(line(*at, Category::Fatal, "gives up".to_owned(), fatal.to_string()));
    }
    lines
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Running => "running",
        Condition::Paused => "paused",
        Condition::Stopping => "stopping",
        Condition::Down => "down",
        Condition::Dark => "dark",
    }
}

/// The place of a cargo in [`CARGOS`], and what there is to say about it.
fn cargo(cargo: &Cargo) -> (usize, String) {
    match cargo {
        Cargo::Data => (0, String::new()),
        Cargo::Request(uri) => (1, uri.clone()),
        Cargo::Cancel => (2, String::new()),
        Cargo::Answer(status) => (3, status.to_string()),
        Cargo::Body => (4, String::new()),
        Cargo::Syn => (5, String::new()),
        Cargo::SynAck => (6, String::new()),
        Cargo::Fin => (7, String::new()),
        Cargo::Rst => (8, String::new()),
        Cargo::Refused => (9, String::new()),
        Cargo::Datagram => (10, String::new()),
    }
}

const CARGOS: [&str; 11] = [
    "data",
    "request",
    "request given up",
    "answer",
    "body",
    "SYN",
    "SYN+ACK",
    "FIN",
    "RST",
    "refused",
    "datagram",
];

fn micros(span: core::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn seconds(time: Time) -> f64 {
    time.as_micros() as f64 / 1e6
}

fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..10_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// Longer without an arrival than this is shown: twice the longest usual part.
const GAP: core::time::Duration = core::time::Duration::from_millis(1_000);
const TEMPLATE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");
