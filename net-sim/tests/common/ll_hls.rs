//! A small low-latency HLS server with faults to order: two tracks, parts of half a second, four to a segment.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use headwater_core::io::{Body, Input, Machine, Output, RequestId, Service};
use headwater_core::time::{Deadline, Now, Time, Wall};
use headwater_net_sim::Boot;
use headwater_net_sim::encoder::{Frames, Picture, Source};
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
    /// What is wrong with the media from this part on.
    pub wrong: Option<(u64, Wrong)>,
    /// Media is made so many milliseconds before its part.
    pub stale_ms: i64,
    /// Segments are dated so many milliseconds late; not at all if none.
    pub dated_ms: Option<i64>,
    /// EXT-X-DISCONTINUITY-SEQUENCE is one higher from this part on.
    pub miscounts_from: Option<u64>,
}

/// What a server can do to media that passes through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrong {
    /// A byte of the last video frame of every part is another one.
    Byte,
    /// The last video frame of every part lacks its last byte.
    Cut,
    /// NAL units are longer than their length.
    Units,
    /// Video has a unit that was never made.
    Stray,
    /// Audio is so many milliseconds late.
    Sound(i64),
    /// Video has no composition offsets.
    Composition,
    /// Both tracks move, without a word.
    Moved,
    /// No frame is called a key frame.
    Keys,
    /// The initialization segments are those of other parameter sets.
    Config,
}

pub struct Server {
    faults: Faults,
    start: Time,
    wall: Wall,
    held: Vec<(RequestId, String, (u64, u64))>,
    outbox: VecDeque<Output>,
}

pub const PART: Duration = Duration::from_millis(500);
const PER_SEGMENT: u64 = 4;
/// Video is presented one frame after it is decoded.
const FRAME_US: u32 = 33_333;
const FRAME_TICKS: u32 = 3_000;
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
            if let Some(late_ms) = self.faults.dated_ms {
                let presented = if t == 'v' { u64::from(FRAME_US) } else { 0 };
                let in_us = (segment * PER_SEGMENT * 500_000 + presented) as i64;
                let ms = self.wall.plus_micros(in_us - (BEFORE * 500_000) as i64).as_millis() + late_ms;
                text += &format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", date(ms));
            }
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
            let wrong = self.wrong(0) == Some(Wrong::Config);
            return self.answer(id, 200, init(video, wrong));
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

    fn wrong(&self, n: u64) -> Option<Wrong> {
        self.faults.wrong.filter(|(at, _)| n >= *at).map(|(_, wrong)| wrong)
    }

    fn part(&self, video: bool, n: u64) -> Bytes {
        let (scale, frames) = if video { (90_000_u32, 15) } else { (48_000, 24) };
        let wrong = self.wrong(n);
        let moved = self.faults.discontinuity.filter(|(at, _)| n >= *at).map_or(0, |(_, secs)| secs);
        let hole = self.faults.hole.filter(|(at, _)| n >= *at).map_or(0, |(_, parts)| parts);
        let n = n + hole;
        let moved_ms = match wrong {
            Some(Wrong::Sound(ms)) if !video => ms,
            Some(Wrong::Moved) => 40,
            _ => 0,
        };
        let moved = moved * i64::from(scale) + moved_ms * i64::from(scale / 1_000);
        let start = (n * u64::from(scale) / 2).wrapping_add_signed(moved);
        let keys = self.faults.no_keys_after.is_none_or(|at| n < at);
        let samples: Vec<_> = (0..frames)
            .map(|i| {
                let key = !video || (i == 0 && n.is_multiple_of(2) && keys);
                let at_us = (n * 500_000 + i * 500_000 / frames) as i64;
                let made_us = at_us - (BEFORE * 500_000) as i64 - self.faults.stale_ms * 1_000;
                let mark = Mark {
                    dts_us: at_us as u64,
                    composition_us: if video { FRAME_US } else { 0 },
                    made: self.wall.plus_micros(made_us),
                    len: 200,
                    format: if video { 0 } else { 3 },
                    key,
                    ..Mark::new(2 * u32::from(self.faults.salt) + u32::from(!video), n * frames + i)
                };
                let mut data = mark.content();
                if video {
                    let slice = if key { [0x65, 0x88] } else { [0x41, 0x9a] };
                    data.splice(0..0, slice);
                    match wrong {
                        Some(Wrong::Byte) if i == 14 => data[150] ^= 1,
                        Some(Wrong::Cut) if i == 14 => data.truncate(201),
                        _ => {}
                    }
                    let len = data.len() as u32 - u32::from(wrong == Some(Wrong::Units));
                    data.splice(0..0, len.to_be_bytes());
                    if wrong == Some(Wrong::Stray) {
                        data.extend([0, 0, 0, 2, 6, 5]);
                    }
                }
                (data, key && wrong != Some(Wrong::Keys))
            })
            .collect();
        let composition = if video && wrong != Some(Wrong::Composition) { FRAME_TICKS } else { 0 };
        fragment(start, scale / 2 / frames as u32, composition, &samples)
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
        let server = Server {
            faults: faults.clone(),
            start: now.mono,
            wall: now.wall,
            held: Vec::new(),
            outbox: VecDeque::new(),
        };
        Box::new(Ticking(server, now.mono))
    })
    .listen(8080, Service::Http)
}

