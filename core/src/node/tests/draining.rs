//! A server that is asked to go.

use http::Method;

use super::*;

/// An edge of ours asks for `url`: it says on whose behalf.
fn our_edge(bench: &mut Bench, url: &str) -> Edge {
    Edge::asking(bench, OvtClient::new(url.to_owned(), 1, Some(4_000)).with_via(vec![7]))
}

fn drained(bench: &Bench) -> Option<&str> {
    bench.events.iter().find_map(|event| match event {
        Event::DrainEnded { why } => Some(*why),
        _ => None,
    })
}

#[test]
fn whom_nobody_needs_goes_at_once() {
    for publishes in [false, true] {
        let mut bench = Bench::new(origin(true));
        if publishes {
            Encoder::new(&mut bench, "stream").publish(&mut bench, 1_500, 0);
        }
        bench.tell(Input::Command(Command::Drain));
        assert_eq!((bench.done, drained(&bench)), (1, Some("nobody needs it")));
        bench.demand_empty();
        bench.tell(Input::Command(Command::Drain));
        bench.tell(Input::Command(Command::Shutdown));
        assert_eq!(bench.done, 1);
    }
}

#[test]
fn an_origin_sends_its_edges_away_and_serves_who_comes_back() {
    let mut bench = Bench::new(origin(true));
    let mut encoder = Encoder::new(&mut bench, "stream");
    encoder.publish(&mut bench, 1_500, 0);
    let (ours, other) = (our_edge(&mut bench, URL), Edge::new(&mut bench, URL));
    bench.tell(Input::Command(Command::Drain));
    assert_eq!(bench.closed, [(ours.conn, Close::Flush)], "OvenMediaEngine's edge loses media when it moves");

    let mut back = our_edge(&mut bench, URL);
    encoder.publish(&mut bench, 1_000, 1_500);
    back.talk(&mut bench);
    assert!(back.media() > 20 && bench.done == 0);
    let late = Encoder::new(&mut bench, "late");
    assert!(late.refusal().is_some_and(|why| why.contains("publish to another")), "{:?}", late.refusal());

    for edge in [other, back] {
        assert_eq!(bench.done, 0);
        bench.tell(Input::Closed { conn: edge.conn, reason: CloseReason::Eof });
    }
    bench.run(3_000);
    assert_eq!((bench.done, drained(&bench)), (1, Some("nobody needs it")));
    encoder.talk(&mut bench);
    assert_eq!(encoder.refusal(), Some("the server is shutting down"));
    bench.demand_empty();
}

#[test]
fn an_origin_waits_for_those_whom_it_has_sent_away_and_no_longer() {
    let mut bench = Bench::new(origin(true));
    Encoder::new(&mut bench, "stream").publish(&mut bench, 1_500, 0);
    our_edge(&mut bench, URL);
    bench.tell(Input::Command(Command::Drain));
    bench.run(limits::DRAIN_RETURN.as_millis() as u64 - 1);
    assert_eq!(bench.done, 0);
    bench.run(1);
    assert_eq!(bench.done, 1);
}

#[test]
fn who_watches_is_served_until_the_time_is_over() {
    let mut bench = Bench::new(edge());
    Encoder::new(&mut bench, "stream").publish(&mut bench, 3_000, 0);
    let first = bench.get("/app/stream/llhls.m3u8");
    let variant =
        bench.bodies[&first].lines().find(|line| line.starts_with('/')).expect("a variant").to_owned();
    bench.tell(Input::Command(Command::Drain));
    assert_eq!(bench.manage("/healthz", None).0, 200);
    let (status, body) = bench.manage("/readyz", None);
    assert!(status == 503 && body.contains("the server drains"), "{body}");

    for path in ["/app/stream/llhls.m3u8", "/app/another/llhls.m3u8"] {
        let new = bench.get(path);
        assert_eq!((bench.status(new), bench.header(new, "retry-after")), (Some(503), Some("1")), "{path}");
    }
    let started = bench.ms;
    while bench.done == 0 {
        // Long after it has begun to watch.
        let reload = bench.get(&variant);
        assert_ne!(bench.status(reload), Some(404));
        bench.run(1_000);
    }
    assert_eq!((bench.ms - started, drained(&bench)), (20_000, Some("its time is over")));
    bench.demand_empty();
}

