//! A player that shows nothing: it follows the edge's LL-HLS over real HTTP, fetches every part, and says what it saw.
//!
//! It asks as hls.js does, with blocking reloads, and keeps the server to its word (`watch/ledger.rs`). It knows
//! nothing of origins: what a part has to do with a failover is for others to tell.

mod client;
mod fmp4;
mod ledger;
mod reference;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_probe::fmp4::timescale;
use headwater_probe::playlist::{Media, Multivariant, PlaylistError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use client::{Client, ClientError};
use ledger::{Ledger, PartId};
use reference::resolve;

pub(super) use fmp4::Span;
pub(super) use ledger::Broken;

/// What a player sees.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// The server did not keep its word; the player has given up.
    Broken { track: Track, broken: Broken },
    /// A part has arrived, for the first time.
    Part {
        track: Track,
        at: Instant,
        /// What it covers.
        media: Span,
    },
    /// A segment is complete, and is made of its parts.
    Segment { track: Track },
    /// An answer that could not be used; the player asks again.
    Trouble { what: String },
}

/// One of the tracks that are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    Audio,
    Video,
}

impl Track {
    pub(super) fn name(self) -> &'static str {
        match self {
            Track::Audio => "audio",
            Track::Video => "video",
        }
    }
}

/// Plays the master playlist at `path` of `server` until the receiver of `seen` is gone or the server breaks its word.
pub(super) async fn watch(server: SocketAddr, path: String, seen: UnboundedSender<Seen>) {
    let mut client = Client::new(server);
    let master = loop {
        match master(&mut client, &path).await {
            Ok(master) => break master,
            // Until the first media has come through, there is nothing to play.
            Err(trouble) if seen.send(Seen::Trouble { what: trouble.to_string() }).is_ok() => {
                sleep(RETRY_DELAY).await;
            }
            Err(_) => return,
        }
    };
    let mut renditions = master.renditions.into_iter().filter(|it| it.kind == "AUDIO");
    let audio = renditions
        .find_map(|it| it.uri)
        .map(|uri| Player::new(server, resolve(&path, &uri), Track::Audio, &seen).play());
    let video = Player::new(server, resolve(&path, &master.variants[0].uri), Track::Video, &seen).play();
    match audio {
        Some(audio) => tokio::join!(video, audio).0,
        None => video.await,
    }
}

/// How long the player waits after an answer that it cannot use.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Why there is nothing to play right now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{path}: {error}")]
    Http { path: String, error: ClientError },
    #[error("{path}: the initialization section has no timescale")]
    Init { path: String },
    #[error("{path}: the playlist has parts and no EXT-X-MAP")]
    NoMap { path: String },
    #[error("{path}: this is not one movie fragment")]
    Part { path: String },
    #[error("{path}: {error}")]
    Playlist { path: String, error: PlaylistError },
}

/// Why a player stops for a moment or for good.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("nobody looks")]
    NobodyLooks,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Follows one media playlist.
struct Player<'a> {
    client: Client,
    path: String,
    track: Track,
    seen: &'a UnboundedSender<Seen>,
    ledger: Ledger,
    /// The initialization section that was read last, and its ticks per second.
    init: Option<(String, u32)>,
    /// Parts that are listed and not yet here.
    wanted: Vec<(PartId, String)>,
}

impl<'a> Player<'a> {
    fn new(server: SocketAddr, path: String, track: Track, seen: &'a UnboundedSender<Seen>) -> Player<'a> {
        let client = Client::new(server);
        Player { client, path, track, seen, ledger: Ledger::default(), init: None, wanted: Vec::new() }
    }

    async fn play(mut self) {
        let track = self.track;
        loop {
            let Err(stop) = self.follow().await;
            match stop {
                Stop::Broken(broken) => return drop(self.seen.send(Seen::Broken { track, broken })),
                Stop::NobodyLooks => return,
                Stop::Trouble(trouble) => {
                    let what = trouble.to_string();
                    if self.seen.send(Seen::Trouble { what }).is_err() {
                        return;
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// From a playlist that is there at once, through blocking reloads, until something is wrong.
    async fn follow(&mut self) -> Result<Infallible, Stop> {
        let mut path = self.path.clone();
        loop {
            let media = media(&mut self.client, &path).await?;
            self.wanted.extend(self.ledger.update(&media)?);
            self.take_parts(&media).await?;
            self.compare_segments(&media).await?;
            match self.ledger.next() {
                Some(next) => path = with_directives(&self.path, next),
                None => sleep(RETRY_DELAY).await,
            }
        }
    }

    async fn take_parts(&mut self, media: &Media) -> Result<(), Stop> {
        while let Some((id, uri)) = self.wanted.first().cloned() {
            let timescale = self.timescale(media).await?;
            let path = resolve(&self.path, &uri);
            let bytes = get(&mut self.client, &path).await?;
            let at = Instant::now();
            self.ledger.check(id, &bytes)?;
            self.wanted.remove(0);
            let media = fmp4::span(&bytes, timescale).ok_or(Trouble::Part { path })?;
            self.tell(Seen::Part { track: self.track, at, media })?;
        }
        Ok(())
    }

    /// A complete segment is fetched as a whole, and all of its parts once more.
    async fn compare_segments(&mut self, media: &Media) -> Result<(), Stop> {
        for segment in self.ledger.complete(media) {
            for (id, uri) in &segment.parts {
                let bytes = get(&mut self.client, &resolve(&self.path, uri)).await?;
                self.ledger.check(*id, &bytes)?;
            }
            let bytes = get(&mut self.client, &resolve(&self.path, &segment.uri)).await?;
            self.ledger.check_segment(&segment, &bytes)?;
            self.tell(Seen::Segment { track: self.track })?;
        }
        Ok(())
    }

    async fn timescale(&mut self, media: &Media) -> Result<u32, Trouble> {
        let map = media.segments.last().and_then(|newest| newest.map.as_deref());
        let uri = map.ok_or_else(|| Trouble::NoMap { path: self.path.clone() })?;
        let path = resolve(&self.path, uri);
        if let Some((known, timescale)) = &self.init
            && *known == path
        {
            return Ok(*timescale);
        }
        let bytes = get(&mut self.client, &path).await?;
        let timescale = timescale(&bytes).ok_or_else(|| Trouble::Init { path: path.clone() })?;
        self.init = Some((path, timescale));
        Ok(timescale)
    }

    fn tell(&self, seen: Seen) -> Result<(), Stop> {
        self.seen.send(seen).map_err(|_| Stop::NobodyLooks)
    }
}

/// The path of a playlist, to be answered when `next` is in it.
fn with_directives(path: &str, next: PartId) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}_HLS_msn={}&_HLS_part={}", next.msn, next.part)
}

async fn get(client: &mut Client, path: &str) -> Result<Bytes, Trouble> {
    client.get(path).await.map_err(|error| Trouble::Http { path: path.to_owned(), error })
}

/// A multivariant playlist has a variant, or it is none.
async fn master(client: &mut Client, path: &str) -> Result<Multivariant, Trouble> {
    let bytes = get(client, path).await?;
    Multivariant::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| unreadable(path, error))
}

async fn media(client: &mut Client, path: &str) -> Result<Media, Trouble> {
    let bytes = get(client, path).await?;
    Media::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &str, error: PlaylistError) -> Trouble {
    Trouble::Playlist { path: path.to_owned(), error }
}
