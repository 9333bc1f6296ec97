//! A viewer without a screen: low-latency HLS as RFC 8216bis describes it, blocking reloads and parts, one thread
//! per rendition. It writes down when every part was there; whether that was good is for the test to say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::fmp4;
use crate::http::{Client, Response, resolve, split_url};
use crate::m3u8::{self, Media, Part};

/// How long a request may take: longer than any server may hold a blocking reload (3 target durations).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A pause after a failed request, so that a dead server is not flooded.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What a playlist carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// A variant: pictures, unless the stream has none.
    Main,
    /// A rendition of TYPE=AUDIO.
    Audio,
}

/// A part that arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Of which playlist.
    pub track: Track,
    /// The segment and the place in it.
    pub part: Part,
    /// When its last byte was there.
    pub at: Instant,
    /// Its size in bytes.
    pub bytes: usize,
    /// From when to when it lasts, in ticks of its track.
    pub media: Range<u64>,
    /// Which picture is its last, see [`fmp4::fingerprint_length_prefixed`]; `None` if it is not video.
    pub last_picture: Option<u64>,
}

/// What a viewer has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Parts in the order of their arrival.
    pub arrivals: Vec<Arrival>,
    /// Requests that failed, in words.
    pub failures: Vec<String>,
}

impl Seen {
    /// The longest time without a new part of `track` between the first one and `until`.
    pub fn longest_gap(&self, track: Track, until: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut last = None;
        for at in self
            .arrivals
            .iter()
            .filter(|arrival| arrival.track == track)
            .map(|arrival| arrival.at)
            .chain([until])
        {
            longest = longest.max(last.map_or(Duration::ZERO, |last| at.saturating_duration_since(last)));
            last = Some(at);
        }
        longest
    }

    /// Every place where a part of `track` does not begin when the one before it ends, in words. What would not be
    /// noticed, a fiftieth of a part, does not count.
    pub fn holes(&self, track: Track) -> Vec<String> {
        let parts: Vec<&Arrival> = self.arrivals.iter().filter(|arrival| arrival.track == track).collect();
        let apart = |a: &Arrival, b: &Arrival| {
            b.media.start.abs_diff(a.media.end) > (a.media.end - a.media.start) / 50
        };
        let broken = parts.windows(2).filter(|pair| apart(pair[0], pair[1]));
        broken
            .map(|pair| {
                let (part, next) = (&pair[0].part, &pair[1].part);
                let (end, start) = (pair[0].media.end, pair[1].media.start);
                format!(
                    "{}.{} ends at {end}, {}.{} begins at {start}",
                    part.msn, part.index, next.msn, next.index
                )
            })
            .collect()
    }

    /// Every step of `track` that does not lead to the next part of the same segment or to the first one of the next
    /// segment, in words.
    pub fn jumps(&self, track: Track) -> Vec<String> {
        let parts: Vec<&Part> = self.arrivals.iter().filter(|a| a.track == track).map(|a| &a.part).collect();
        let follows = |a: &Part, b: &Part| {
            (b.msn == a.msn && b.index == a.index + 1) || (b.msn == a.msn + 1 && b.index == 0)
        };
        let broken = parts.windows(2).filter(|pair| !follows(pair[0], pair[1]));
        broken
            .map(|pair| {
                format!("{}.{} is followed by {}.{}", pair[0].msn, pair[0].index, pair[1].msn, pair[1].index)
            })
            .collect()
    }
}

