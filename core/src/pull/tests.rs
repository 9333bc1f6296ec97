//! A pull against origins that do what origins do, on virtual time and without a network.

mod standby;

use std::collections::BTreeMap;

use super::*;
use crate::media::StreamInfo;
use crate::testing::{Manner, Origin, at, frame, stream, video};
use crate::wire::ovt::Application;

/// What happens to an attempt to connect to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open(Manner),
    Refuses,
    /// Swallows the packets.
    Hole,
}

/// A host: an origin, whatever state it is in, that has the stream since time zero.
struct Host {
    door: Door,
    info: StreamInfo,
    /// Its frames carry other content, and stand at other times.
    offset: i64,
    /// The same frames stand so many milliseconds later.
    shift_ms: i64,
    /// It sends them so many frames later.
    lag: i64,
    /// Sends no frame from here on.
    mute: bool,
    /// What it has of the past ends with this frame.
    newest: Option<i64>,
    /// Sends no key frame.
    keyless: bool,
    /// Sends signs of life to those who ask.
    beats: bool,
    /// Stands still: what it has to send comes when it goes on.
    stopped: bool,
}

struct Bench {
    pull: Pull,
    ms: u64,
    hosts: BTreeMap<&'static str, Host>,
    links: BTreeMap<ConnId, (String, Origin)>,
    next_conn: u64,
    /// Everything that was asked of each host, over all connections.
    asked: Vec<(String, Application, u32)>,
    dials: Vec<(u64, String)>,
    events: Vec<(u64, Event)>,
    infos: Vec<StreamInfo>,
    packets: Vec<(u64, Packet)>,
    over: Option<(u64, Over)>,
    /// What the directory says, and when it was asked.
    places: Result<Vec<Url>, Unresolved>,
    resolves: Vec<u64>,
}

const STEP_MS: u64 = 10;
const FRAME_MS: u64 = 40;

fn urls(hosts: &[&str]) -> Vec<Url> {
    let url = |host: &&str| Url::parse(&format!("ovt://{host}:9000/app/stream?token=1")).expect("a URL");
    hosts.iter().map(url).collect()
}

/// A plan that knows nothing but the directory.
fn ask() -> Plan {
    Plan { directory: true, ..plan(&[]) }
}

fn plan(hosts: &[&str]) -> Plan {
    Plan {
        urls: urls(hosts),
        directory: false,
        properties: PullProperties::default(),
        persistent: false,
        failback: false,
        hot_standby: 0,
        timestamps: TimestampMode::ZeroBased,
        via: vec![7],
    }
}

