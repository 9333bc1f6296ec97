//! Publishers that drop and come back, and publishers that wait for their turn.

use super::*;
use crate::event::Joined;

/// The window of these tests, in milliseconds.
const WINDOW_MS: u64 = 5_000;

/// The same server, whose streams wait for publishers that dropped.
fn patient(mut config: Config) -> Config {
    for application in &mut config.vhosts[0].applications {
        if let Some(rtmp) = &mut application.providers.rtmp {
            rtmp.reconnect_window = Duration::from_millis(WINDOW_MS);
        }
    }
    config
}

/// The same server, at which besides so many publishers of a name may stand by.
pub(super) fn with_standby(config: Config, standby: usize) -> Config {
    let mut config = patient(config);
    for application in &mut config.vhosts[0].applications {
        if let Some(rtmp) = &mut application.providers.rtmp {
            rtmp.standby = standby;
        }
    }
    config
}

fn drop_connection(bench: &mut Bench, encoder: &Encoder) {
    bench.tell(Input::Closed { conn: encoder.conn, reason: CloseReason::Reset });
}

/// How the stream went on, each time that it did.
fn resumed(bench: &Bench) -> Vec<(u64, Joined)> {
    let mut resumed = Vec::new();
    for event in &bench.events {
        if let Event::PublishResumed { outage, joined, .. } = event {
            resumed.push((outage.as_millis() as u64, *joined));
        }
    }
    resumed
}

fn ended(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::PublishEnded { .. })).count()
}

/// The number of the next segment of the stream.
fn next_msn(bench: &Bench) -> u64 {
    let next = bench.node.streams.values().find_map(|stream| stream.outputs()?.next_numbers());
    next.expect("there are segments").ll_hls.msn
}

/// The DTS of the video packets that an edge was given, in milliseconds.
fn video_times(edge: &Edge) -> Vec<i64> {
    let mut times = Vec::new();
    for said in &edge.said {
        match said {
            ClientEvent::Media(packet) if packet.track.0 == 0 => times.push(packet.dts.as_micros() / 1_000),
            _ => {}
        }
    }
    times
}

/// Encoders that publish side by side, in steps of 100 ms.
fn publish_together(bench: &mut Bench, encoders: &mut [(&mut Encoder, u32)], ms: u64) {
    let end = bench.ms + ms;
    while bench.ms < end {
        let start = bench.ms;
        for (encoder, sent) in encoders.iter_mut() {
            encoder.send_span(bench, *sent, 100);
            *sent += 100;
        }
        bench.run(start + 100 - bench.ms);
    }
}

impl Encoder {
    /// Sends what lies in the `ms` milliseconds after `from_ms`, at once.
    fn send_span(&mut self, bench: &mut Bench, from_ms: u32, ms: u32) {
        const LENGTH_MS: u32 = 2_000;
        let tags = self.tags.clone();
        let is_header = |tag: &Tag| tag.kind != TagKind::Script && tag.body.get(1) == Some(&0);
        if from_ms == 0 || self.next == 0 {
            self.next = 1;
            tags.iter().filter(|tag| is_header(tag)).for_each(|tag| self.send_tag(tag, from_ms));
        }
        for round in from_ms / LENGTH_MS..=(from_ms + ms) / LENGTH_MS {
            for tag in tags.iter().filter(|tag| !is_header(tag) && tag.timestamp < LENGTH_MS) {
                let time = round * LENGTH_MS + tag.timestamp;
                if (from_ms..from_ms + ms).contains(&time) {
                    self.send_tag(tag, time);
                }
            }
        }
        self.talk(bench);
    }

    /// Makes its frames others than those of any other `n`.
    fn make_others(&mut self, n: u8) {
        for tag in &mut self.tags {
            if tag.body.get(1) == Some(&1) {
                let mut body = tag.body.to_vec();
                body.iter_mut().skip(12).last().into_iter().for_each(|byte| *byte ^= n);
                tag.body = Bytes::from(body);
            }
        }
    }

    fn send_tag(&mut self, tag: &Tag, time: u32) {
        match tag.kind {
            TagKind::Audio => self.rtmp.send_audio(time, tag.body.clone()),
            TagKind::Video => self.rtmp.send_video(time, tag.body.clone()),
            TagKind::Script => {}
        }
    }
}