/// A viewer at work. Dropping it makes it leave.
pub struct Viewer {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Viewer {
    /// Opens the multivariant playlist at `url`, asking again for `patience` while the answer is not 200, and plays
    /// its first variant and its first audio rendition.
    ///
    /// # Errors
    ///
    /// If there is no such playlist in time.
    pub fn start(url: &str, patience: Duration) -> Result<Viewer> {
        let master = open(url, patience)?;
        let mut viewer = Viewer { seen: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        viewer.play(Track::Main, resolve(url, &master.variants[0]));
        if let Some((_, uri)) = master.renditions.iter().find(|(kind, _)| kind == "AUDIO") {
            viewer.play(Track::Audio, resolve(url, uri));
        }
        Ok(viewer)
    }

    fn play(&mut self, track: Track, url: String) {
        let (seen, stop) = (Arc::clone(&self.seen), Arc::clone(&self.stop));
        self.threads.push(thread::spawn(move || {
            let mut rendition = match Rendition::new(track, &url) {
                Ok(rendition) => rendition,
                Err(error) => return note(&seen, format!("{url}: {error:#}")),
            };
            while !stop.load(Ordering::Relaxed) {
                match rendition.advance() {
                    Ok(arrivals) => lock(&seen).arrivals.extend(arrivals),
                    Err(error) => {
                        note(&seen, format!("{url}: {error:#}"));
                        thread::sleep(PAUSE_AFTER_FAILURE);
                    }
                }
            }
        }));
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Waits until `count` parts of `track` are there.
    ///
    /// # Errors
    ///
    /// If they are not within `patience`; the error says what went wrong instead.
    pub fn wait_for(&self, track: Track, count: usize, patience: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = self.seen();
            let there = seen.arrivals.iter().filter(|arrival| arrival.track == track).count();
            if there >= count {
                return Ok(());
            }
            let failures = &seen.failures;
            ensure!(
                started.elapsed() < patience,
                "{there} of {count} parts after {patience:?}; {failures:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it and says what it saw. Takes as long as the request that is under way.
    pub fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a viewer's thread only panics by a mistake of its own");
        }
        self.seen()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks for the multivariant playlist until it is there.
///
/// # Errors
///
/// If it is not within `patience`, or is no such playlist.
pub fn open(url: &str, patience: Duration) -> Result<m3u8::Master> {
    let (authority, path) = split_url(url)?;
    let started = Instant::now();
    let mut client = Client::new(authority, REQUEST_TIMEOUT);
    loop {
        let answer = client.get(path);
        match answer {
            Ok(response) if response.status == 200 => return m3u8::master(&response.text()),
            answer if started.elapsed() > patience => {
                return match answer {
                    Ok(response) => {
                        Err(anyhow::anyhow!("{url} answers {} after {patience:?}", response.status))
                    }
                    Err(error) => Err(error.context(format!("{url} does not answer after {patience:?}"))),
                };
            }
            _ => thread::sleep(PAUSE_AFTER_FAILURE),
        }
    }
}

/// One media playlist and its parts.
struct Rendition {
    track: Track,
    client: Client,
    authority: String,
    url: String,
    /// What is asked for next; `None` before the first playlist.
    next: Option<(u64, u64)>,
}

impl Rendition {
    fn new(track: Track, url: &str) -> Result<Rendition> {
        let (authority, _) = split_url(url)?;
        Ok(Rendition {
            track,
            client: Client::new(authority, REQUEST_TIMEOUT),
            authority: authority.to_owned(),
            url: url.to_owned(),
            next: None,
        })
    }

    /// Waits for the next playlist and takes the parts that are new in it; of the first playlist only the newest.
    fn advance(&mut self) -> Result<Vec<Arrival>> {
        let media = self.reload()?;
        let mut fresh: Vec<Part> = match self.next {
            Some(next) => media.parts.iter().filter(|part| (part.msn, part.index) >= next).cloned().collect(),
            None => media.parts.last().cloned().into_iter().collect(),
        };
        let mut arrivals = Vec::new();
        for part in fresh.drain(..).filter(|part| !part.gap) {
            arrivals.push(self.take(part)?);
        }
        self.next = Some(media.next());
        Ok(arrivals)
    }

    fn reload(&mut self) -> Result<Media> {
        let url = match self.next {
            Some((msn, part)) => {
                let mark = if self.url.contains('?') { '&' } else { '?' };
                format!("{}{mark}_HLS_msn={msn}&_HLS_part={part}", self.url)
            }
            None => self.url.clone(),
        };
        let response = self.fetch(&url)?;
        let media = m3u8::media(&response.text()).with_context(|| format!("the playlist {url}"))?;
        ensure!(media.can_block, "{url} does not offer blocking reloads");
        Ok(media)
    }

    fn take(&mut self, part: Part) -> Result<Arrival> {
        let response = self.fetch(&resolve(&self.url, &part.uri))?;
        let fragment = fmp4::fragment(&response.body).with_context(|| format!("the part {}", part.uri))?;
        let media = fragment.decode_time..fragment.decode_time + fragment.duration;
        let last_picture = match (self.track, fragment.samples.last()) {
            (Track::Main, Some(last)) => fmp4::fingerprint_length_prefixed(&response.body[last.clone()]),
            _ => None,
        };
        Ok(Arrival {
            track: self.track,
            part,
            at: response.ended,
            bytes: response.body.len(),
            media,
            last_picture,
        })
    }

    fn fetch(&mut self, url: &str) -> Result<Response> {
        let (authority, path) = split_url(url)?;
        ensure!(authority == self.authority, "{url} leads to another server than {}", self.authority);
        let response = self.client.get(path).with_context(|| url.to_owned())?;
        ensure!(response.status == 200, "{url} answers {}", response.status);
        Ok(response)
    }
}

/// How long after the last access unit of a part left the origin the whole part was at the viewer, for every video
/// part. `left` holds pictures and when they were seen at the origin, in that order of time. A looping source shows
/// a picture again and again; the newest one before the part's arrival is meant.
pub fn delays(left: &[(u64, Instant)], seen: &Seen) -> Vec<Duration> {
    let mut times: BTreeMap<u64, Vec<Instant>> = BTreeMap::new();
    for (picture, at) in left {
        times.entry(*picture).or_default().push(*at);
    }
    let delay = |arrival: &Arrival| {
        let times = times.get(&arrival.last_picture?)?;
        let left = times.iter().rev().find(|at| **at <= arrival.at)?;
        Some(arrival.at - *left)
    };
    seen.arrivals.iter().filter_map(delay).collect()
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().expect("nothing panics while it holds this lock")
}

fn note(seen: &Mutex<Seen>, failure: String) {
    lock(seen).failures.push(failure);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(msn: u64, index: u64, at: Instant) -> Arrival {
        let part = Part { msn, index, uri: String::new(), duration: 0.5, independent: true, gap: false };
        Arrival {
            track: Track::Main,
            part,
            at,
            bytes: 1,
            media: msn * 200..msn * 200 + 100,
            last_picture: Some(msn),
        }
    }

    #[test]
    fn gaps_and_jumps_are_seen() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let arrivals = vec![
            arrival(1, 0, at(0)),
            arrival(1, 1, at(500)),
            arrival(2, 0, at(1_700)),
            arrival(2, 2, at(2_000)),
        ];
        let seen = Seen { arrivals, failures: Vec::new() };
        assert_eq!(seen.longest_gap(Track::Main, at(2_100)), Duration::from_millis(1_200));
        assert_eq!(seen.longest_gap(Track::Main, at(9_000)), Duration::from_secs(7));
        assert_eq!(seen.longest_gap(Track::Audio, at(9_000)), Duration::ZERO);
        assert_eq!(seen.jumps(Track::Main), ["2.0 is followed by 2.2"]);
        assert_eq!(seen.holes(Track::Main)[1], "1.1 ends at 300, 2.0 begins at 400");
    }

    #[test]
    fn a_delay_counts_from_the_newest_showing_of_a_picture() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let seen = Seen { arrivals: vec![arrival(7, 0, at(1_010))], failures: Vec::new() };
        let left = [(7, at(0)), (7, at(1_000)), (7, at(2_000))];
        assert_eq!(delays(&left, &seen), [Duration::from_millis(10)]);
    }
}