#[test]
fn an_edge_goes_when_nobody_has_watched_for_two_segments() {
    let mut config = edge();
    config.vhosts[0].pull.unused_timeout = Duration::from_secs(60);
    let (mut bench, mut origins) = (Bench::new(config), BTreeMap::new());
    let waiting = bench.get("/app/pulled/llhls.m3u8");
    bench.serve(&mut origins, plays);
    bench.tell(Input::RequestGone { id: waiting });
    bench.tell(Input::Command(Command::Drain));
    bench.run(11_900);
    assert_eq!(bench.done, 0);
    bench.run(500);
    assert_eq!(bench.done, 1);
}

#[test]
fn a_second_order_does_not_wait() {
    let (mut bench, mut origins) = (Bench::new(edge()), BTreeMap::new());
    bench.get("/app/pulled/llhls.m3u8");
    bench.serve(&mut origins, plays);
    bench.tell(Input::Command(Command::Drain));
    bench.tell(Input::Command(Command::Shutdown));
    bench.run(60_000);
    assert_eq!(bench.done, 0, "whoever said so knows it");
    bench.demand_empty();
}

#[test]
fn the_time_is_the_configured_one() {
    let (mut bench, mut origins) = (Bench::new(Config { drain: Duration::ZERO, ..edge() }), BTreeMap::new());
    bench.get("/app/pulled/llhls.m3u8");
    bench.serve(&mut origins, plays);
    bench.tell(Input::Command(Command::Drain));
    assert_eq!((bench.done, drained(&bench)), (1, Some("its time is over")));
}

#[test]
fn the_api_drains_for_those_who_have_the_token() {
    let mut bench = Bench::new(with_api(edge()));
    let path = "/api/v1/drain";
    assert_eq!(bench.manage_by(Method::POST, path, None).0, 401);
    assert_eq!(bench.manage_by(Method::POST, path, Some("wrong")).0, 401);
    assert_eq!(bench.manage(path, Some("secret")).0, 405);
    let on_the_viewers_port = bench.get(path);
    assert_eq!((bench.status(on_the_viewers_port), bench.done), (Some(404), 0));
    assert_eq!(bench.manage_by(Method::POST, path, Some("secret")).0, 202);
    assert_eq!(bench.done, 1);
}

#[test]
fn what_somebody_waits_for_is_handed_over_and_the_rest_is_kept() {
    let mut bench = Bench::new(with_store(origin(true)));
    let mut store = Embedded::default();
    for name in ["common", "own"] {
        Encoder::new(&mut bench, name).publish(&mut bench, 1_000, 0);
        bench.obey(&mut store);
    }
    let claim = |name: &str| {
        let (name, url) = (format!("app/{name}"), format!("ovt://b:9000/app/{name}"));
        vec![Claim { name, url, floor: 0, dead: None }]
    };
    let now_ms = 1_000_000 + bench.ms;
    store.execute(now_ms, &StoreCommand::Open { by: LeaseId(1) });
    store.execute(now_ms, &StoreCommand::Claim { by: LeaseId(1), streams: claim("common") });
    let watch = our_edge(&mut bench, "ovt://me:9000/app/own");
    bench.tell(Input::Command(Command::Drain));
    bench.obey(&mut store);
    assert!(bench.is_closed(watch.conn) && bench.done == 0);
    let owner = |name: &str| store.entry(now_ms, name).map(|entry| entry.url.clone());
    assert_eq!(owner("app/common").as_deref(), Some("ovt://b:9000/app/common"));
    assert_eq!(owner("app/own").as_deref(), Some("ovt://me:9000/app/own"));
}