#[test]
fn a_publisher_that_drops_and_comes_back_goes_on_with_its_stream() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 3_500, 0);
    let before = next_msn(&bench);
    let (_, list) = bench.fetch("/app/stream/llhls.m3u8");
    assert!(list.contains("chunklist"), "{list}");
    drop_connection(&mut bench, &first);
    bench.run(2_000);
    // Who comes meanwhile, or waits for what comes next, is kept waiting.
    let waiting = bench.get(&format!("{}?_HLS_msn={}&_HLS_part=0", urls(&list)[0], before));
    assert_eq!((bench.status(waiting), ended(&bench)), (None, 0));
    let mut second = Encoder::new(&mut bench, "stream");
    second.make_others(1);
    second.publish(&mut bench, 8_000, 0);
    assert_eq!((bench.status(waiting), ended(&bench)), (Some(200), 0));
    assert!(matches!(resumed(&bench)[..], [(2_000..=2_300, Joined::KeyFrame)]), "{:?}", resumed(&bench));
    assert!(next_msn(&bench) > before && next_msn(&bench) <= before + 4, "numbers go on by one");
    let starts = bench.events.iter().filter(|event| matches!(event, Event::PublishStarted { .. })).count();
    assert_eq!(starts, 2);
}

#[test]
fn a_stream_whose_publisher_stays_away_ends_and_leaves_nothing() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 2_500, 0);
    drop_connection(&mut bench, &encoder);
    bench.run(WINDOW_MS - 1);
    assert_eq!(ended(&bench), 0);
    let waiting = bench.get("/app/stream/llhls.m3u8");
    bench.run(2);
    assert_eq!((ended(&bench), bench.status(waiting).is_some()), (1, true));
    bench.run(10_000);
    bench.demand_empty();
}

#[test]
fn a_stream_without_a_publisher_turns_viewers_away_as_one_that_stands_still() {
    let mut config = patient(origin(true));
    config.vhosts[0].applications[0].providers.rtmp.as_mut().expect("RTMP").reconnect_window =
        Duration::from_secs(60);
    let mut bench = Bench::new(config);
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 2_500, 0);
    let (_, list) = bench.fetch("/app/stream/llhls.m3u8");
    let media = urls(&list)[0].clone();
    drop_connection(&mut bench, &encoder);
    assert_eq!(bench.fetch(&media).0, Some(200));
    bench.run(limits::FROZEN_AFTER.as_millis() as u64 + 1_000);
    assert_eq!(bench.fetch(&media).0, Some(503));
}

#[test]
fn who_says_goodbye_ends_the_stream() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 2_500, 0);
    encoder.rtmp.finish();
    encoder.talk(&mut bench);
    assert_eq!(ended(&bench), 1);
    bench.demand_empty();
}

#[test]
fn edges_are_sent_away_and_wait_for_the_next_publisher_when_they_come_back() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 2_500, 0);
    // One says for whom it asks, as our edges do, the other one does not.
    let mut old = Edge::new(&mut bench, URL);
    let mut ovt = OvtClient::new(URL.to_owned(), 1, Some(4_000)).with_via(vec![7]);
    ovt.start(at(bench.ms).wall);
    let mut new = Edge { conn: bench.accept(Service::Ovt), ovt, said: Vec::new() };
    new.talk(&mut bench);
    assert!(old.media() > 0 && new.media() > 0);
    drop_connection(&mut bench, &encoder);
    assert!(bench.is_closed(new.conn) && !bench.is_closed(old.conn));
    let mut waits = Edge::new(&mut bench, URL);
    assert_eq!((waits.media(), waits.refusal()), (0, None));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_000, 0);
    waits.talk(&mut bench);
    old.talk(&mut bench);
    let (waited, stayed) = (video_times(&waits), video_times(&old));
    assert!(waited.is_sorted_by(|a, b| a < b) && stayed.is_sorted_by(|a, b| a < b));
    assert_eq!(waited.last(), stayed.last());
    assert!(waited.last().is_some_and(|last| *last > 2_600), "{waited:?}");
}

#[test]
fn a_publisher_that_takes_the_name_over_goes_on_with_the_stream() {
    let mut bench = Bench::new(patient(origin(false)));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 2_500, 0);
    let before = next_msn(&bench);
    let mut second = Encoder::new(&mut bench, "stream");
    first.talk(&mut bench);
    assert_eq!(first.refusal(), Some("another publisher took the name over"));
    second.publish(&mut bench, 2_500, 0);
    assert_eq!((ended(&bench), resumed(&bench).len()), (0, 1));
    assert!((before..=before + 2).contains(&next_msn(&bench)));
}

#[test]
fn another_coding_follows_a_discontinuity_and_not_before_its_first_picture() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 2_500, 0);
    let (_, list) = bench.fetch("/app/stream/llhls.m3u8");
    assert!(list.contains("mp4a"), "{list}");
    drop_connection(&mut bench, &first);
    let mut second = Encoder::new(&mut bench, "stream");
    second.skips = |tag| tag.kind == TagKind::Audio;
    second.publish(&mut bench, 6_000, 0);
    let (_, list) = bench.fetch("/app/stream/llhls.m3u8");
    assert!(!list.contains("mp4a"), "{list}");
    let (_, media) = bench.fetch(&urls(&list)[0]);
    assert_eq!(media.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{media}");
}

