//! The viewer itself, against a server that is as good or as bad as the test wants: a viewer that could not see a
//! gap would let everything pass.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use headwater_tests::fmp4;
use headwater_tests::viewer::{Seen, Track, Viewer};

const PART: &[u8] = include_bytes!("../../vectors/ome-llhls/20-video-part-2.body");
const PART_TIME: Duration = Duration::from_millis(100);
const PARTS_PER_SEGMENT: u64 = 4;

/// A server that has its n-th part when `due` says so, and that forgets the part `lost`.
#[derive(Clone, Copy)]
struct Origin {
    started: Instant,
    pause_before: u64,
    pause: Duration,
    lost: u64,
}

impl Origin {
    fn due(self, part: u64) -> Instant {
        let pause = if part >= self.pause_before { self.pause } else { Duration::ZERO };
        self.started + PART_TIME * u32::try_from(part).expect("a small number") + pause
    }

    fn parts(self) -> u64 {
        (0..).take_while(|part| self.due(*part) <= Instant::now()).count() as u64
    }

    fn playlist(self) -> String {
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-PART-INF:PART-TARGET=0.1\n\
            #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.3\n#EXT-X-MEDIA-SEQUENCE:0\n"
            .to_owned();
        let parts = self.parts();
        for part in 0..parts {
            if part != self.lost {
                text += &format!("#EXT-X-PART:DURATION=0.1,URI=\"part{part}\"\n");
            }
            if part % PARTS_PER_SEGMENT == PARTS_PER_SEGMENT - 1 {
                text += "#EXTINF:0.4,\nsegment\n";
            }
        }
        text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part{parts}\"\n")
    }

    fn answer(self, target: &str) -> Vec<u8> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/app/stream/llhls.m3u8" => b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n".to_vec(),
            "/app/stream/video.m3u8" => {
                let number =
                    |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<u64>().ok());
                if let (Some(msn), Some(part)) = (number("_HLS_msn="), number("_HLS_part=")) {
                    thread::sleep(
                        self.due(msn * PARTS_PER_SEGMENT + part).saturating_duration_since(Instant::now()),
                    );
                }
                self.playlist().into_bytes()
            }
            path => part(path.trim_start_matches("/app/stream/part").parse().expect("a part's number")),
        }
    }

    fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut to = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = lines.next().transpose()? {
            lines.by_ref().map_while(Result::ok).find(String::is_empty);
            let body = self.answer(request.split(' ').nth(1).unwrap_or_default());
            write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
            to.write_all(&body)?;
        }
        Ok(())
    }
}

/// The captured part, as if it were the n-th one of a stream.
fn part(number: u64) -> Vec<u8> {
    let mut bytes = PART.to_vec();
    let duration = fmp4::fragment(PART).expect("a part").duration;
    let time = bytes.windows(4).position(|kind| kind == b"tfdt").expect("a decode time") + 8;
    assert_eq!(bytes[time - 4], 1, "the captured decode time has 64 bits");
    bytes[time..time + 8].copy_from_slice(&(number * duration).to_be_bytes());
    bytes
}

/// What a viewer sees of it in a second and a half, and until when.
fn watch(pause: Duration, lost: u64) -> (Seen, Instant) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/app/stream/llhls.m3u8", listener.local_addr().expect("an address"));
    let origin = Origin { started: Instant::now(), pause_before: 8, pause, lost };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || origin.serve(stream).ok());
        }
    });
    let viewer = Viewer::start(&url, Duration::from_secs(5)).expect("a playlist");
    thread::sleep(Duration::from_millis(1_500));
    let until = Instant::now();
    (viewer.stop(), until)
}

#[test]
fn a_good_stream_has_neither_gaps_nor_jumps_nor_holes() {
    let (seen, until) = watch(Duration::ZERO, u64::MAX);
    assert_eq!((seen.failures.clone(), seen.jumps(Track::Main)), (Vec::new(), Vec::new()));
    assert_eq!(seen.holes(Track::Main), Vec::<String>::new());
    assert!(seen.arrivals.len() >= 12, "{:?}", seen.arrivals);
    assert!(seen.longest_gap(Track::Main, until) < Duration::from_millis(400));
    assert!(
        seen.arrivals.iter().all(|arrival| arrival.last_picture.is_some() && arrival.bytes == PART.len())
    );
}

#[test]
fn a_pause_is_a_gap() {
    let (seen, until) = watch(Duration::from_millis(600), u64::MAX);
    assert_eq!((seen.failures.clone(), seen.jumps(Track::Main)), (Vec::new(), Vec::new()));
    let gap = seen.longest_gap(Track::Main, until);
    assert!(gap >= Duration::from_millis(650) && gap < Duration::from_millis(1_100), "{gap:?}");
}

#[test]
fn a_lost_part_is_a_hole() {
    let (seen, _) = watch(Duration::ZERO, 6);
    assert_eq!(seen.failures, Vec::<String>::new());
    assert_eq!(seen.holes(Track::Main).len(), 1, "{:?}", seen.holes(Track::Main));
}
