//! The watcher against an edge that is a script: a part every 50 ms, four to a segment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_probe::fmp4::made::{init, part};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// What the edge does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The second answer for a part has other bytes.
    Bytes,
    /// Every tenth answer is 503.
    Busy,
    None,
    /// Part 2 of segment 3 is left out.
    Skip,
}

struct Edge {
    start: Instant,
    flaw: Flaw,
    asked: AtomicU64,
}

const PART_MS: u64 = 50;
const PARTS: u64 = 4;

impl Edge {
    /// How many parts there are.
    fn ready(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 / PART_MS
    }

    fn playlist(&self, name: &str) -> String {
        let ready = self.ready();
        let newest = ready / PARTS;
        let oldest = newest.saturating_sub(4);
        let mut text = format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{oldest}\n#EXT-X-MAP:URI=\"init_{name}\"\n");
        for msn in oldest..=newest {
            for part in 0..PARTS.min(ready - msn * PARTS) {
                if msn + 3 > newest && !(self.flaw == Flaw::Skip && (msn, part) == (3, 2)) {
                    text += &format!("#EXT-X-PART:DURATION=0.05,URI=\"part_{name}_{msn}_{part}\"\n");
                }
            }
            if msn < newest {
                text += &format!("#EXTINF:0.2,\nseg_{name}_{msn}\n");
            }
        }
        text
    }

    async fn answer(&self, path: &str, query: &str) -> (StatusCode, Vec<u8>) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.flaw == Flaw::Busy && asked % 10 == 9 {
            return (StatusCode::SERVICE_UNAVAILABLE, Vec::new());
        }
        let name = path.rsplit('/').next().unwrap();
        let words: Vec<&str> = name.split('_').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let body = match words[..] {
            ["master.m3u8"] => {
                "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"list_a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/live/list_v?s=1\n".into()
            }
            ["list", track] => {
                self.wait_for(query).await;
                self.playlist(track).into_bytes()
            }
            ["init", track] => init(1_000, track == "v"),
            ["part", track, ..] => self.part(track, number(2), number(3), asked),
            ["seg", track, _] => (0..PARTS).flat_map(|part| self.part(track, number(2), part, 0)).collect(),
            _ => return (StatusCode::NOT_FOUND, Vec::new()),
        };
        (StatusCode::OK, body)
    }

    fn part(&self, track: &str, msn: u64, number: u64, asked: u64) -> Vec<u8> {
        let start = (msn * PARTS + number) * PART_MS;
        let mark = if self.flaw == Flaw::Bytes && msn > 2 { asked.to_string() } else { String::new() };
        part(start, 5, 10, format!("{track}{mark}").as_bytes())
    }

    /// Blocks as long as the directives ask.
    async fn wait_for(&self, query: &str) {
        let directive =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<u64>().ok());
        let (Some(msn), Some(part)) = (directive("_HLS_msn="), directive("_HLS_part=")) else { return };
        while self.ready() <= msn * PARTS + part {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(flaw: Flaw) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let edge = Arc::new(Edge { start: Instant::now(), flaw, asked: AtomicU64::new(0) });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let edge = edge.clone();
            let service = service_fn(move |request: Request<_>| {
                let edge = edge.clone();
                async move {
                    let _: &hyper::body::Incoming = request.body();
                    let (status, body) =
                        edge.answer(request.uri().path(), request.uri().query().unwrap_or_default()).await;
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    at
}

/// What the watcher sees of such an edge for a while, or until it gives up.
async fn sees(flaw: Flaw, parts: usize) -> Vec<Seen> {
    let at = serve(flaw).await;
    let (seen, mut sees) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch(at, "/live/clip/master.m3u8".to_owned(), seen));
    let mut all = Vec::new();
    let collect = async {
        while let Some(seen) = sees.recv().await {
            all.push(seen);
            let last = matches!(all.last(), Some(Seen::Broken { .. }));
            if last || all.iter().filter(|seen| matches!(seen, Seen::Part { .. })).count() >= parts {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), collect).await.unwrap();
    watching.abort();
    all
}

fn media_of(all: &[Seen], wanted: Track) -> Vec<Span> {
    let parts = all.iter().filter_map(|seen| match seen {
        Seen::Part { track, media, .. } if *track == wanted => Some(*media),
        _ => None,
    });
    parts.collect()
}

#[tokio::test]
async fn follows_both_tracks_part_by_part() {
    let all = sees(Flaw::None, 40).await;
    for track in [Track::Video, Track::Audio] {
        let media = media_of(&all, track);
        assert!(media.len() > 10, "{track:?}: {all:?}");
        assert!(media.windows(2).all(|pair| pair[0].end == pair[1].start), "{media:?}");
        assert!(all.contains(&Seen::Segment { track }));
    }
    assert!(!all.iter().any(|seen| matches!(seen, Seen::Broken { .. } | Seen::Trouble { .. })), "{all:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_costs_nothing_but_time() {
    let all = sees(Flaw::Busy, 40).await;
    assert!(all.iter().any(|seen| matches!(seen, Seen::Trouble { what } if what.contains("503"))), "{all:?}");
    let media = media_of(&all, Track::Video);
    assert!(media.windows(2).all(|pair| pair[0].end == pair[1].start), "{media:?}");
}

#[tokio::test]
async fn a_server_that_breaks_its_word_is_told() {
    let last = sees(Flaw::Bytes, usize::MAX).await.pop();
    assert!(matches!(last, Some(Seen::Broken { broken: Broken::Bytes { .. }, .. })), "{last:?}");
    // Where part 2 is left out, part 3 has its name.
    let last = sees(Flaw::Skip, usize::MAX).await.pop();
    assert!(matches!(last, Some(Seen::Broken { .. })), "{last:?}");
}
