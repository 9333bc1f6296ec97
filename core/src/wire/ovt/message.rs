//! OVT messages: requests, responses, and what a DESCRIBE says (reference: OVT sections 4 and 5).
//!
//! Texts are written byte for byte as OvenMediaEngine writes them. What is read is held to the type checks of an
//! OvenMediaEngine edge, and no further; unknown keys are ignored on both sides, and one of ours rides on that:
//! a PLAY may ask another Headwater for the recent past (`"headwater":{"history_ms":4000}`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::json::{Object, to_text};
use super::packet::{Header, PayloadKind, fragment};
use super::{PeerMisbehaved, codes};
use crate::limits;
use crate::media::{
    AudioFormat, Kind, Playlist, PlaylistOptions, Rendition, StreamInfo, Timebase, Track, TrackId,
    VideoFormat,
};
use crate::time::Wall;
use crate::url::Url;

/// The signalling version, in every DESCRIBE answer.
pub const VERSION: u32 = 18;

/// The code of an answer that grants what was asked.
pub const OK: u32 = 200;

/// The code of an answer to a DESCRIBE that came too early: ask again soon.
pub const NOT_STARTED: u32 = 202;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// What is in the stream?
    Describe,
    /// Send it.
    Play,
    /// Send no more.
    Stop,
}

impl Application {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Application::Describe => "describe",
            Application::Play => "play",
            Application::Stop => "stop",
        }
    }

    /// The application with this name, in any case.
    pub fn from_name(name: &str) -> Option<Application> {
        [Application::Describe, Application::Play, Application::Stop]
            .into_iter()
            .find(|application| application.name().eq_ignore_ascii_case(name))
    }
}

/// A request, as an origin reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub application: Application,
    /// The edge's number for it; it counts on across connections.
    pub id: u32,
    /// Which stream. The host decides the virtual host; scheme and port do not matter.
    pub target: Url,
    /// How much of the recent past is wanted, in milliseconds: Headwater's own extension of PLAY.
    pub history_ms: Option<u32>,
}

/// Why a request cannot be read, in the order in which it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It is not JSON.
    #[error("An invalid request : Json format")]
    Json,
    /// One of the three keys is missing, or has the wrong type.
    #[error("An invalid request : id or target or application are invalid")]
    Keys,
    /// The target is not a URL.
    #[error("An invalid request : Target is not valid")]
    Target {
        /// The request's id.
        id: u32,
    },
    /// Nobody knows this application.
    #[error("Unknown application")]
    Application {
        /// The request's id.
        id: u32,
        /// The application's name, as it came.
        name: String,
    },
}

impl Request {
    /// Reads the text of a request.
    pub fn parse(text: &[u8]) -> Result<Request, RequestError> {
        let value: Value = serde_json::from_slice(text).map_err(|_| RequestError::Json)?;
        let object = Object::root(&value).map_err(|_| RequestError::Keys)?;
        let keys = (object.string("application"), object.uint("id"), object.string("target"));
        let (Ok(name), Ok(id), Ok(target)) = keys else {
            return Err(RequestError::Keys);
        };
        let target = Url::parse(target).map_err(|_| RequestError::Target { id })?;
        let Some(application) = Application::from_name(name) else {
            return Err(RequestError::Application { id, name: name.to_owned() });
        };
        let extension = object.object("headwater").ok();
        let history_ms = extension.and_then(|extension| extension.optional_uint("history_ms"));
        let history_ms = history_ms.filter(|_| application == Application::Play);
        Ok(Request { application, id, target, history_ms })
    }
}

impl RequestError {
    /// What an OvenMediaEngine origin answers.
    pub(super) fn answer(&self, wall: Wall) -> Bytes {
        let (application, id) = match self {
            RequestError::Json | RequestError::Keys => ("unknown", 0),
            RequestError::Target { id } => ("unknown", *id),
            RequestError::Application { id, name } => (name.as_str(), *id),
        };
        refusal(application, id, 404, &self.to_string(), wall)
    }
}

/// The packets of a request. `target` is sent as it is, because it is the name by which the origin's operator knows
/// the stream; `history_ms` is for a PLAY only, and an OvenMediaEngine origin ignores it.
pub fn request(
    application: Application,
    id: u32,
    target: &str,
    history_ms: Option<u32>,
    wall: Wall,
) -> Bytes {
    let text = to_text(&RequestText {
        application: application.name(),
        headwater: history_ms.map(|history_ms| ExtensionText { history_ms }),
        id,
        target,
    });
    packets(PayloadKind::Request, &text, wall)
}