/// Worlds begin on the day of this formula, which is the 325th of a year.
fn date(ms: i64) -> String {
    let of_day = ms - 1_795_219_200_000;
    let (day, of_day) = (21 + of_day.div_euclid(86_400_000), of_day.rem_euclid(86_400_000));
    let (secs, ms) = (of_day / 1_000, of_day % 1_000);
    format!("2026-11-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", secs / 3_600, secs / 60 % 60, secs % 60)
}

fn boxed(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(8 + body.len() as u32);
    out.put_slice(kind.as_bytes());
    out.put_slice(body);
    out
}

fn init(video: bool, wrong: bool) -> Bytes {
    let timescale: u32 = if video { 90_000 } else { 48_000 };
    let picture = if wrong { Picture::Large } else { Picture::Small };
    let headers = Frames::new(Source { picture, ..Source::default() }, 0, Wall::from_micros(0));
    let entry = if video {
        boxed("avc1", &[&[0; 78][..], &boxed("avcC", &headers.video_header()[5..])].concat())
    } else {
        let config = &headers.audio_header()[2..];
        let mut esds = vec![0, 0, 0, 0, 3, 22, 0, 1, 0, 4, 17];
        esds.extend([0; 13]);
        esds.extend([5, 2, config[0], config[1]]);
        boxed("mp4a", &[&[0; 28][..], &boxed("esds", &esds)].concat())
    };
    let stsd = boxed("stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
    let minf = boxed("minf", &boxed("stbl", &stsd));
    let mut mdhd = vec![0; 24];
    mdhd[12..16].copy_from_slice(&timescale.to_be_bytes());
    let trak = boxed("trak", &boxed("mdia", &[boxed("mdhd", &mdhd), minf].concat()));
    let mvex = boxed("mvex", &boxed("trex", &[0; 24]));
    boxed("moov", &[trak, mvex].concat()).into()
}

fn fragment(tfdt: u64, duration: u32, composition: u32, samples: &[(Vec<u8>, bool)]) -> Bytes {
    let mut tfhd = vec![0, 0x02, 0, 0x08, 0, 0, 0, 1];
    tfhd.put_u32(duration);
    let mut time = vec![1, 0, 0, 0];
    time.put_u64(tfdt);
    let moof = |offset: u32| {
        let mut trun = vec![0, 0, 0x0e, 0x01];
        trun.put_u32(samples.len() as u32);
        trun.put_u32(offset);
        for (data, sync) in samples {
            trun.put_u32(data.len() as u32);
            trun.put_u32(if *sync { 0x0200_0000 } else { 0x0101_0000 });
            trun.put_u32(composition);
        }
        let traf = [boxed("tfhd", &tfhd), boxed("tfdt", &time), boxed("trun", &trun)].concat();
        boxed("moof", &boxed("traf", &traf))
    };
    let data: Vec<u8> = samples.iter().flat_map(|(data, _)| data.iter().copied()).collect();
    let offset = moof(0).len() as u32 + 8;
    [moof(offset), boxed("mdat", &data)].concat().into()
}
