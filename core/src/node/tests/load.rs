//! A server that has as much to do as it may.

use super::*;
use crate::config::Limits;

/// A server that publishes `stream` under these limits.
fn limited(limits: Limits) -> (Bench, Encoder) {
    let mut bench = Bench::new(Config { limits, ..edge() });
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 3_000, 0);
    (bench, encoder)
}

fn master(bench: &mut Bench) -> Option<u16> {
    let id = bench.get("/app/stream/llhls.m3u8");
    bench.status(id)
}

#[test]
fn a_crowd_in_one_moment_is_let_in_up_to_the_limit() {
    let (mut bench, mut encoder) = limited(Limits { waiting: Some(10), ..Limits::default() });
    let answers: Vec<_> = (0..100).map(|_| master(&mut bench)).collect();
    assert_eq!(answers.iter().filter(|status| **status == Some(200)).count(), 10);
    assert!(answers[10..].iter().all(|status| *status == Some(503)));
    let refused = bench.events.iter().filter(|event| matches!(event, Event::ViewersRefused { .. }));
    assert_eq!(refused.count(), 1, "it is not told a hundred times");
    let (status, body) = bench.manage("/readyz", None);
    assert!(status == 200 && body.contains("Limits/WaitingRequests is 10"), "{body}");
    // They did not stay.
    encoder.publish(&mut bench, 3_000, 3_000);
    assert_eq!(master(&mut bench), Some(200));
}

#[test]
fn who_watches_is_served_by_a_server_that_is_full() {
    let (mut bench, mut encoder) = limited(Limits { waiting: Some(1), ..Limits::default() });
    let id = bench.get("/app/stream/llhls.m3u8");
    let variant = bench.bodies[&id].lines().find(|line| line.starts_with('/')).expect("a variant").to_owned();
    // Who was let in counts for two seconds, whatever it does.
    for round in 0..4 {
        assert_eq!(master(&mut bench), Some(503), "round {round}");
        let list = bench.get(&variant);
        encoder.publish(&mut bench, 500, 3_000 + round * 500);
        assert!(matches!(bench.status(list), None | Some(200)), "{:?}", bench.status(list));
        let hls = bench.get(&format!("{variant}?_HLS_msn=99999999999999"));
        assert_ne!(bench.status(hls), Some(503));
        bench.tell(Input::RequestGone { id: list });
    }
}

#[test]
fn bandwidth_counts_what_is_sent_and_what_is_promised() {
    let (mut bench, mut encoder) = limited(Limits { bandwidth: Some(400_000), ..Limits::default() });
    let answers: Vec<_> = (0..100).map(|_| master(&mut bench)).collect();
    let let_in = answers.iter().filter(|status| **status == Some(200)).count();
    assert!((1..50).contains(&let_in), "{let_in}");
    encoder.publish(&mut bench, 3_000, 3_000);
    assert_eq!(master(&mut bench), Some(200));
}

#[test]
fn there_are_no_more_streams_than_may_be() {
    let (mut bench, _encoder) = limited(Limits { streams: Some(1), ..Limits::default() });
    let late = Encoder::new(&mut bench, "late");
    assert_eq!(late.refusal(), Some("The server takes no more streams."));
    let another = bench.get("/app/another/llhls.m3u8");
    assert_eq!((bench.status(another), bench.opened.len()), (Some(503), 0));
}