impl Bench {
    /// The streams of the hosts have been there for five seconds when the pull starts.
    fn new(plan: Plan, doors: &[(&'static str, Door)]) -> Bench {
        Bench::finding(Err(Unresolved::Absent), plan, doors)
    }

    /// The same, with a directory that says `places`.
    fn finding(places: Result<Vec<Url>, Unresolved>, plan: Plan, doors: &[(&'static str, Door)]) -> Bench {
        Bench::build(places, plan, doors, true)
    }

    /// The same as [`Bench::new`] with origins that know no signs of life.
    fn without_beats(plan: Plan, doors: &[(&'static str, Door)]) -> Bench {
        Bench::build(Err(Unresolved::Absent), plan, doors, false)
    }

    fn build(
        places: Result<Vec<Url>, Unresolved>,
        plan: Plan,
        doors: &[(&'static str, Door)],
        beats: bool,
    ) -> Bench {
        let key = StreamKey { vhost: "default".into(), app: "app".into(), stream: "stream".into() };
        let host = |(name, door): &(&'static str, Door)| {
            let info = stream(name, vec![video(0)]);
            (
                *name,
                Host {
                    door: *door,
                    info,
                    offset: 0,
                    shift_ms: 0,
                    lag: 0,
                    mute: false,
                    newest: None,
                    keyless: false,
                    beats,
                    stopped: false,
                },
            )
        };
        let mut bench = Bench {
            pull: Pull::start(at(5_000), key, plan, 1),
            ms: 5_000,
            hosts: doors.iter().map(host).collect(),
            links: BTreeMap::new(),
            next_conn: 0,
            asked: Vec::new(),
            dials: Vec::new(),
            events: Vec::new(),
            infos: Vec::new(),
            packets: Vec::new(),
            over: None,
            places,
            resolves: Vec::new(),
        };
        bench.settle();
        bench
    }

    /// The directory says unasked that the stream is elsewhere.
    fn moves(&mut self, hosts: &[&str]) -> &mut Self {
        self.places = Ok(urls(hosts));
        self.pull.resolved(self.now(), self.places.clone());
        self.settle();
        self
    }

    fn now(&self) -> Now {
        at(self.ms)
    }

    fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).expect("a host")
    }

    fn door(&mut self, name: &str, door: Door) -> &mut Self {
        self.host(name).door = door;
        self
    }

    /// Breaks every connection to a host, in this way.
    fn cut(&mut self, name: &str, reason: CloseReason) -> &mut Self {
        let conns: Vec<ConnId> =
            self.links.iter().filter(|(_, (host, _))| host == name).map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.hang_up(conn);
            self.pull.closed(self.now(), conn, reason);
            self.settle();
        }
        self
    }

    fn run(&mut self, ms: u64) -> &mut Self {
        for _ in 0..ms / STEP_MS {
            self.ms += STEP_MS;
            if self.ms.is_multiple_of(FRAME_MS) {
                self.frames();
            }
            let now = self.now();
            if self.ms.is_multiple_of(limits::OVT_BEAT.as_millis() as u64) {
                let alive = self.links.values_mut().filter(|(host, _)| !self.hosts[host.as_str()].stopped);
                alive.for_each(|(_, origin)| origin.beat(now));
                self.settle();
            }
            if self.pull.poll_timeout().is_some_and(|due| due.at <= now.mono) {
                self.pull.handle_timeout(now);
                self.settle();
                let next = self.pull.poll_timeout();
                assert!(next.is_none_or(|next| next.at > now.mono), "what was due is done: {next:?}");
            }
        }
        self
    }

    fn frames(&mut self) {
        let n = (self.ms / FRAME_MS) as i64;
        for (host, origin) in self.links.values_mut() {
            let host = &self.hosts[host.as_str()];
            let packet = host.frame(n - host.lag);
            let left_out = host.keyless && packet.key;
            if !host.mute && !left_out {
                origin.push(&packet);
            }
        }
        self.settle();
    }

    /// Carries everything to where it belongs until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.pull.poll_output() {
                self.obey(output);
            }
            let next = self.links.iter_mut().find_map(|(conn, (host, origin))| {
                let speaks = !self.hosts[host.as_str()].stopped;
                Some((*conn, speaks.then(|| origin.poll())??))
            });
            let Some((conn, bytes)) = next else { return };
            self.pull.received(self.now(), conn, bytes);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Close(conn, _) => self.hang_up(conn),
            Output::Event(event) => self.events.push((self.ms, event)),
            Output::Info(info, _) => self.infos.push(info),
            Output::Open(to) => self.open(to),
            Output::Over { over, .. } => {
                assert!(self.over.is_none(), "given up twice");
                self.over = Some((self.ms, over));
            }
            Output::Packet(packet) => self.packets.push((self.ms, packet)),
            Output::Resolve => {
                self.resolves.push(self.ms);
                let places = self.places.clone();
                self.pull.resolved(self.now(), places);
            }
            Output::Write(conn, bytes) => {
                let now = self.now();
                let (_, origin) = self.links.get_mut(&conn).expect("an open connection");
                origin.receive(now, bytes);
            }
        }
    }

    fn open(&mut self, to: Endpoint) {
        self.next_conn += 2;
        let conn = ConnId(self.next_conn);
        let now = self.now();
        self.dials.push((self.ms, to.host.clone()));
        self.pull.dialled(conn);
        let host = &self.hosts[to.host.as_str()];
        match host.door {
            Door::Hole => {}
            Door::Refuses => self.pull.closed(now, conn, CloseReason::Refused),
            Door::Open(manner) => {
                let newest = host.newest.unwrap_or((self.ms / FRAME_MS) as i64) - host.lag;
                let past = (0..=newest).map(|n| host.frame(n));
                let past = past.filter(|packet| !(host.keyless && packet.key));
                let mut origin = Origin::new(now, manner, host.info.clone(), past);
                origin.beats = host.beats;
                self.links.insert(conn, (to.host, origin));
                self.pull.opened(now, conn);
            }
        }
    }

    fn hang_up(&mut self, conn: ConnId) {
        if let Some((host, origin)) = self.links.remove(&conn) {
            self.asked.extend(origin.asked.iter().map(|(what, id)| (host.clone(), *what, *id)));
        }
    }

    /// The hosts that were dialled since `ms`.
    fn dialled_since(&self, ms: u64) -> Vec<&str> {
        self.dials.iter().filter(|(at, _)| *at >= ms).map(|(_, host)| host.as_str()).collect()
    }

    /// The origins that viewers saw, in order, with how each was joined.
    fn played(&self) -> Vec<(char, Joined)> {
        let played = |event: &Event| match event {
            Event::PullPlaying { url, joined, .. } => Some((url.chars().nth(6).expect("a host"), *joined)),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| played(event)).collect()
    }

    /// What was suspected (false) and trusted again (true), and after how long a silence.
    fn doubts(&self) -> Vec<(bool, u64)> {
        let doubt = |event: &Event| match event {
            Event::PullSuspected { silent_for, .. } => Some((false, silent_for.as_millis() as u64)),
            Event::PullTrusted { silent_for, .. } => Some((true, silent_for.as_millis() as u64)),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| doubt(event)).collect()
    }

    fn losses(&self) -> Vec<&str> {
        let mut losses = Vec::new();
        for (_, event) in &self.events {
            if let Event::PullLost { why, .. } = event {
                losses.push(why.as_str());
            }
        }
        losses
    }

    fn numbers(&self) -> Vec<i64> {
        self.packets.iter().map(|(_, packet)| packet.dts.ticks() / FRAME_MS as i64).collect()
    }

    /// Every frame came once, in order, from the first to one of the last 100 ms.
    fn demand_every_frame(&self) {
        let numbers = self.numbers();
        let expected: Vec<i64> = (0..numbers.len() as i64).collect();
        assert_eq!(numbers, expected);
        let last = self.packets.last().map_or(0, |(at, _)| *at);
        assert!(last + 100 >= self.ms, "nothing since {last} ms");
    }
}

impl Host {
    fn frame(&self, n: i64) -> Packet {
        let mut packet = frame(self.info.tracks[0].id.0, n + self.offset);
        packet.key = n % 25 == 0;
        packet.dts = packet.dts.plus_ticks(self.shift_ms);
        packet.pts = packet.dts;
        packet
    }
}

const PLAYS: Door = Door::Open(Manner::Plays);

#[test]
fn a_stream_starts_with_the_first_origin_that_plays() {
    // What the first origin does, and when the second one plays at the latest.
    for (door, within_ms, loss) in [
        (Door::Refuses, 10, "refused the connection"),
        (Door::Hole, 1_510, "no connection within 1500 ms"),
        (Door::Open(Manner::IsSilent), 5_010, "no answer to DESCRIBE within 5000 ms"),
        (Door::Open(Manner::DescribesOnly), 1_510, "no answer to PLAY within 1500 ms"),
        (Door::Open(Manner::Lacks), 10, "answered 404"),
        (Door::Open(Manner::Starts), 10, "only starting"),
    ] {
        let mut bench = Bench::new(plan(&["a", "b"]), &[("a", door), ("b", PLAYS)]);
        bench.run(within_ms);
        assert_eq!(bench.played(), [('b', Joined::First)], "{door:?}");
        assert!(bench.losses().len() == 1 && bench.losses()[0].contains(loss), "{:?}", bench.losses());
        bench.run(1_000);
        bench.demand_every_frame();
        assert_eq!(bench.infos.len(), 1);
    }
}

#[test]
fn a_stream_that_nobody_delivers_is_given_up() {
    for (door, dials, over, within_ms) in [
        (Door::Refuses, "aba", Over::Unreachable, 0),
        (Door::Hole, "aba", Over::Unreachable, 4_500),
        (Door::Open(Manner::Lacks), "ab", Over::Absent, 0),
        (Door::Open(Manner::IsSilent), "aba", Over::Unreachable, 15_000),
        (Door::Open(Manner::DescribesOnly), "aba", Over::Unreachable, 4_500),
    ] {
        let mut bench = Bench::new(plan(&["a", "b"]), &[("a", door), ("b", door)]);
        bench.run(30_000);
        assert_eq!(bench.dialled_since(0).concat(), dials, "{door:?}");
        assert!(bench.links.is_empty());
        let (at, given_up) = bench.over.expect("given up");
        assert_eq!((given_up, at - 5_000), (over, within_ms), "{door:?}");
        assert_eq!(bench.pull.poll_timeout(), None);
    }
}

#[test]
fn an_origin_that_never_starts_is_asked_a_bounded_number_of_times() {
    let mut bench = Bench::new(plan(&["a"]), &[("a", Door::Open(Manner::Starts))]);
    bench.run(60_000);
    assert_eq!(bench.dials.len(), limits::START_BUDGET_ATTEMPTS as usize + 1);
    assert!(bench.over.is_some_and(|(at, _)| at <= 5_000 + 25_000), "{:?}", bench.over);
    let mut bench = Bench::new(plan(&["a"]), &[("a", Door::Open(Manner::Starts))]);
    bench.run(2_000).door("a", PLAYS).run(2_500);
    assert_eq!(bench.played(), [('a', Joined::First)]);
}

#[test]
fn retry_count_zero_is_one_attempt_and_no_resume() {
    let mut once = plan(&["a", "b"]);
    once.properties.retry_count = 0;
    let bench = Bench::new(once.clone(), &[("a", Door::Refuses), ("b", PLAYS)]);
    assert_eq!(
        (bench.dialled_since(0).concat(), bench.over),
        ("a".to_owned(), Some((5_000, Over::Unreachable)))
    );
    let mut bench = Bench::new(once, &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(5_000).cut("a", CloseReason::Eof);
    assert_eq!(bench.dialled_since(0), ["a"]);
    assert!(bench.over.is_some());
}

#[test]
fn an_origin_that_breaks_off_costs_no_frame() {
    for reason in [CloseReason::Eof, CloseReason::Reset, CloseReason::TimedOut] {
        let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
        bench.run(4_000).door("a", Door::Refuses).cut("a", reason).run(4_000);
        assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
        bench.demand_every_frame();
    }
}

#[test]
fn silence_is_left_after_its_time_and_not_counted_against_the_next_origin() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).host("a").mute = true;
    bench.run(2_900);
    assert_eq!(bench.dialled_since(0), ["a"]);
    bench.run(200);
    assert_eq!(bench.dialled_since(0), ["a", "b"]);
    assert_eq!(bench.losses(), ["no media within 3000 ms"]);
    bench.demand_every_frame();
    // The new origin has all of the time of its own, although nothing new came from it yet.
    bench.host("b").mute = true;
    let since = bench.ms;
    bench.run(2_800);
    assert!(bench.dialled_since(since).is_empty());
    bench.run(400);
    assert_eq!(bench.dialled_since(since), ["a"]);
}

#[test]
fn an_origin_that_stands_still_is_left_as_soon_as_another_has_news() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).host("a").stopped = true;
    bench.run(240);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
    assert_eq!(bench.doubts(), [(false, 200)]);
    assert_eq!(bench.losses(), ["no sign of life for 200 ms, and another origin has more"]);
    bench.run(4_000).demand_every_frame();
    // It is not alive without signs of life for longer, but there silence may be the encoder's.
    let mut bench = Bench::without_beats(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).host("a").stopped = true;
    bench.run(640);
    assert_eq!(bench.doubts(), [(false, 600)]);
    bench.run(4_000).demand_every_frame();
}

