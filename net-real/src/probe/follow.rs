//! One side of a comparison: follows every track of a stream, fetches every segment and part once, and says what it sees. When
//! the server goes away it waits, and begins again; then everything is fetched again, too.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use headwater_probe::diff::{Body, Digest, Facts, Item, Side, Track};
use headwater_probe::playlist::{Media, Playlist, PlaylistError, Segment};
use http::StatusCode;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use url::Url;

use super::web::{Answer, Web, WebError};

/// What is seen of a side.
#[derive(Debug)]
pub enum Seen {
    /// Nothing can be had.
    Away(String),
    /// The multivariant playlist, or the media playlist in its place.
    Tracks(Vec<Track>),
    /// A media playlist.
    Listed {
        /// Of which track.
        role: String,
        /// What it says.
        media: Box<Media>,
    },
    /// A segment or part.
    Item {
        /// Of which track.
        role: String,
        /// Which.
        item: Item,
        /// What is known of it.
        facts: Facts,
    },
}

/// How long it waits before it looks for a side that is away.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long an answer may take that nothing has to be waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often something that is listed and refused is asked for: once per playlist.
const TRIES_MAX: u8 = 3;

/// Why a side cannot be followed right now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("nobody looks")]
    NobodyLooks,
    #[error("{0}: {1}")]
    Playlist(String, PlaylistError),
    #[error("{0}: the answer is {1}")]
    Status(String, StatusCode),
    #[error("{0}: the reference {1} leads nowhere")]
    Reference(String, String),
    #[error("{0}: a variant and not media")]
    Variant(String),
    #[error("{0}: {1}")]
    Web(String, WebError),
}

/// Follows the stream at `url` until the receiver of `seen` is gone.
pub async fn follow(web: Web, side: Side, url: Url, seen: Sender<(Side, Seen)>) {
    let eye = Eye { web, side, seen };
    loop {
        let Err(trouble) = eye.once(&url).await;
        if eye.tell(Seen::Away(trouble.to_string())).await.is_err() {
            return;
        }
        sleep(RETRY_DELAY).await;
    }
}

struct Eye {
    web: Web,
    side: Side,
    seen: Sender<(Side, Seen)>,
}

impl Eye {
    async fn once(&self, url: &Url) -> Result<Infallible, Trouble> {
        let answer = self.get(url, PATIENCE).await?;
        let tracks = match playlist(url, &answer.body)? {
            Playlist::Multivariant(multivariant) => Track::all(&multivariant),
            Playlist::Media(_) => vec![Track::only(url.as_str())],
        };
        self.tell(Seen::Tracks(tracks.clone())).await?;
        let followed = tracks.into_iter().map(|track| async move {
            let url = join(url, &track.uri)?;
            Follower { eye: self, role: track.role, url, inits: BTreeMap::new(), tries: BTreeMap::new() }
                .follow()
                .await
        });
        // The first that fails ends them all: a server is away, not a track.
        try_join_all(followed)
            .await
            .map(|_| unreachable!("a stream has a track, and nobody stops following it"))
    }

    async fn get(&self, url: &Url, patience: Duration) -> Result<Answer, Trouble> {
        let answer =
            self.web.get(url, patience).await.map_err(|error| Trouble::Web(url.to_string(), error))?;
        if answer.status == StatusCode::OK {
            Ok(answer)
        } else {
            Err(Trouble::Status(url.to_string(), answer.status))
        }
    }

    async fn tell(&self, seen: Seen) -> Result<(), Trouble> {
        self.seen.send((self.side, seen)).await.map_err(|_| Trouble::NobodyLooks)
    }
}

/// Follows one media playlist.
struct Follower<'a> {
    eye: &'a Eye,
    role: String,
    url: Url,
    /// Initialization sections by their URL.
    inits: BTreeMap<Url, Digest>,
    /// How often something was asked for; [`DONE`] if it need not be any more.
    tries: BTreeMap<Item, u8>,
}

const DONE: u8 = u8::MAX;

