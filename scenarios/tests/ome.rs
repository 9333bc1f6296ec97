//! Mixed clusters: OvenMediaEngine in front of Headwater's edges, and behind its origins.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use headwater_core::event::Event;
use headwater_core::media::Kind;
use headwater_net_sim::encoder::{Source, Timestamps};
use headwater_net_sim::ome::{Edge, EdgeSeen, OmeIsContent, Origin, Pulling, Stream};
use headwater_net_sim::{Checks, Crash, HostId, Latency, Viewer, World, ms, secs};
use headwater_scenarios::Plan;
use headwater_scenarios::cluster::{ORIGINS, START, STREAM, edge, encoder, master_url, origin};
use headwater_scenarios::watching::{demand_every_frame, of};

/// Equal frames from every origin, as from one encoder that feeds them all.
fn source() -> Source {
    Source { timestamps: Timestamps::Clock, ..Source::with_b_frames() }
}

struct BehindOme {
    world: World,
    origin_a: HostId,
    viewer: HostId,
}

/// Two origins of OvenMediaEngine, an edge of Headwater and its viewer, who has watched for a while.
fn behind_ome(seed: u64, first: Stream, plan: &Plan) -> BehindOme {
    let mut world = World::new(seed);
    world.link_default(Latency::ms(1).jitter_ms(1));
    let second = Stream { begins: Duration::ZERO, ends: None, starts_up: Duration::ZERO, ..first.clone() };
    let origin_a = world.host(ORIGINS[0], Origin::boot(first));
    world.host(ORIGINS[1], Origin::boot(second));
    world.host("edge", edge(plan, ORIGINS));
    world.run_for(START);
    let viewer = world.viewer("viewer", Viewer::new(&master_url("edge", STREAM)));
    world.run_for(secs(15));
    BehindOme { world, origin_a, viewer }
}

#[test]
fn an_edge_plays_what_an_ome_origin_has_and_goes_on_with_the_other() {
    for (seed, how) in [Crash::Fin, Crash::Reset, Crash::Silent].into_iter().enumerate() {
        let stream = Stream::new("live", STREAM, source());
        let mut s = behind_ome(seed as u64, stream, &Plan::default());
        demand_every_frame(s.world.watch(s.viewer).record());
        s.world.crash(s.origin_a, how);
        s.world.run_for(secs(20));
        Checks::unharmed(ms(4_500)).demand(&s.world);
        s.world.restart(s.origin_a);
        s.world.run_for(secs(10));
        let record = s.world.watch(s.viewer).record();
        assert!(record.newest(Kind::Video).is_some_and(|part| s.world.now().since(part.at) < ms(600)));
        assert!(of(record, Kind::Video).count() > 60);
    }
}

/// It sends no signs of life: what it usually does has to be learned.
#[test]
fn an_ome_origin_whose_picture_stands_still_is_not_left() {
    let mute = Source { audio: None, ..Source::still() };
    for (seed, source) in
        [mute, Source { fps: (1, 2), gop: 2, audio: None, ..Source::still() }].into_iter().enumerate()
    {
        let mut s = behind_ome(seed as u64, Stream::new("live", STREAM, source), &Plan::default());
        s.world.run_for(secs(120));
        let count =
            |wanted: fn(&Event) -> bool| s.world.facts().iter().filter(|fact| wanted(&fact.event)).count();
        assert_eq!(count(|event| matches!(event, Event::PullPlaying { .. })), 1);
        let dials = count(|event| matches!(event, Event::PullDialled { .. }));
        assert!(dials <= 3, "{dials} connections in two minutes");
    }
}

#[test]
fn an_ome_origin_that_loses_its_publisher_is_left() {
    let stream = Stream { ends: Some(secs(25)), ..Stream::new("live", STREAM, source()) };
    let mut s = behind_ome(1, stream, &Plan::default());
    s.world.run_for(secs(20));
    Checks::unharmed(ms(1_700)).demand(&s.world);
}

#[test]
fn an_ome_origin_whose_stream_is_just_starting_is_waited_for() {
    for starts_up in [ms(6_500), secs(12)] {
        let stream = Stream { starts_up, ..Stream::new("live", STREAM, source()) };
        let mut s = behind_ome(1, stream, &Plan::default());
        s.world.run_for(secs(10));
        Checks::unharmed(ms(700)).demand(&s.world);
        demand_every_frame(s.world.watch(s.viewer).record());
    }
}

struct BeforeOme {
    world: World,
    origin_a: HostId,
    edge: HostId,
    seen: Rc<RefCell<EdgeSeen>>,
}

/// An encoder, two origins of Headwater, and an edge of OvenMediaEngine that has played for a while.
fn before_ome(seed: u64, source: &Source) -> BeforeOme {
    let mut world = World::new(seed);
    world.link_default(Latency::ms(1).jitter_ms(1));
    let origin_a = world.host(ORIGINS[0], origin());
    world.host(ORIGINS[1], origin());
    world.host("encoder", encoder(source, STREAM, &ORIGINS));
    world.run_for(START);
    let seen = Rc::new(RefCell::new(EdgeSeen::default()));
    let pulling = Pulling { until: Some(secs(60)), ..Pulling::new("live", STREAM, &ORIGINS) };
    let edge = world.host("ome-edge", Edge::boot(pulling, &seen));
    world.run_for(secs(15));
    BeforeOme { world, origin_a, edge, seen }
}

#[test]
fn an_ome_edge_is_given_what_it_needs() {
    let sources = [
        Source::default(),
        Source::with_b_frames(),
        Source { key_bytes: 200_000, ..Source::default() },
        Source { audio: None, ..Source::default() },
        Source { video: false, ..Source::default() },
        Source::still(),
    ];
    for (seed, source) in (0..).zip(sources) {
        let mut s = before_ome(seed, &source);
        let content = || Checks::none().with(OmeIsContent::new(s.edge, &s.seen));
        content().demand(&s.world);
        let frames = s.seen.borrow().frames;
        assert_eq!(frames.map(|count| count > 10), [source.video, source.audio.is_some()], "{frames:?}");
        s.world.crash(s.origin_a, Crash::Reset);
        s.world.run_for(secs(10));
        content().demand(&s.world);
        assert_eq!(s.seen.borrow().plays.len(), 2, "{:?}", s.seen.borrow());
        assert_eq!(s.seen.borrow().deleted, 0);
        // It says STOP and goes.
        s.world.run_for(secs(60));
        content().demand(&s.world);
        let newest = s.seen.borrow().newest;
        assert!(newest.is_some_and(|newest| s.world.clock(s.edge).mono.since(newest) > secs(20)));
    }
}