#[test]
fn how_soon_an_origin_is_suspect_is_the_operators_to_say() {
    let left_after = |suspicion_ms, beats: bool| {
        let mut plan = plan(&["a", "b"]);
        plan.properties.suspicion_timeout = Duration::from_millis(suspicion_ms);
        let hosts = [("a", PLAYS), ("b", PLAYS)];
        let mut bench = if beats { Bench::new(plan, &hosts) } else { Bench::without_beats(plan, &hosts) };
        bench.run(4_000).host("a").stopped = true;
        bench.run(3_100);
        assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
        bench.demand_every_frame();
        bench.losses().remove(0).to_owned()
    };
    assert_eq!(left_after(1_000, true), "no sign of life for 1000 ms, and another origin has more");
    assert_eq!(left_after(300, false), "no sign of life for 900 ms, and another origin has more");
    assert_eq!(left_after(0, true), "no media within 3000 ms");
}

#[test]
fn a_suspect_that_speaks_before_another_does_is_kept_and_the_other_one_hung_up() {
    for door in [Door::Hole, Door::Open(Manner::IsSilent), Door::Open(Manner::DescribesOnly)] {
        let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", door)]);
        bench.run(4_000).host("a").stopped = true;
        bench.run(500);
        assert_eq!(bench.dialled_since(0), ["a", "b"]);
        bench.host("a").stopped = false;
        bench.run(2_000);
        assert_eq!(bench.doubts(), [(false, 200), (true, 520)]);
        assert!(bench.links.values().all(|(host, _)| host == "a"));
        assert_eq!((bench.played().len(), bench.losses().len()), (1, 0));
        bench.demand_every_frame();
        // That silence is borne from then on.
        bench.host("a").stopped = true;
        bench.run(600).host("a").stopped = false;
        bench.run(1_000);
        assert_eq!(bench.doubts().len(), 2);
    }
}

