//! Whoever plays a stream to see whether the server keeps the rules: follows every track as a player does, and asks once for
//! what no player asks for.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::future::join_all;
use headwater_probe::check::{Answer, Directives, Probe, Seen};
use headwater_probe::diff::{Item, Track};
use headwater_probe::playlist::{Media, Playlist, Segment};
use http::Version;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use url::Url;

use super::follow::{next, with_query};
use super::web::Web;

/// How long it waits after an answer that cannot be used.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long an answer may take that nothing has to be waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a request that is too far ahead is waited for.
const PATIENCE_TOO_FAR: Duration = Duration::from_secs(3);
/// How long it waits at least between two playlists that do not block.
const POLL_DELAY_MIN: Duration = Duration::from_millis(200);
/// After so many playlists of a track it is asked what no player asks.
const PLAYLISTS_BEFORE_PROBES: u32 = 6;
/// How long an unpacked playlist may be.
const UNPACKED_BYTES_MAX: u64 = 16 << 20;

/// Plays the stream at `url` and says all that it sees, until the receiver of `seen` is gone.
pub async fn check(web: Web, url: Url, seen: Sender<Seen>) {
    let visitor = Visitor { web, began: Instant::now(), seen };
    loop {
        let answer = visitor.get(&url).await;
        let found = Playlist::parse(&String::from_utf8_lossy(&answer.body));
        let tracks = match found {
            Ok(Playlist::Multivariant(multivariant)) => {
                visitor.tell(Seen::Multivariant(answer)).await;
                Track::all(&multivariant)
            }
            Ok(Playlist::Media(_)) if answer.status == 200 => vec![Track::only(url.as_str())],
            _ => {
                visitor.tell(Seen::Multivariant(answer)).await;
                if visitor.is_alone() {
                    return;
                }
                sleep(RETRY_DELAY).await;
                continue;
            }
        };
        let players = tracks.into_iter().filter_map(|track| Some((url.join(&track.uri).ok()?, track.role)));
        let players = players.map(|(url, role)| Player::new(&visitor, url, role).play());
        // What was measured belongs to what the multivariant playlist says in the end.
        let look_again = async {
            while !visitor.is_alone() {
                sleep(MULTIVARIANT_EVERY).await;
                let answer = visitor.get(&url).await;
                if matches!(
                    Playlist::parse(&String::from_utf8_lossy(&answer.body)),
                    Ok(Playlist::Multivariant(_))
                ) {
                    visitor.tell(Seen::Multivariant(answer)).await;
                }
            }
        };
        tokio::join!(join_all(players), look_again);
        return;
    }
}

/// How often the multivariant playlist is read again.
const MULTIVARIANT_EVERY: Duration = Duration::from_secs(4);

struct Visitor {
    web: Web,
    began: Instant,
    seen: Sender<Seen>,
}

impl Visitor {
    /// Whether nobody listens any more.
    fn is_alone(&self) -> bool {
        self.seen.is_closed()
    }

    async fn tell(&self, seen: Seen) {
        // Who has gone is noticed by the loops.
        let _ = self.seen.send(seen).await;
    }

    async fn get(&self, url: &Url) -> Answer {
        self.ask(url, PATIENCE, false).await
    }