impl Follower<'_> {
    async fn follow(mut self) -> Result<Infallible, Trouble> {
        let (mut url, mut patience) = (self.url.clone(), PATIENCE);
        loop {
            let began = Instant::now();
            let answer = self.eye.get(&url, patience).await?;
            let Playlist::Media(media) = playlist(&url, &answer.body)? else {
                return Err(Trouble::Variant(url.to_string()));
            };
            self.eye.tell(Seen::Listed { role: self.role.clone(), media: media.clone() }).await?;
            self.take(&media).await?;
            let target = Duration::from_secs(media.target_s.unwrap_or(6).clamp(1, 3_600));
            (url, patience) = match next(&self.url, &media) {
                // A server may hold it for three target durations.
                Some(next) => (next, PATIENCE + target * 3),
                None => {
                    sleep(POLL_DELAY_MIN.max(target / 2).saturating_sub(began.elapsed())).await;
                    (self.url.clone(), PATIENCE)
                }
            };
        }
    }

    /// Fetches what is listed and was not fetched.
    async fn take(&mut self, media: &Media) -> Result<(), Trouble> {
        for segment in &media.segments {
            for part in 0..segment.parts.len() {
                self.take_item(segment, Item { msn: segment.msn, part: Some(part) }).await?;
            }
            if segment.uri.is_some() {
                self.take_item(segment, Item { msn: segment.msn, part: None }).await?;
            }
        }
        let oldest = Item { msn: media.first_msn, part: None };
        self.tries = self.tries.split_off(&oldest);
        Ok(())
    }

    async fn take_item(&mut self, segment: &Segment, item: Item) -> Result<(), Trouble> {
        let tries = self.tries.get(&item).copied().unwrap_or(0);
        if tries >= TRIES_MAX {
            return Ok(());
        }
        let part = item.part.and_then(|part| segment.parts.get(part));
        let uri = part.map(|part| &part.uri).or(segment.uri.as_ref()).map_or("", String::as_str);
        let body = if segment.gap || part.is_some_and(|part| part.gap) {
            Body::Gap
        } else {
            match self.fetch(uri).await? {
                Ok(bytes) => Body::of(&bytes),
                Err(status) if tries + 1 >= TRIES_MAX => Body::Refused(status.to_string()),
                Err(_) => {
                    self.tries.insert(item, tries + 1);
                    return Ok(());
                }
            }
        };
        self.tries.insert(item, DONE);
        let init = self.init(segment).await?;
        let facts = match item.part {
            Some(part) => Facts::of_part(segment, part, init, body),
            None => Some(Facts::of_segment(segment, init, body)),
        };
        match facts {
            Some(facts) => self.eye.tell(Seen::Item { role: self.role.clone(), item, facts }).await,
            None => Ok(()),
        }
    }

    async fn init(&mut self, segment: &Segment) -> Result<Option<Digest>, Trouble> {
        let Some(uri) = &segment.map else { return Ok(None) };
        let url = join(&self.url, uri)?;
        if let Some(known) = self.inits.get(&url) {
            return Ok(Some(*known));
        }
        let digest = Digest::of(&self.eye.get(&url, PATIENCE).await?.body);
        self.inits.insert(url, digest);
        if self.inits.len() > INITS_MAX {
            self.inits.pop_first();
        }
        Ok(Some(digest))
    }

    /// The bytes at a reference, or the status in their place.
    async fn fetch(&self, uri: &str) -> Result<Result<Bytes, StatusCode>, Trouble> {
        let url = join(&self.url, uri)?;
        match self.eye.get(&url, PATIENCE).await {
            Ok(answer) => Ok(Ok(answer.body)),
            Err(Trouble::Status(_, status)) => Ok(Err(status)),
            Err(trouble) => Err(trouble),
        }
    }
}

/// How many initialization sections are remembered: one for each format that a stream takes.
const INITS_MAX: usize = 64;
/// How long it waits at least between two playlists that do not block.
const POLL_DELAY_MIN: Duration = Duration::from_millis(200);

/// The playlist that has more than this one, if the server makes that wait.
pub(super) fn next(url: &Url, media: &Media) -> Option<Url> {
    let blocks = media.control.as_ref().is_some_and(|control| control.can_block_reload);
    if !blocks || media.ended {
        return None;
    }
    let (msn, part) = media.next_part();
    let directives = match media.part_target_us {
        Some(_) => format!("_HLS_msn={msn}&_HLS_part={part}"),
        None => format!("_HLS_msn={msn}"),
    };
    Some(with_query(url, &directives))
}

/// A URL with more in its query.
pub(super) fn with_query(url: &Url, more: &str) -> Url {
    let mut url = url.clone();
    let query = url.query().map_or_else(|| more.to_owned(), |query| format!("{query}&{more}"));
    url.set_query(Some(&query));
    url
}

fn join(base: &Url, reference: &str) -> Result<Url, Trouble> {
    base.join(reference).map_err(|_| Trouble::Reference(base.to_string(), reference.to_owned()))
}

fn playlist(url: &Url, body: &[u8]) -> Result<Playlist, Trouble> {
    Playlist::parse(&String::from_utf8_lossy(body)).map_err(|error| Trouble::Playlist(url.to_string(), error))
}