#[test]
fn a_directory_keeps_a_stream_that_waits_unless_another_server_waits_for_it() {
    let mut bench = Bench::new(with_store(patient(origin(true))));
    let mut store = Embedded::default();
    let mut encoder = Encoder::new(&mut bench, "s");
    encoder.publish(&mut bench, 1_000, 0);
    bench.obey(&mut store);
    drop_connection(&mut bench, &encoder);
    bench.obey(&mut store);
    let entry = store.entry(1_000_000 + bench.ms, "app/s").expect("nobody waits: it stays");
    assert_eq!(entry.url, "ovt://me:9000/app/s");

    let mut encoder = Encoder::new(&mut bench, "s");
    encoder.publish(&mut bench, 1_000, 0);
    let other = LeaseId(99);
    let claim =
        Claim { name: "app/s".to_owned(), url: "ovt://other:9000/app/s".to_owned(), floor: 0, dead: None };
    store.execute(1_000_000 + bench.ms, &StoreCommand::Open { by: other });
    store.execute(1_000_000 + bench.ms, &StoreCommand::Claim { by: other, streams: vec![claim] });
    drop_connection(&mut bench, &encoder);
    bench.obey(&mut store);
    let entry = store.entry(1_000_000 + bench.ms, "app/s").expect("an entry");
    assert_eq!(entry.url, "ovt://other:9000/app/s");
    assert!(
        bench.events.iter().any(|event| matches!(event, Event::StreamWaits { .. })),
        "{:?}",
        bench.events
    );
}

#[test]
fn shared_times_are_found_anew_and_numbers_follow_from_them() {
    let mut config = patient(origin(true));
    config.vhosts[0].applications[0].providers.rtmp.as_mut().expect("RTMP").timestamps =
        TimestampMode::SystemClock;
    let run = |window: u64| {
        let mut config = config.clone();
        config.vhosts[0].applications[0].providers.rtmp.as_mut().expect("RTMP").reconnect_window =
            Duration::from_millis(window);
        let mut bench = Bench::new(config);
        let mut encoder = Encoder::new(&mut bench, "stream");
        encoder.publish(&mut bench, 20_000, 0);
        drop_connection(&mut bench, &encoder);
        bench.run(1_500);
        let mut encoder = Encoder::new(&mut bench, "stream");
        let since = bench.events.len();
        encoder.publish(&mut bench, 20_000, 0);
        let mut parts = Vec::new();
        for event in &bench.events[since..] {
            if let Event::PartReady { msn, part, track, .. } = event {
                parts.push((*track, *msn, *part));
            }
        }
        parts
    };
    let parts = run(WINDOW_MS);
    assert!(!parts.is_empty());
    assert_eq!(parts, run(0), "the numbers are those of a stream that has ended in between");
}

/// An encoder that reconnects twice a second for a minute: what is held is bounded, and nothing comes twice.
#[test]
fn a_storm_of_reconnects_is_survived() {
    let mut bench = Bench::new(patient(origin(true)));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 2_000, 0);
    let mut edge = Edge::new(&mut bench, URL);
    let mut most = 0;
    for n in 1..=120 {
        drop_connection(&mut bench, &encoder);
        encoder = Encoder::new(&mut bench, "stream");
        encoder.make_others(n);
        encoder.publish(&mut bench, 500, 0);
        edge.talk(&mut bench);
        let census = bench.node.census();
        most = most.max(census.publishers + census.streams + census.outputs + census.deadlines);
    }
    let times = video_times(&edge);
    assert!(times.is_sorted_by(|a, b| a < b), "each time once, in order");
    assert!(times.len() > 120 && times.last().is_some_and(|last| *last < 70_000), "{:?}", times.last());
    assert!(most <= 8, "{most}");
    assert_eq!(ended(&bench), 0);
    drop_connection(&mut bench, &encoder);
    bench.run(60_000);
    bench.demand_empty();
}

// --- Publishers that stand by ---

#[test]
fn who_stands_by_takes_over_at_the_very_next_frame_of_the_same_encoder() {
    let mut bench = Bench::new(with_standby(origin(true), 1));
    let mut first = Encoder::new(&mut bench, "stream");
    let mut second = Encoder::new(&mut bench, "stream");
    assert_eq!((first.refusal(), second.refusal()), (None, None));
    assert!(Encoder::new(&mut bench, "stream").refusal().is_some(), "there is one place");
    publish_together(&mut bench, &mut [(&mut first, 0), (&mut second, 0)], 1_700);
    let mut edge = Edge::new(&mut bench, URL);
    drop_connection(&mut bench, &first);
    publish_together(&mut bench, &mut [(&mut second, 1_700)], 2_000);
    edge.talk(&mut bench);
    assert!(matches!(resumed(&bench)[..], [(_, Joined::Exact)]), "{:?}", resumed(&bench));
    let times = video_times(&edge);
    let steps: BTreeSet<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        steps.iter().all(|step| (1..=50).contains(step)),
        "no frame is missing, none comes twice: {steps:?}"
    );
    assert!(!bench.is_closed(edge.conn) && ended(&bench) == 0);
}