#[test]
fn a_spare_that_knows_no_more_than_the_suspect_takes_nothing_over() {
    let mut bench = Bench::without_beats(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000);
    bench.host("a").mute = true;
    bench.host("b").mute = true;
    let past = bench.ms;
    bench.host("b").newest = Some((past / FRAME_MS) as i64);
    bench.run(1_000);
    assert_eq!(bench.dialled_since(past), ["b"]);
    assert_eq!(bench.played().len(), 1);
    bench.host("a").mute = false;
    bench.run(100);
    assert_eq!(bench.doubts().len(), 2, "{:?}", bench.doubts());
    assert!(bench.links.values().all(|(host, _)| host == "a"));
}

#[test]
fn every_other_origin_is_tried_once_for_a_silence_and_then_its_time_is_waited_for() {
    let doors = [("a", PLAYS), ("b", Door::Refuses), ("c", Door::Open(Manner::Lacks))];
    let mut bench = Bench::new(plan(&["a", "b", "c"]), &doors);
    bench.run(4_000).host("a").stopped = true;
    let since = bench.ms;
    bench.run(2_500);
    assert_eq!(bench.dialled_since(since), ["b", "c"]);
    bench.host("a").stopped = false;
    bench.run(1_000).demand_every_frame();
    assert_eq!(bench.played().len(), 1);
}