/// A response, as an edge reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The name of the application that it answers; `unknown` if the origin could not read the request.
    pub application: String,
    /// The request's id; 0 if the origin could not read it.
    pub id: u32,
    /// [`OK`], [`NOT_STARTED`], or a refusal.
    pub code: u32,
    /// The reason, for people; at most [`limits::PEER_REASON_CHARS_MAX`] characters of it.
    pub message: String,
    /// What the stream is; only in an [`OK`] to a DESCRIBE.
    pub description: Option<Description>,
}

impl Response {
    /// Reads the text of a response.
    pub fn parse(text: &[u8]) -> Result<Response, PeerMisbehaved> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| PeerMisbehaved::Json(error.to_string()))?;
        let object = Object::root(&value)?;
        let application = object.string("application")?;
        let code = object.uint("code")?;
        let described = code == OK && Application::from_name(application) == Some(Application::Describe);
        Ok(Response {
            application: shortened(application),
            id: object.uint("id")?,
            code,
            message: shortened(object.optional_string("message").unwrap_or_default()),
            description: described.then(|| Description::read(&object.object("contents")?)).transpose()?,
        })
    }
}

/// The packets of a response that only says `message`.
pub(super) fn refusal(application: &str, id: u32, code: u32, message: &str, wall: Wall) -> Bytes {
    packets(
        PayloadKind::Response,
        &to_text(&ResponseText { application, code, contents: None, id, message }),
        wall,
    )
}

/// The packets of a response that grants `application`.
pub(super) fn granted(application: Application, id: u32, wall: Wall) -> Bytes {
    refusal(application.name(), id, OK, "ok", wall)
}

/// What a DESCRIBE answer says.
///
/// Not kept, because nobody can use it: `startFrameTime` and `lastFrameTime` (0 in practice; written as 0), tracks of
/// a kind that [`Kind`] does not know, and decoder configurations of codecs that have none.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The origin's name for the application: `#<vhost>#<app>`.
    pub app_name: String,
    /// The origin's name for the stream.
    pub stream_name: String,
    /// The signalling version. OvenMediaEngine accepts any, and so do we; [`VERSION`] is known.
    pub version: u32,
    /// The stream.
    pub info: StreamInfo,
}

impl Description {
    /// The packets of the DESCRIBE answer with this description.
    pub fn answer(&self, id: u32, wall: Wall) -> Bytes {
        describe_ok(id, &self.app_name, &self.stream_name, self.version, &self.info, wall)
    }

    fn read(contents: &Object<'_>) -> Result<Description, PeerMisbehaved> {
        let stream = contents.object("stream")?;
        Ok(Description {
            app_name: stream.string("appName")?.to_owned(),
            stream_name: stream.string("streamName")?.to_owned(),
            version: contents.uint("version")?,
            info: StreamInfo {
                origin_uuid: stream.optional_string("originStreamUUID").unwrap_or_default().to_owned(),
                tracks: read_tracks(&stream)?,
                playlists: read_playlists(&stream)?,
            },
        })
    }
}

/// The packets of a DESCRIBE answer.
pub(super) fn describe_ok(
    id: u32,
    app_name: &str,
    stream_name: &str,
    version: u32,
    info: &StreamInfo,
    wall: Wall,
) -> Bytes {
    let stream = StreamText {
        app_name,
        origin_stream_uuid: Some(info.origin_uuid.as_str()).filter(|uuid| !uuid.is_empty()),
        playlists: some_of(info.playlists.iter().filter_map(PlaylistText::of)),
        stream_name,
        tracks: some_of(info.tracks.iter().map(TrackText::of)),
    };
    let text = to_text(&ResponseText {
        application: Application::Describe.name(),
        code: OK,
        contents: Some(ContentsText { stream, version }),
        id,
        message: "ok",
    });
    packets(PayloadKind::Response, &text, wall)
}

fn packets(kind: PayloadKind, text: &[u8], wall: Wall) -> Bytes {
    let timestamp = u64::try_from(wall.as_millis()).unwrap_or(0);
    fragment(Header { marker: true, kind, sequence: 0, timestamp, session: 0, length: 0 }, text)
}

fn shortened(text: &str) -> String {
    text.chars().take(limits::PEER_REASON_CHARS_MAX).collect()
}

/// An empty array is written as `null`.
fn some_of<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    Some(items.collect::<Vec<T>>()).filter(|items| !items.is_empty())
}

fn read_tracks(stream: &Object<'_>) -> Result<Vec<Track>, PeerMisbehaved> {
    let mut tracks = Vec::new();
    for object in stream.objects("tracks", limits::TRACKS_MAX)? {
        tracks.extend(read_track(&object)?);
    }
    tracks.sort_by_key(|track| track.id);
    if tracks.windows(2).any(|pair| pair[0].id == pair[1].id) {
        return Err(stream.error("tracks", "a list of tracks with an id of their own each"));
    }
    Ok(tracks)
}