#[test]
fn who_stands_by_takes_over_from_the_silent() {
    let mut bench = Bench::new(with_standby(origin(true), 2));
    let mut first = Encoder::new(&mut bench, "stream");
    let mut second = Encoder::new(&mut bench, "stream");
    publish_together(&mut bench, &mut [(&mut first, 0), (&mut second, 0)], 1_500);
    let dead_ms = limits::PUBLISHER_DEAD_AFTER.as_millis() as u64;
    publish_together(&mut bench, &mut [(&mut second, 1_500)], dead_ms - 500);
    assert!(!bench.is_closed(first.conn));
    publish_together(&mut bench, &mut [(&mut second, dead_ms as u32 + 1_000)], 1_000);
    assert!(bench.is_closed(first.conn) && !bench.is_closed(second.conn));
    assert_eq!((resumed(&bench).len(), ended(&bench)), (1, 0));
}

#[test]
fn a_goodbye_hands_over_and_the_last_one_ends_the_stream() {
    let mut bench = Bench::new(with_standby(origin(true), 2));
    let mut first = Encoder::new(&mut bench, "stream");
    let mut second = Encoder::new(&mut bench, "stream");
    publish_together(&mut bench, &mut [(&mut first, 0), (&mut second, 0)], 1_500);
    first.rtmp.finish();
    first.talk(&mut bench);
    publish_together(&mut bench, &mut [(&mut second, 1_500)], 1_500);
    assert_eq!((resumed(&bench).len(), ended(&bench)), (1, 0));
    second.rtmp.finish();
    second.talk(&mut bench);
    assert_eq!(ended(&bench), 1);
    bench.demand_empty();
}

#[test]
fn the_api_shows_who_is_on_air_and_who_stands_by() {
    let mut bench = Bench::new(with_api(with_standby(origin(true), 2)));
    let shown = |bench: &mut Bench| {
        let (status, body) = bench.manage("/api/v1/streams", Some("secret"));
        let streams: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        let waiting = streams[0].get("standby_publishers").cloned().unwrap_or_default();
        let ready = |it: &serde_json::Value| (it["conn"].clone(), it["ready"] == true);
        let ready: Vec<_> = waiting.as_array().into_iter().flatten().map(ready).collect();
        assert_eq!(ready.len(), bench.node.census().standby_publishers);
        (streams[0]["on_air"].clone(), ready)
    };
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 1_500, 0);
    let number = |encoder: &Encoder| serde_json::Value::from(encoder.conn.0);
    assert_eq!(shown(&mut bench), (number(&first), vec![]));
    // One has sent a key frame, the other nothing yet.
    let mut second = Encoder::new(&mut bench, "stream");
    second.publish(&mut bench, 500, 0);
    let third = Encoder::new(&mut bench, "stream");
    let both = vec![(number(&second), true), (number(&third), false)];
    assert_eq!(shown(&mut bench), (number(&first), both));
    drop_connection(&mut bench, &first);
    assert_eq!(shown(&mut bench), (number(&second), vec![(number(&third), false)]));
    drop_connection(&mut bench, &third);
    drop_connection(&mut bench, &second);
    assert_eq!(shown(&mut bench), (serde_json::Value::Null, vec![]));
}

#[test]
fn who_stands_by_and_floods_is_held_to_its_bound() {
    let mut bench = Bench::new(with_standby(origin(true), 1));
    let mut first = Encoder::new(&mut bench, "stream");
    first.publish(&mut bench, 1_500, 0);
    let mut second = Encoder::new(&mut bench, "stream");
    second.publish(&mut bench, 500, 0);
    let large = |key: bool| {
        let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let unit = vec![if key { 0x65 } else { 0x41 }; 1 << 20];
        body.extend_from_slice(&u32::try_from(unit.len()).expect("small").to_be_bytes());
        body.extend_from_slice(&unit);
        Bytes::from(body)
    };
    for n in 0..60 {
        second.rtmp.send_video(1_000 + n, large(n % 40 == 0));
        second.talk(&mut bench);
        let held = bench.node.census().unfinished_bytes;
        assert!(held <= limits::RESERVE_BYTES_MAX + (2 << 20), "{held}");
    }
    // It has no key frame to begin with, and yet is next: at its next key frame.
    drop_connection(&mut bench, &first);
    assert_eq!(resumed(&bench).len(), 0);
    second.rtmp.send_video(2_000, large(true));
    second.talk(&mut bench);
    bench.run(200);
    assert_eq!(resumed(&bench).len(), 1);
}