#[test]
fn silence_is_not_suspect_where_that_is_of_no_use_or_not_wanted() {
    let once = |mut plan: Plan| {
        plan.properties.retry_count = 0;
        plan
    };
    let persistent = Plan { persistent: true, ..plan(&["a", "b"]) };
    for plan in [plan(&["a"]), once(plan(&["a", "b"])), persistent] {
        let mut bench = Bench::new(plan, &[("a", PLAYS), ("b", PLAYS)]);
        bench.run(4_000).host("a").stopped = true;
        bench.run(2_900);
        assert_eq!((bench.dialled_since(0), bench.doubts()), (vec!["a"], vec![]));
    }
}

#[test]
fn an_origin_that_stops_all_the_time_costs_a_bounded_number_of_connections() {
    // As long as nobody else plays, its pauses are learned; if all do the same, there is a budget.
    for (door, most) in [(Door::Hole, 3), (PLAYS, 4 + 600 / 15)] {
        let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", door)]);
        bench.run(4_000);
        let since = bench.ms;
        for n in 0..600 {
            bench.host(["a", "b"][n % 2]).stopped = true;
            bench.run(500);
            bench.host(["a", "b"][n % 2]).stopped = false;
            bench.run(500);
        }
        let dials = bench.dialled_since(since).len();
        assert!((1..=most).contains(&dials), "{dials} dials in ten minutes: {door:?}");
        bench.demand_every_frame();
    }
}

