//! An encoder that publishes to two servers, through faults, with a publishing protocol that is as small as can be.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use common::{Log, log, tester};
use headwater_core::io::Service;
use headwater_net_sim::encoder::{Encoder, Mishap, PublishClient, PublishOutput, Source, Target, Timestamps};
use headwater_net_sim::mark::Mark;
use headwater_net_sim::{Boot, Crash, HostId, Latency, World, ms, secs};

/// Every frame as it is, with its length before it.
#[derive(Default)]
struct Plain(VecDeque<PublishOutput>);

impl Plain {
    fn send(&mut self, kind: u8, timestamp_ms: u32, payload: &Bytes) {
        let head = [&[kind][..], &timestamp_ms.to_be_bytes(), &(payload.len() as u32).to_be_bytes()].concat();
        self.0.push_back(PublishOutput::Write([&head[..], payload].concat().into()));
    }
}

impl PublishClient for Plain {
    fn receive(&mut self, _bytes: &[u8]) {}
    fn poll(&mut self) -> Option<PublishOutput> {
        self.0.pop_front()
    }
    fn send_metadata(&mut self, _source: &Source) {}
    fn send_video(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.send(9, timestamp_ms, &payload);
    }
    fn send_audio(&mut self, timestamp_ms: u32, payload: Bytes) {
        self.send(8, timestamp_ms, &payload);
    }
}

fn encoder(source: Source, hosts: &[&'static str]) -> Boot {
    let targets: Vec<_> = hosts.iter().map(|host| Target::new(host, 1935, "app", "stream")).collect();
    Boot::new(move |seed, now| {
        let connect = |_: &Target| -> Box<dyn PublishClient> {
            Box::new(Plain(VecDeque::from([PublishOutput::Ready])))
        };
        Box::new(Encoder::new(source.clone(), targets.clone(), seed, now, connect))
    })
}

/// The frames that a server has received: kind, timestamp, mark (none for headers). Every connection starts anew.
fn frames(log: &Log) -> Vec<(u8, u32, Option<Mark>)> {
    let mut streams = vec![Vec::new()];
    for (_, heard) in &log.borrow().inputs {
        match heard {
            common::Heard1::Accepted => streams.push(Vec::new()),
            common::Heard1::Received(bytes) => streams.last_mut().unwrap().extend_from_slice(bytes),
            _ => {}
        }
    }
    let mut frames = Vec::new();
    for stream in &streams {
        let mut rest = &stream[..];
        while rest.len() >= 9 {
            let len = u32::from_be_bytes(rest[5..9].try_into().unwrap()) as usize;
            let Some(payload) = rest.get(9..9 + len) else { break };
            let timestamp = u32::from_be_bytes(rest[1..5].try_into().unwrap());
            frames.push((rest[0], timestamp, Mark::find(payload)));
            rest = &rest[9 + len..];
        }
    }
    frames
}

struct Stage {
    world: World,
    encoder: HostId,
    a: (HostId, Log),
    b: (HostId, Log),
}

fn stage(source: Source) -> Stage {
    let (a, b) = (log(), log());
    let mut world = World::new(11);
    world.link_default(Latency::ms(2).jitter_ms(2));
    let origin_a = world.host("origin-a", tester(&a, Vec::new()).listen(1935, Service::Rtmp));
    let origin_b = world.host("origin-b", tester(&b, Vec::new()).listen(1935, Service::Rtmp));
    let encoder = world.host("encoder", encoder(source, &["origin-a", "origin-b"]));
    Stage { world, encoder, a: (origin_a, a), b: (origin_b, b) }
}

#[test]
fn two_origins_get_the_same_frames_from_a_key_frame_on() {
    let mut s = stage(Source::default());
    s.world.run_for(secs(10));
    let (a, b) = (frames(&s.a.1), frames(&s.b.1));
    assert_eq!(a, b);
    // Both headers first, then frame after frame.
    assert!(a[0].2.is_none() && a[1].2.is_none());
    let video: Vec<_> = a.iter().filter(|frame| frame.0 == 9).filter_map(|frame| frame.2).collect();
    assert!((265..=271).contains(&video.len()), "{}", video.len());
    assert!(video.windows(2).all(|pair| pair[1].frame == pair[0].frame + 1));
    assert_eq!(video[0].frame % 30, 0);
}

#[test]
fn an_origin_that_comes_back_is_found_again() {
    let mut s = stage(Source::default());
    s.world.run_for(secs(5));
    s.world.crash(s.a.0, Crash::Reset);
    s.world.run_for(secs(5));
    s.world.restart(s.a.0);
    s.world.run_for(secs(10));
    let (a, b) = (frames(&s.a.1), frames(&s.b.1));
    let last = |frames: &[(u8, u32, Option<Mark>)]| frames.last().unwrap().1;
    assert!(last(&a).abs_diff(last(&b)) <= 50);
    assert!(a.len() < b.len() && a.len() > b.len() / 3);
}

#[test]
fn a_stall_leaves_frames_out_and_a_jump_moves_timestamps() {
    let mishaps = vec![(secs(3), Mishap::Stall(secs(2))), (secs(8), Mishap::Jump(60_000))];
    let mut s = stage(Source { mishaps, ..Source::default() });
    s.world.run_for(secs(12));
    let a: Vec<_> = frames(&s.a.1).into_iter().filter(|frame| frame.0 == 9 && frame.2.is_some()).collect();
    let gaps: Vec<_> = a.windows(2).map(|pair| pair[1].1 - pair[0].1).filter(|gap| *gap > 40).collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!((1_990..=2_040).contains(&gaps[0]) && (60_030..=60_040).contains(&gaps[1]), "{gaps:?}");
    let marks: Vec<_> = a.iter().map(|frame| frame.2.unwrap().frame).collect();
    assert!(marks.windows(2).filter(|pair| pair[1] != pair[0] + 1).count() == 1);
}

#[test]
fn a_restarted_encoder_makes_new_frames_or_goes_on_by_the_clock() {
    for (timestamps, sources) in [(Timestamps::Zero, 2), (Timestamps::Clock, 1)] {
        let mut s = stage(Source { timestamps, ..Source::default() });
        s.world.run_for(secs(5));
        s.world.restart(s.encoder);
        s.world.run_for(secs(5));
        let video = frames(&s.a.1).into_iter().filter(|frame| frame.0 == 9).filter_map(|frame| frame.2);
        let seen: BTreeSet<u32> = video.map(|mark| mark.source).collect();
        assert_eq!(seen.len(), sources, "{timestamps:?}");
    }
}

#[test]
fn an_origin_that_does_not_read_is_given_up_in_the_end() {
    let mut s = stage(Source { delta_bytes: 50_000, ..Source::default() });
    s.world.run_for(secs(2));
    s.world.pause(s.a.0);
    s.world.run_for(secs(20));
    s.world.resume(s.a.0);
    s.world.run_for(secs(1));
    assert!(s.a.1.borrow().closed().is_some());
    s.world.run_for(secs(10));
    assert!(frames(&s.a.1).last().unwrap().1 > 31_000);
}

/// What an hour costs; run with `--release -- --ignored` and look at the time it takes.
#[test]
#[ignore = "a measurement"]
fn an_hour_of_three_hosts() {
    let mut s = stage(Source::default());
    s.world.run_for(Duration::from_secs(3_600));
    assert!(s.world.trace().count() > 1_000_000);
}

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let mut s = stage(Source::default());
        s.world.run_for(ms(5_500));
        s.world.trace_hash()
    };
    assert_eq!(run(), run());
}