    /// An answer, whatever it is; no answer at all has the status 0.
    async fn ask(&self, url: &Url, patience: Duration, gzip: bool) -> Answer {
        let began = Instant::now();
        let asked =
            if gzip { self.web.get_gzip(url, patience).await } else { self.web.get(url, patience).await };
        let (at_ms, took_ms) = (ms(self.began.elapsed()), ms(began.elapsed()));
        let nothing = Answer { url: url.to_string(), at_ms, took_ms, ..Answer::default() };
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => return Answer { trouble: Some(error.to_string()), ..nothing },
        };
        let header = |name: HeaderName| {
            answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let gzip = header(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        Answer {
            status: answer.status.as_u16(),
            content_type: header(CONTENT_TYPE),
            cache_control: header(CACHE_CONTROL),
            gzip,
            http2: answer.version >= Version::HTTP_2,
            body: if gzip { unpacked(&answer.body) } else { answer.body },
            ..nothing
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What does not unpack is nothing.
fn unpacked(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    match GzDecoder::new(bytes).take(UNPACKED_BYTES_MAX).read_to_end(&mut plain) {
        Ok(_) => plain.into(),
        Err(_) => Bytes::new(),
    }
}

/// Plays one track.
struct Player<'a> {
    visitor: &'a Visitor,
    url: Url,
    track: String,
    taken: BTreeSet<Item>,
    inits: BTreeSet<String>,
    /// A part that was hinted, and what came of asking for it.
    hinted: Option<(String, Answer)>,
    last: Option<Media>,
    playlists: u32,
    has_asked_for_removed: bool,
}

impl<'a> Player<'a> {
    fn new(visitor: &'a Visitor, url: Url, track: String) -> Player<'a> {
        Player {
            visitor,
            url,
            track,
            taken: BTreeSet::new(),
            inits: BTreeSet::new(),
            hinted: None,
            last: None,
            playlists: 0,
            has_asked_for_removed: false,
        }
    }

    async fn play(mut self) {
        let (mut asked, mut url, mut patience) = (Directives::default(), self.url.clone(), PATIENCE);
        while !self.visitor.is_alone() {
            let began = Instant::now();
            let (answer, hinted) = tokio::join!(self.visitor.ask(&url, patience, false), self.ask_for_hint());
            self.hinted = hinted;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let is_good = answer.status == 200;
            self.tell_playlist(asked, answer).await;
            let media = match Media::parse(&text) {
                Ok(media) if is_good => media,
                _ => {
                    sleep(RETRY_DELAY).await;
                    (asked, url, patience) = (Directives::default(), self.url.clone(), PATIENCE);
                    continue;
                }
            };
            self.playlists += 1;
            self.take(&media).await;
            self.ask_for_removed(&media).await;
            if self.playlists == PLAYLISTS_BEFORE_PROBES {
                self.ask_on_purpose(&media).await;
            }
            let target = Duration::from_secs(media.target_s.unwrap_or(6).clamp(1, 3_600));
            match next(&self.url, &media) {
                Some(next_url) => {
                    let (msn, part) = media.next_part();
                    let part = media.part_target_us.map(|_| part as u64);
                    asked = Directives { msn: Some(msn), part };
                    (url, patience) = (next_url, PATIENCE + target * 3);
                }
                None => {
                    (asked, url, patience) = (Directives::default(), self.url.clone(), PATIENCE);
                    sleep(POLL_DELAY_MIN.max(target / 2).saturating_sub(began.elapsed())).await;
                }
            }
            self.last = Some(media);
        }
    }

    async fn tell_playlist(&self, asked: Directives, answer: Answer) {
        self.visitor.tell(Seen::Playlist { track: self.track.clone(), asked, answer }).await;
    }

    async fn tell_probe(&self, probe: Probe, answer: Answer) {
        self.visitor.tell(Seen::Probe { track: self.track.clone(), probe, answer }).await;
    }

    /// As a player does: while the playlist is waited for, the part is, too.
    async fn ask_for_hint(&self) -> Option<(String, Answer)> {
        let uri = self.last.as_ref()?.hinted_part()?.uri.clone();
        let url = self.url.join(&uri).ok()?;
        let target = Duration::from_secs(self.last.as_ref()?.target_s.unwrap_or(6).clamp(1, 3_600));
        Some((uri, self.visitor.ask(&url, PATIENCE + target * 3, false).await))
    }

    async fn take(&mut self, media: &Media) {
        for segment in &media.segments {
            self.take_init(segment).await;
            for (index, part) in segment.parts.iter().enumerate() {
                let item = Item { msn: segment.msn, part: Some(index) };
                if !part.gap && self.taken.insert(item) {
                    self.take_item(item, &part.uri).await;
                }
            }
            let item = Item { msn: segment.msn, part: None };
            if let Some(uri) = segment.uri.as_ref().filter(|_| !segment.gap)
                && self.taken.insert(item)
            {
                self.take_item(item, uri).await;
            }
        }
        // A hint that was not kept was abandoned; only one that was is held against the server.
        self.hinted = None;
        self.taken = self.taken.split_off(&Item { msn: media.first_msn, part: None });
    }

    async fn take_init(&mut self, segment: &Segment) {
        if let Some(uri) = &segment.map
            && self.inits.insert(uri.clone())
            && let Ok(url) = self.url.join(uri)
        {
            let answer = self.visitor.get(&url).await;
            self.visitor.tell(Seen::Init { track: self.track.clone(), answer }).await;
        }
    }

    async fn take_item(&mut self, item: Item, uri: &str) {
        let Ok(url) = self.url.join(uri) else { return };
        let hinted = self.hinted.take_if(|(hinted, _)| hinted == uri);
        let answer = match hinted {
            Some((_, answer)) => {
                self.tell_probe(Probe::Hint, answer.clone()).await;
                answer
            }
            None => self.visitor.get(&url).await,
        };
        self.visitor.tell(Seen::Media { track: self.track.clone(), item, answer }).await;
    }

    /// What the last playlist had and this one has not.
    async fn ask_for_removed(&mut self, media: &Media) {
        let gone =
            self.last.as_ref().and_then(|last| last.segments.iter().find(|it| it.msn < media.first_msn));
        let Some(gone) = gone.filter(|gone| !gone.gap && !self.has_asked_for_removed) else { return };
        let item = Item { msn: gone.msn, part: None };
        let Some(url) = gone.uri.as_ref().and_then(|uri| self.url.join(uri).ok()) else { return };
        self.has_asked_for_removed = true;
        let answer = self.visitor.get(&url).await;
        self.tell_probe(Probe::Removed { item }, answer).await;
    }

    async fn ask_on_purpose(&self, media: &Media) {
        let ask = async |probe: Probe, query: &str, patience: Duration| {
            let answer = self.visitor.ask(&with_query(&self.url, query), patience, false).await;
            self.tell_probe(probe, answer).await;
        };
        let gzip = self.visitor.ask(&self.url, PATIENCE, true).await;
        self.tell_probe(Probe::Gzip, gzip).await;
        if let Ok(url) = self.url.join("headwater-hls-check-no-such-file.m4s") {
            let answer = self.visitor.get(&url).await;
            self.tell_probe(Probe::NoSuchFile, answer).await;
        }
        let full = self.visitor.get(&self.url).await;
        if let Ok(full) = Media::parse(&String::from_utf8_lossy(&full.body)) {
            ask(Probe::Delta { full: Box::new(full) }, "_HLS_skip=YES", PATIENCE).await;
        }
        if next(&self.url, media).is_none() {
            return;
        }
        let newest = media.window().map_or(media.first_msn, |window| *window.end());
        let target = Duration::from_secs(media.target_s.unwrap_or(6).clamp(1, 3_600));
        let old = media.first_msn.saturating_sub(1);
        ask(Probe::OldMsn, &format!("_HLS_msn={old}"), PATIENCE_TOO_FAR).await;
        let far = newest + FAR_AHEAD;
        ask(Probe::TooFarAhead, &format!("_HLS_msn={far}"), PATIENCE_TOO_FAR).await;
        if media.part_target_us.is_some() {
            ask(Probe::PartWithoutMsn, "_HLS_part=0", PATIENCE_TOO_FAR).await;
            if let Some(last) = media.complete().next_back().filter(|last| !last.parts.is_empty()) {
                let query = format!("_HLS_msn={}&_HLS_part={}", last.msn, last.parts.len());
                ask(Probe::PartPastTheEnd { next: last.msn + 1 }, &query, PATIENCE + target * 3).await;
            }
        }
        let open = media.next_part().0;
        ask(Probe::WholeSegment { msn: open }, &format!("_HLS_msn={open}"), PATIENCE + target * 3).await;
    }
}

/// So many segments ahead nobody may ask.
const FAR_AHEAD: u64 = 10;