#[test]
fn an_edge_that_stood_still_suspects_nobody() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000);
    let packets: Vec<Packet> =
        (1..=50).map(|n| bench.hosts["a"].frame((bench.ms / FRAME_MS) as i64 + n)).collect();
    bench.ms += 2_000;
    packets.iter().for_each(|packet| bench.links.values_mut().for_each(|(_, origin)| origin.push(packet)));
    bench.pull.handle_timeout(bench.now());
    bench.settle();
    bench.run(2_000).demand_every_frame();
    assert_eq!((bench.doubts(), bench.dials.len()), (vec![], 1));
}

#[test]
fn a_persistent_stream_stays_with_a_silent_origin_and_leaves_a_dead_one() {
    let persistent = Plan { persistent: true, ..plan(&["a", "b"]) };
    let mut bench = Bench::new(persistent, &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(2_000).host("a").mute = true;
    bench.run(60_000);
    assert_eq!((bench.dialled_since(0), bench.pull.unused_timeout()), (vec!["a"], None));
    bench.cut("a", CloseReason::TimedOut);
    assert_eq!(bench.dialled_since(0), ["a", "b"]);
}

#[test]
fn media_without_a_key_frame_is_no_start() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", Door::Refuses), ("b", PLAYS)]);
    bench.host("a").keyless = true;
    bench.run(4_000).door("a", PLAYS).cut("b", CloseReason::Reset).run(9_900);
    assert_eq!(bench.played(), [('b', Joined::First)], "media comes, but no picture can be decoded");
    bench.run(200);
    assert_eq!(bench.played(), [('b', Joined::First), ('b', Joined::KeyFrame)]);
    assert_eq!(bench.losses().last(), Some(&"no key frame within 10000 ms"));
}

#[test]
fn media_before_the_answer_to_play_is_kept() {
    let mut bench = Bench::new(plan(&["a"]), &[("a", Door::Open(Manner::Hurries))]);
    bench.run(1_000);
    bench.demand_every_frame();
    assert!(bench.packets.len() > 100, "the recent past, too: {}", bench.packets.len());
}

#[test]
fn a_stream_that_played_is_resumed_until_its_budget_is_spent() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", Door::Refuses)]);
    bench.run(4_000).door("a", Door::Refuses).cut("a", CloseReason::Eof);
    let lost = bench.ms;
    bench.run(20_000);
    let dials = bench.dialled_since(lost).len();
    assert!((10..=25).contains(&dials), "{dials} dials in 20 s");
    bench.door("a", PLAYS).run(3_000);
    assert_eq!(bench.played().last(), Some(&('a', Joined::KeyFrame)));
    bench.door("a", Door::Open(Manner::Lacks)).cut("a", CloseReason::Eof);
    let lost = bench.ms;
    bench.run(70_000);
    let (at, over) = bench.over.expect("given up");
    assert_eq!(over, Over::Absent);
    let budget = limits::RESUME_BUDGET.as_millis() as u64;
    assert!((budget..budget + 4_000).contains(&(at - lost)), "{}", at - lost);
}

#[test]
fn an_origin_that_plays_a_little_and_breaks_is_not_tried_in_a_tight_loop() {
    let mut bench = Bench::new(plan(&["a"]), &[("a", PLAYS)]);
    for _ in 0..2_000 {
        bench.cut("a", CloseReason::Reset).run(10);
    }
    let dials = bench.dials.len();
    assert!((8..=20).contains(&dials), "{dials} dials in 20 s");
    assert!(bench.over.is_none());
    bench.run(5_000).cut("a", CloseReason::Reset);
    assert_eq!(bench.dials.last(), Some(&(bench.ms, "a".to_owned())), "it had worked for long enough");
}