/// One track, or `None` if it is of a kind that nobody knows.
fn read_track(object: &Object<'_>) -> Result<Option<Track>, PeerMisbehaved> {
    let codec = codes::codec(object.uint("codecId")?);
    let kind = codes::kind(object.uint("mediaType")?);
    let (num, den) = (object.uint("timebaseNum")?, object.uint("timebaseDen")?);
    object.uint64("startFrameTime")?;
    object.uint64("lastFrameTime")?;
    let track = Track {
        id: TrackId(object.uint("id")?),
        kind: kind.unwrap_or(Kind::Data),
        codec,
        timebase: Timebase::new(num, den)
            .ok_or_else(|| object.error("timebaseNum/timebaseDen", "a fraction"))?,
        name: object.string("name")?.to_owned(),
        bitrate: object.uint("bitrate")?,
        video: read_video(object, kind == Some(Kind::Video))?,
        audio: read_audio(object, kind == Some(Kind::Audio))?,
        config: object
            .optional_string("decoderConfig")
            .filter(|_| codes::has_config(codec))
            .and_then(read_config),
    };
    Ok(kind.map(|_| track))
}

fn read_video(track: &Object<'_>, required: bool) -> Result<VideoFormat, PeerMisbehaved> {
    let object =
        if required { Some(track.object("videoTrack")?) } else { track.optional_object("videoTrack")? };
    let Some(object) = object else {
        return Ok(VideoFormat::default());
    };
    Ok(VideoFormat {
        width: object.uint("width")?,
        height: object.uint("height")?,
        framerate: object.double("framerate")?,
    })
}

fn read_audio(track: &Object<'_>, required: bool) -> Result<AudioFormat, PeerMisbehaved> {
    let object =
        if required { Some(track.object("audioTrack")?) } else { track.optional_object("audioTrack")? };
    let Some(object) = object else {
        return Ok(NO_AUDIO);
    };
    let layout = object.uint("layout")?;
    Ok(AudioFormat {
        samplerate: object.uint("samplerate")?,
        channels: codes::channels(layout),
        sample_format: object.int("sampleFormat")?,
        layout,
    })
}

const NO_AUDIO: AudioFormat = AudioFormat { samplerate: 0, channels: 0, sample_format: -1, layout: 0 };

/// A configuration that is not Base64 is treated as absent, as one that is no record is.
fn read_config(text: &str) -> Option<Bytes> {
    BASE64.decode(text).ok().filter(|config| !config.is_empty()).map(Bytes::from)
}

fn read_playlists(stream: &Object<'_>) -> Result<Vec<Playlist>, PeerMisbehaved> {
    let objects = stream.optional_objects("playlists", limits::PLAYLISTS_MAX)?.unwrap_or_default();
    objects.iter().map(read_playlist).collect()
}

/// A playlist without `renditions` makes an OvenMediaEngine edge refuse the whole answer. We need not: it is empty.
fn read_playlist(object: &Object<'_>) -> Result<Playlist, PeerMisbehaved> {
    let options = object.object("options")?;
    let default = PlaylistOptions::default();
    let renditions = object.optional_objects("renditions", limits::RENDITIONS_MAX)?.unwrap_or_default();
    Ok(Playlist {
        name: object.string("name")?.to_owned(),
        file_name: object.string("fileName")?.to_owned(),
        options: PlaylistOptions {
            webrtc_auto_abr: options.optional_bool("webrtcAutoAbr").unwrap_or(default.webrtc_auto_abr),
            chunklist_path_depth: options
                .optional_int("hlsChunklistPathDepth")
                .unwrap_or(default.chunklist_path_depth),
            ts_packaging: options.optional_bool("enableTsPackaging").unwrap_or(default.ts_packaging),
        },
        renditions: renditions.iter().map(read_rendition).collect::<Result<_, _>>()?,
    })
}

fn read_rendition(object: &Object<'_>) -> Result<Rendition, PeerMisbehaved> {
    Ok(Rendition {
        name: object.string("name")?.to_owned(),
        video: object.string("videoTrackName")?.to_owned(),
        audio: object.string("audioTrackName")?.to_owned(),
        video_index: object.optional_int("videoIndexHint").unwrap_or(-1),
        audio_index: object.optional_int("audioIndexHint").unwrap_or(-1),
    })
}

// The texts. Fields stand in ascending order of their keys: that is the order in which they are written.

