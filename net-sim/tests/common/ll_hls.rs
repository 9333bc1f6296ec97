//! A small low-latency HLS server with faults to order: two tracks, parts of half a second, four to a segment.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use headwater_core::io::{Body, Input, Machine, Output, RequestId, Service};
use headwater_core::time::{Deadline, Now, Time};
use headwater_net_sim::Boot;
use headwater_net_sim::mark::Mark;

#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Production stands still at this part for so many parts.
    pub late: Option<(u64, u64)>,
    /// This part is answered with 404, or with another status.
    pub missing: Option<(u64, u16)>,
    /// From this part on, everything is numbered so many segments lower.
    pub back: Option<(u64, u64)>,
    /// Salt for the bytes of the parts.
    pub salt: u8,
    /// From this part on, the URLs of segments are different ones.
    pub renamed_from: Option<u64>,
    /// Before this part there is a discontinuity; the part after it starts so many seconds later.
    pub discontinuity: Option<(u64, i64)>,
    /// How many parts are skipped (never made, never numbered) at this part.
    pub hole: Option<(u64, u64)>,
    /// The part before which key frames stop.
    pub no_keys_after: Option<u64>,
    /// EXT-X-DISCONTINUITY-SEQUENCE is one higher from this part on.
    pub miscounts_from: Option<u64>,
}

pub struct Server {
    faults: Faults,
    start: Time,
    held: Vec<(RequestId, String, (u64, u64))>,
    outbox: VecDeque<Output>,
}

pub const PART: Duration = Duration::from_millis(500);
const PER_SEGMENT: u64 = 4;
const FIRST_MSN: u64 = 100;
/// Parts that exist when the server starts.
const BEFORE: u64 = 24;

impl Server {
    /// How many parts exist.
    fn made(&self, now: Time) -> u64 {
        let made = BEFORE + (now.since(self.start).as_micros() / PART.as_micros()) as u64;
        match self.faults.late {
            Some((at, count)) if made > at => at.max(made.saturating_sub(count)),
            _ => made,
        }
    }

    /// The number of the segment of part `n`.
    fn msn(&self, n: u64) -> u64 {
        FIRST_MSN + n / PER_SEGMENT
    }

    fn shift(&self, made: u64) -> u64 {
        self.faults.back.filter(|(at, _)| made >= *at).map_or(0, |(_, by)| by)
    }

    fn answer(&mut self, id: RequestId, status: u16, body: Bytes) {
        let response = http::Response::builder().status(status).body(Body::from(body)).unwrap();
        self.outbox.push_back(Output::Respond { id, response });
    }

    fn settle(&mut self, now: Time) {
        let made = self.made(now);
        for (id, path, (msn, part)) in std::mem::take(&mut self.held) {
            let next = (self.msn(made), made % PER_SEGMENT);
            let next = (next.0 - self.shift(made), next.1);
            // A server that has lost count does not hold anything.
            if (msn, part) < next || self.shift(made) > 0 {
                let list = self.playlist(&path, made);
                self.answer(id, 200, list.into());
            } else {
                self.held.push((id, path, (msn, part)));
            }
        }
    }