#[test]
fn request_ids_go_on_over_reconnects() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).cut("a", CloseReason::Eof).run(4_000).cut("b", CloseReason::Eof).run(100);
    bench.pull.stop(bench.now());
    bench.settle();
    let host = |name: &str| name.to_owned();
    use Application::{Describe, Play, Stop};
    assert_eq!(
        bench.asked,
        [
            (host("a"), Describe, 1),
            (host("a"), Play, 2),
            (host("b"), Describe, 3),
            (host("b"), Play, 4),
            (host("a"), Describe, 5),
            (host("a"), Play, 6),
            (host("a"), Stop, 7),
        ]
    );
    assert!(bench.links.is_empty());
}

#[test]
fn what_is_left_of_one_connection_does_not_spoil_the_next() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000);
    let (conn, (_, origin)) = bench.links.iter_mut().next().expect("a link");
    let (conn, mut half) = (*conn, {
        origin.push(&frame(0, 226));
        origin.poll().expect("a unit")
    });
    half.truncate(half.len() / 2);
    bench.pull.received(bench.now(), conn, half);
    bench.cut("a", CloseReason::Reset).run(2_000);
    assert_eq!(bench.played().len(), 2);
    assert_eq!(bench.losses(), ["the connection broke"]);
    bench.demand_every_frame();
}

#[test]
fn failback_returns_to_the_primary_when_it_is_back_and_says_little_until_then() {
    let failback = Plan { failback: true, ..plan(&["a", "b"]) };
    let mut bench = Bench::new(failback, &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).door("a", Door::Refuses).cut("a", CloseReason::Eof);
    let (lost, told) = (bench.ms, bench.events.len());
    bench.run(60_000);
    let probes = bench.dialled_since(lost).iter().filter(|host| **host == "a").count();
    assert!((19..=20).contains(&probes), "one each three seconds: {probes}");
    // That the first origin is tried, and that it is not back.
    assert_eq!(bench.events.len() - told, 2, "{:?}", &bench.events[told..]);
    bench.door("a", Door::Hole).run(10_000);
    assert_eq!(bench.losses().last(), Some(&"no connection within 1500 ms"), "another reason is told");
    bench.door("a", PLAYS).run(5_000);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact), ('a', Joined::Exact)]);
    bench.demand_every_frame();
    let ids: Vec<u32> = bench.asked.iter().map(|(_, _, id)| *id).collect();
    assert!(ids.iter().max() == ids.last(), "the STOP is the last request: {ids:?}");
}

#[test]
fn a_stream_goes_on_when_its_origin_is_lost_while_the_primary_is_tried() {
    let mut failback = Plan { failback: true, ..plan(&["a", "b"]) };
    failback.properties.failback_interval = Duration::ZERO;
    let mut bench = Bench::new(failback, &[("a", Door::Refuses), ("b", PLAYS)]);
    bench.run(4_000);
    let probes = bench.dialled_since(0).iter().filter(|host| **host == "a").count();
    assert!((30..=41).contains(&probes), "no tight loop even if the interval is zero: {probes}");
    bench.door("a", Door::Hole).run(500);
    bench.cut("b", CloseReason::Reset).run(3_000);
    assert_eq!(bench.played(), [('b', Joined::First), ('b', Joined::Exact)]);
    bench.demand_every_frame();
}