#[derive(Serialize)]
struct RequestText<'a> {
    application: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    headwater: Option<ExtensionText>,
    id: u32,
    target: &'a str,
}

#[derive(Serialize)]
struct ExtensionText {
    history_ms: u32,
}

#[derive(Serialize)]
struct ResponseText<'a> {
    application: &'a str,
    code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<ContentsText<'a>>,
    id: u32,
    message: &'a str,
}

#[derive(Serialize)]
struct ContentsText<'a> {
    stream: StreamText<'a>,
    version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamText<'a> {
    app_name: &'a str,
    #[serde(rename = "originStreamUUID", skip_serializing_if = "Option::is_none")]
    origin_stream_uuid: Option<&'a str>,
    playlists: Option<Vec<PlaylistText<'a>>>,
    stream_name: &'a str,
    tracks: Option<Vec<TrackText<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlaylistText<'a> {
    file_name: &'a str,
    name: &'a str,
    options: OptionsText,
    renditions: Vec<RenditionText<'a>>,
}

impl<'a> PlaylistText<'a> {
    /// `None` for a playlist without renditions: an OvenMediaEngine edge would refuse the whole answer for it.
    fn of(playlist: &'a Playlist) -> Option<PlaylistText<'a>> {
        let renditions: Vec<_> = playlist.renditions.iter().map(RenditionText::of).collect();
        if renditions.is_empty() {
            return None;
        }
        let options = OptionsText {
            enable_ts_packaging: playlist.options.ts_packaging,
            hls_chunklist_path_depth: playlist.options.chunklist_path_depth,
            webrtc_auto_abr: playlist.options.webrtc_auto_abr,
        };
        Some(PlaylistText { file_name: &playlist.file_name, name: &playlist.name, options, renditions })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OptionsText {
    enable_ts_packaging: bool,
    hls_chunklist_path_depth: i32,
    webrtc_auto_abr: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RenditionText<'a> {
    audio_index_hint: i32,
    audio_track_name: &'a str,
    name: &'a str,
    video_index_hint: i32,
    video_track_name: &'a str,
}

impl<'a> RenditionText<'a> {
    fn of(rendition: &'a Rendition) -> RenditionText<'a> {
        RenditionText {
            audio_index_hint: rendition.audio_index,
            audio_track_name: &rendition.audio,
            name: &rendition.name,
            video_index_hint: rendition.video_index,
            video_track_name: &rendition.video,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackText<'a> {
    audio_track: AudioText,
    bitrate: u32,
    codec_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoder_config: Option<String>,
    id: u32,
    last_frame_time: u64,
    media_type: u32,
    name: &'a str,
    start_frame_time: u64,
    timebase_den: u32,
    timebase_num: u32,
    video_track: VideoText,
}

impl<'a> TrackText<'a> {
    fn of(track: &'a Track) -> TrackText<'a> {
        let config = track.config.as_ref().filter(|_| codes::has_config(track.codec));
        TrackText {
            audio_track: AudioText::of(track),
            bitrate: track.bitrate,
            codec_id: codes::codec_number(track.codec),
            decoder_config: config.map(|config| BASE64.encode(config)),
            id: track.id.0,
            last_frame_time: 0,
            media_type: codes::kind_number(track.kind),
            name: name_of(track),
            start_frame_time: 0,
            timebase_den: track.timebase.den(),
            timebase_num: track.timebase.num(),
            video_track: VideoText::of(&track.video),
        }
    }
}

/// A track without a variant name goes by its kind.
fn name_of(track: &Track) -> &str {
    if !track.name.is_empty() {
        return &track.name;
    }
    match track.kind {
        Kind::Video => "Video",
        Kind::Audio => "Audio",
        Kind::Data => "Data",
        Kind::Subtitle => "Subtitle",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AudioText {
    layout: u32,
    sample_format: i32,
    samplerate: u32,
}

impl AudioText {
    /// A track that is not audio has no sample format; zero would be a format.
    fn of(track: &Track) -> AudioText {
        let AudioFormat { samplerate, channels, sample_format, layout } = track.audio;
        let sample_format = if track.audio == AudioFormat::default() { -1 } else { sample_format };
        let layout = if layout == 0 { codes::default_layout(channels) } else { layout };
        AudioText { layout, sample_format, samplerate }
    }
}

#[derive(Serialize)]
struct VideoText {
    framerate: f64,
    height: u32,
    width: u32,
}

impl VideoText {
    fn of(video: &VideoFormat) -> VideoText {
        // JSON has no word for what is not finite; `null` would make an edge refuse the whole answer.
        let framerate = if video.framerate.is_finite() { video.framerate } else { 0.0 };
        VideoText { framerate, height: video.height, width: video.width }
    }
}