    fn playlist(&self, path: &str, made: u64) -> String {
        let t = if path.starts_with("/v") { 'v' } else { 'a' };
        let shift = self.shift(made);
        let first = (made / PER_SEGMENT).saturating_sub(5);
        let cut = self.faults.discontinuity.map(|(at, _)| at);
        let miscount = self.faults.miscounts_from.is_some_and(|at| made >= at);
        let gone = u64::from(cut.is_some_and(|at| at < first * PER_SEGMENT)) + u64::from(miscount);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-MAP:URI=\"{t}_init.mp4\"\n",
            FIRST_MSN + first - shift,
            1 + gone
        );
        for segment in first..=made / PER_SEGMENT {
            let msn = FIRST_MSN + segment - shift;
            for part in 0..PER_SEGMENT {
                let n = segment * PER_SEGMENT + part;
                if n >= made {
                    break;
                }
                if cut == Some(n) {
                    text += "#EXT-X-DISCONTINUITY\n";
                }
                if segment + 2 < made / PER_SEGMENT {
                    continue;
                }
                let independent = if t == 'a' || n.is_multiple_of(2) { ",INDEPENDENT=YES" } else { "" };
                text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"{t}_{msn}_{part}.m4s\"{independent}\n");
            }
            if (segment + 1) * PER_SEGMENT <= made {
                let renamed = self.faults.renamed_from.is_some_and(|at| made >= at);
                let name = if renamed { "other" } else { "seg" };
                text += &format!("#EXTINF:2.0,\n{t}_{name}_{msn}.m4s\n");
            }
        }
        let (msn, part) = (self.msn(made) - shift, made % PER_SEGMENT);
        text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{t}_{msn}_{part}.m4s\"\n")
    }

    fn request(&mut self, now: Time, id: RequestId, uri: &http::Uri) {
        let made = self.made(now);
        let path = uri.path();
        let query = |name: &str| {
            let pairs = uri.query()?.split('&');
            pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
        };
        if path == "/live.m3u8" {
            let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"a.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c01e,mp4a.40.2\",AUDIO=\"a\"\nv.m3u8\n";
            return self.answer(id, 200, text.into());
        }
        if path.ends_with(".m3u8") {
            if let Some(msn) = query("_HLS_msn") {
                self.held.push((id, path.to_owned(), (msn, query("_HLS_part").unwrap_or(PER_SEGMENT - 1))));
                return;
            }
            let list = self.playlist(path, made);
            return self.answer(id, 200, list.into());
        }
        let video = path.starts_with("/v");
        if path.ends_with("_init.mp4") {
            return self.answer(id, 200, init(if video { 90_000 } else { 48_000 }));
        }
        if let Some(msn) =
            path.trim_end_matches(".m4s").split("_seg_").nth(1).and_then(|msn| msn.parse::<u64>().ok())
        {
            let first = (msn + self.shift(made) - FIRST_MSN) * PER_SEGMENT;
            if let Some((missing, status)) =
                self.faults.missing.filter(|(n, _)| *n / PER_SEGMENT == first / PER_SEGMENT)
                && video
            {
                assert!(missing >= first);
                return self.answer(id, status, Bytes::new());
            }
            let parts: Vec<_> = (first..first + PER_SEGMENT).map(|n| self.part(video, n)).collect();
            return self.answer(id, 200, parts.concat().into());
        }
        let mut numbers =
            path.trim_end_matches(".m4s").split('_').skip(1).filter_map(|n| n.parse::<u64>().ok());
        let (Some(msn), Some(part)) = (numbers.next(), numbers.next()) else {
            return self.answer(id, 404, Bytes::new());
        };
        let n = (msn + self.shift(made) - FIRST_MSN) * PER_SEGMENT + part;
        match self.faults.missing {
            Some((missing, status)) if missing == n && video => self.answer(id, status, Bytes::new()),
            _ if n < made => {
                let bytes = self.part(video, n);
                self.answer(id, 200, bytes);
            }
            _ => self.answer(id, 404, Bytes::new()),
        }
    }

    fn part(&self, video: bool, n: u64) -> Bytes {
        let (scale, frames) = if video { (90_000, 15) } else { (48_000, 24) };
        let moved = self.faults.discontinuity.filter(|(at, _)| n >= *at).map_or(0, |(_, secs)| secs);
        let hole = self.faults.hole.filter(|(at, _)| n >= *at).map_or(0, |(_, parts)| parts);
        let n = n + hole;
        let start = (n * u64::from(scale) / 2).wrapping_add_signed(moved * i64::from(scale));
        let keys = self.faults.no_keys_after.is_none_or(|at| n < at);
        let samples: Vec<_> = (0..frames)
            .map(|i| {
                let mark = Mark { source: u32::from(video), frame: n * frames + i };
                let mut data = mark.to_bytes();
                data.push(self.faults.salt);
                (data, !video || (i == 0 && n.is_multiple_of(2) && keys))
            })
            .collect();
        fragment(start, scale / 2 / frames as u32, &samples)
    }
}

impl Machine for Server {
    fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Request { id, request, .. } => self.request(now.mono, id, request.uri()),
            Input::RequestGone { id } => self.held.retain(|(held, ..)| *held != id),
            _ => {}
        }
        self.settle(now.mono);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.settle(now.mono);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A server whose held requests are looked at every 10 ms, because `Server` does not know when it was asked last.
pub struct Ticking(pub Server, Time);

impl Machine for Ticking {
    fn handle(&mut self, now: Now, input: Input) {
        self.1 = self.1.max(now.mono);
        self.0.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.1 = now.mono + Duration::from_millis(10);
        self.0.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.0.poll_output()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.0.held.is_empty() { None } else { Some(Deadline { at: self.1, why: "held requests" }) }
    }
}

/// The server as a host's program.
pub fn live(faults: Faults) -> Boot {
    Boot::new(move |_, now| {
        let server =
            Server { faults: faults.clone(), start: now.mono, held: Vec::new(), outbox: VecDeque::new() };
        Box::new(Ticking(server, now.mono))
    })
    .listen(8080, Service::Http)
}

fn boxed(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(8 + body.len() as u32);
    out.put_slice(kind.as_bytes());
    out.put_slice(body);
    out
}

fn init(timescale: u32) -> Bytes {
    let mut mdhd = vec![0; 24];
    mdhd[12..16].copy_from_slice(&timescale.to_be_bytes());
    let trak = boxed("trak", &boxed("mdia", &boxed("mdhd", &mdhd)));
    let mvex = boxed("mvex", &boxed("trex", &[0; 24]));
    boxed("moov", &[trak, mvex].concat()).into()
}

fn fragment(tfdt: u64, duration: u32, samples: &[(Vec<u8>, bool)]) -> Bytes {
    let mut tfhd = vec![0, 0x02, 0, 0x08, 0, 0, 0, 1];
    tfhd.put_u32(duration);
    let mut time = vec![1, 0, 0, 0];
    time.put_u64(tfdt);
    let moof = |offset: u32| {
        let mut trun = vec![0, 0, 0x06, 0x01];
        trun.put_u32(samples.len() as u32);
        trun.put_u32(offset);
        for (data, sync) in samples {
            trun.put_u32(data.len() as u32);
            trun.put_u32(if *sync { 0x0200_0000 } else { 0x0101_0000 });
        }
        let traf = [boxed("tfhd", &tfhd), boxed("tfdt", &time), boxed("trun", &trun)].concat();
        boxed("moof", &boxed("traf", &traf))
    };
    let data: Vec<u8> = samples.iter().flat_map(|(data, _)| data.iter().copied()).collect();
    let offset = moof(0).len() as u32 + 8;
    [moof(offset), boxed("mdat", &data)].concat().into()
}