#[test]
fn an_origin_that_describes_the_stream_differently_is_announced_with_its_first_packet() {
    let mut bench = Bench::new(plan(&["a", "b"]), &[("a", PLAYS), ("b", PLAYS)]);
    bench.host("b").info = stream("b", vec![video(3)]);
    bench.host("b").offset = 100_000;
    bench.run(4_000).door("a", Door::Refuses).cut("a", CloseReason::Eof).run(3_000);
    let told: Vec<u32> = bench.infos.iter().map(|info| info.tracks[0].id.0).collect();
    assert_eq!(told, [0, 3]);
    let first = bench.packets.iter().position(|(_, packet)| packet.track.0 == 3).expect("its media");
    assert!(bench.packets[first].1.key, "another encoding starts at a key frame");
    let times: Vec<i64> = bench.numbers();
    assert!(times.is_sorted(), "time goes on over the change");
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::KeyFrame)]);
}

#[test]
fn origins_are_told_on_whose_behalf_they_are_asked() {
    let mut bench = Bench::new(plan(&["a"]), &[("a", PLAYS)]);
    bench.run(100);
    assert!(bench.links.values().all(|(_, origin)| origin.via == [7]));
}

#[test]
fn the_directory_says_where_a_stream_is_or_that_it_is_nowhere() {
    let mut bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", PLAYS)]);
    bench.run(2_000);
    assert_eq!((bench.played(), bench.resolves.len()), (vec![('a', Joined::First)], 1));
    assert!(bench.pull.follows_directory());
    for (unresolved, over) in [
        (Unresolved::Absent, Over::Absent),
        (Unresolved::Away, Over::Unreachable),
        (Unresolved::Unusable, Over::Unreachable),
    ] {
        let bench = Bench::finding(Err(unresolved), ask(), &[]);
        assert_eq!(bench.over, Some((5_000, over)));
    }
}

#[test]
fn the_directory_is_asked_when_the_origins_of_the_rule_fail() {
    let rule = Plan { directory: true, ..plan(&["a"]) };
    let mut bench = Bench::finding(Ok(urls(&["b"])), rule, &[("a", Door::Refuses), ("b", PLAYS)]);
    bench.run(4_000);
    assert_eq!(bench.dialled_since(0), ["a", "a", "b"]);
    bench.moves(&["b"]).demand_every_frame();
    let rule = Plan { directory: true, ..plan(&["a"]) };
    let bench = Bench::finding(Err(Unresolved::Absent), rule, &[("a", Door::Refuses)]);
    assert_eq!(bench.over, Some((5_000, Over::Unreachable)), "what the rule's origins said stands");
}

#[test]
fn an_origin_whose_reign_is_over_is_left_although_it_plays() {
    let mut bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).moves(&["b"]);
    assert!(bench.links.values().all(|(host, _)| host == "b"), "a's media is not taken any more");
    bench.run(2_000);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
    bench.demand_every_frame();
}

#[test]
fn the_same_answer_again_changes_nothing() {
    let mut bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(2_000).moves(&["a"]).run(2_000).moves(&["a", "b"]).run(2_000);
    assert_eq!((bench.played().len(), bench.dials.len()), (1, 1));
    bench.demand_every_frame();
}

#[test]
fn a_stream_waits_for_its_next_owner_and_is_not_given_up_meanwhile() {
    let mut bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", PLAYS), ("b", PLAYS)]);
    bench.run(4_000).door("a", Door::Refuses).cut("a", CloseReason::Reset).run(3_500);
    assert_eq!(bench.over, None);
    assert!((2..=20).contains(&bench.resolves.len()), "it asks, but not all the time: {:?}", bench.resolves);
    bench.moves(&["b"]).run(2_000);
    assert_eq!(bench.played(), [('a', Joined::First), ('b', Joined::Exact)]);
    bench.demand_every_frame();
}

#[test]
fn a_stream_that_never_played_is_waited_for_a_bounded_time() {
    let mut bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", Door::Refuses)]);
    bench.run(20_000);
    let (at, over) = bench.over.expect("an end");
    assert_eq!(over, Over::Unreachable);
    assert!((13_000..14_000).contains(&at), "{at}");
    assert!(bench.dials.len() < 100, "{}", bench.dials.len());
    let bench = Bench::finding(Ok(urls(&["a"])), ask(), &[("a", Door::Open(Manner::Lacks))]);
    assert_eq!(bench.over, Some((5_000, Over::Absent)), "who should have it says that it does not");
}
