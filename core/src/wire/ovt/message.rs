//! OVT messages: requests, responses, and what a DESCRIBE says (reference: OVT sections 4 and 5).
//!
//! Texts are written byte for byte as OvenMediaEngine writes them. What is read is held to the type checks of an
//! OvenMediaEngine edge, and no further; unknown keys are ignored on both sides, and one of ours rides on that. With
//! it a PLAY asks another Headwater for the recent past (`"headwater":{"history_ms":4000}`), and a DESCRIBE says for
//! which streams of which servers it is asked (`"headwater":{"via":["0123456789abcdef"]}`), so that a request that
//! comes back to where it began can be told, and whether the asker has the stream from elsewhere already
//! (`"headwater":{"spare":true}`), so that an origin that is about to go need not begin with it. The answer to that DESCRIBE says by which of these marks the origin's
//! stream goes (`"headwater":{"mark":"0123456789abcdef"}`), so that the origin is not given back what it gives.
//!
//! A PLAY may ask for a beat, too (`"headwater":{"beat_ms":50}`): for a sign of life whenever the origin has had nothing
//! to send for so long, so that a still picture is not taken for a dead origin. An origin that will beat says how often
//! with the same key in its answer; nobody else sends or gets one. A beat is an empty packet of a kind that every
//! receiver skips.

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

/// The kind of a [`beat`]'s payload; OvenMediaEngine has no such kind, and skips it.
const BEAT: u8 = 90;

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
    /// How often a sign of life is wanted when there is no media, in milliseconds: Headwater's own extension of PLAY.
    pub beat_ms: Option<u32>,
    /// On whose behalf it is asked, the first asker first: Headwater's own extension of DESCRIBE. At most
    /// [`limits::OVT_VIA_MAX`] marks; a mark means something only to the server that made it.
    pub via: Vec<u64>,
    /// Whether the asker plays the stream from another origin: Headwater's own extension of DESCRIBE.
    pub spare: bool,
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
        let extension = extension.filter(|_| application == Application::Play);
        let of_play = |key| extension.as_ref().and_then(|extension| extension.optional_uint(key));
        let (history_ms, beat_ms) = (of_play("history_ms"), of_play("beat_ms"));
        let via = match application {
            Application::Describe => read_via(&value),
            Application::Play | Application::Stop => Vec::new(),
        };
        let spare = application == Application::Describe && value["headwater"]["spare"] == Value::Bool(true);
        Ok(Request { application, id, target, history_ms, beat_ms, via, spare })
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

/// What a request says beyond OVT; an OvenMediaEngine origin ignores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<'a> {
    /// See [`Request::history_ms`].
    pub history_ms: Option<u32>,
    /// See [`Request::beat_ms`].
    pub beat_ms: Option<u32>,
    /// See [`Request::via`].
    pub via: &'a [u64],
    /// See [`Request::spare`].
    pub spare: bool,
}

/// The packets of a request. `target` is sent as it is, because it is the name by which the origin's operator knows
/// the stream.
pub fn request(
    application: Application,
    id: u32,
    target: &str,
    extension: Extension<'_>,
    wall: Wall,
) -> Bytes {
    let text = to_text(&RequestText {
        application: application.name(),
        headwater: (extension != Extension::default()).then(|| ExtensionText {
            beat_ms: extension.beat_ms,
            history_ms: extension.history_ms,
            spare: extension.spare,
            via: extension.via.iter().copied().map(write_mark).collect(),
        }),
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
    /// What is granted beyond OVT; only in an answer to a PLAY that asked for it.
    pub grant: Grant,
    /// What stands for the origin's stream in the [`Request::via`] of its own requests: Headwater's own extension of the
    /// answer to a DESCRIBE that said on whose behalf it was asked.
    pub mark: Option<u64>,
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
        let extension = object.object("headwater").ok();
        let granted = |key| extension.as_ref().and_then(|extension| extension.optional_uint(key));
        Ok(Response {
            application: shortened(application),
            id: object.uint("id")?,
            code,
            message: shortened(object.optional_string("message").unwrap_or_default()),
            description: described.then(|| Description::read(&object.object("contents")?)).transpose()?,
            grant: Grant { beat_ms: granted("beat_ms"), history_packets: granted("history_packets") },
            mark: extension.as_ref().and_then(|extension| read_mark(extension.optional_string("mark")?)),
        })
    }
}

/// The packets of a response that only says `message`.
pub(super) fn refusal(application: &str, id: u32, code: u32, message: &str, wall: Wall) -> Bytes {
    packets(
        PayloadKind::Response,
        &to_text(&ResponseText { application, code, contents: None, headwater: None, id, message }),
        wall,
    )
}

/// What an origin grants with a PLAY beyond OVT, to another Headwater that asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// After how many milliseconds without anything to send it sends a [`beat`].
    pub beat_ms: Option<u32>,
    /// How many media packets of the recent past follow before the first new one.
    pub history_packets: Option<u32>,
}

/// The packets of a response that grants PLAY, and what was asked for beyond it.
pub(super) fn play_ok(id: u32, grant: Grant, wall: Wall) -> Bytes {
    let Grant { beat_ms, history_packets } = grant;
    let headwater =
        (grant != Grant::default()).then_some(AnswerExtensionText { beat_ms, history_packets, mark: None });
    let application = Application::Play.name();
    let text = to_text(&ResponseText { application, code: OK, contents: None, headwater, id, message: "ok" });
    packets(PayloadKind::Response, &text, wall)
}

/// A sign of life. It carries nothing, and is of a kind that receivers skip.
pub fn beat(wall: Wall) -> Bytes {
    packets(PayloadKind::Other(BEAT), &[], wall)
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
        describe_ok(id, &self.app_name, &self.stream_name, self.version, &self.info, None, wall)
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

/// The packets of a DESCRIBE answer. `mark` as in [`Response::mark`].
pub(super) fn describe_ok(
    id: u32,
    app_name: &str,
    stream_name: &str,
    version: u32,
    info: &StreamInfo,
    mark: Option<u64>,
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
        headwater: mark.map(|mark| AnswerExtensionText {
            mark: Some(write_mark(mark)),
            ..AnswerExtensionText::default()
        }),
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

/// The marks of a request; what is no mark is left out.
fn read_via(request: &Value) -> Vec<u64> {
    let marks = request["headwater"]["via"].as_array().map_or(&[][..], Vec::as_slice);
    let read = |mark: &Value| read_mark(mark.as_str()?);
    marks.iter().filter_map(read).take(limits::OVT_VIA_MAX).collect()
}

fn read_mark(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn write_mark(mark: u64) -> String {
    format!("{mark:016x}")
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
    #[serde(skip_serializing_if = "Option::is_none")]
    beat_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_ms: Option<u32>,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    spare: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    via: Vec<String>,
}

#[derive(Serialize)]
struct ResponseText<'a> {
    application: &'a str,
    code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<ContentsText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headwater: Option<AnswerExtensionText>,
    id: u32,
    message: &'a str,
}

#[derive(Default, Serialize)]
struct AnswerExtensionText {
    #[serde(skip_serializing_if = "Option::is_none")]
    beat_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_packets: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::super::captures::{description, ome_edge_takes};
    use super::super::packet::HEADER_BYTES;
    use super::super::reassembly::{Reassembler, Unit};
    use super::*;
    use crate::media::Codec;
    use proptest::prelude::*;

    /// The reference's full example (section 5.8), with a real record for `decoderConfig`.
    const EXAMPLE: &str = r##"{"application":"describe","code":200,"contents":{"stream":{"appName":"#default#app","originStreamUUID":"OvenMediaEngine_90b8b53e-3140-4e59-813d-9ace51c0e186/#default#app/stream/i","playlists":[{"fileName":"master","name":"default","options":{"enableTsPackaging":true,"hlsChunklistPathDepth":0,"webrtcAutoAbr":true},"renditions":[{"audioIndexHint":-1,"audioTrackName":"aac_audio","name":"1080p","videoIndexHint":-1,"videoTrackName":"bypass_video"}]}],"streamName":"stream","tracks":[{"audioTrack":{"layout":0,"sampleFormat":-1,"samplerate":0},"bitrate":4500000,"codecId":1,"decoderConfig":"AULAHv/hABlnQsAe2gKAv+XARAAAAwAEAAADAPA8WLqAAQAEaM48gA==","id":0,"lastFrameTime":0,"mediaType":0,"name":"bypass_video","startFrameTime":0,"timebaseDen":90000,"timebaseNum":1,"videoTrack":{"framerate":29.969999999999999,"height":1080,"width":1920}},{"audioTrack":{"layout":3,"sampleFormat":6,"samplerate":48000},"bitrate":128000,"codecId":7,"decoderConfig":"EZA=","id":1,"lastFrameTime":0,"mediaType":1,"name":"aac_audio","startFrameTime":0,"timebaseDen":48000,"timebaseNum":1,"videoTrack":{"framerate":0.0,"height":0,"width":0}},{"audioTrack":{"layout":0,"sampleFormat":-1,"samplerate":0},"bitrate":0,"codecId":0,"id":3,"lastFrameTime":0,"mediaType":2,"name":"Data","startFrameTime":0,"timebaseDen":1000,"timebaseNum":1,"videoTrack":{"framerate":0.0,"height":0,"width":0}}]},"version":18},"id":1,"message":"ok"}"##;

    fn text(packets: &Bytes) -> String {
        let mut packets = packets.clone();
        match Reassembler::for_edge().next(&mut packets) {
            Ok(Some(Unit::Message { text })) => String::from_utf8(text.to_vec()).expect("ASCII"),
            other => panic!("{other:?}"),
        }
    }

    fn example() -> Description {
        parse(EXAMPLE).expect("the example")
    }

    fn parse(text: &str) -> Result<Description, PeerMisbehaved> {
        Response::parse(text.as_bytes()).map(|response| response.description.expect("a description"))
    }

    /// The example with `old`, which is in it, replaced by `new`.
    fn with(old: &str, new: &str) -> Result<Description, PeerMisbehaved> {
        assert!(EXAMPLE.contains(old), "{old}");
        parse(&EXAMPLE.replacen(old, new, 1))
    }

    fn wrong(path: &str, want: &'static str) -> Result<Description, PeerMisbehaved> {
        Err(PeerMisbehaved::Field { path: path.to_owned(), want })
    }

    #[test]
    fn the_full_example_is_read_and_written_again() {
        let description = example();
        assert_eq!(text(&description.answer(1, Wall::default())), EXAMPLE);
        assert_eq!(description.info.tracks[1].audio.channels, 2);
        assert_eq!(ome_edge_takes(EXAMPLE.as_bytes(), 1), Ok(()));
    }

    #[test]
    fn only_who_asked_for_the_past_is_told_how_much_of_it_comes() {
        let text = |packets: Bytes| packets.slice(packets.iter().position(|byte| *byte == b'{').unwrap()..);
        let history = Grant { history_packets: Some(309), ..Grant::default() };
        let told = text(play_ok(2, history, Wall::default()));
        assert_eq!(
            told,
            r#"{"application":"play","code":200,"headwater":{"history_packets":309},"id":2,"message":"ok"}"#
        );
        assert_eq!(Response::parse(&told).unwrap().grant, history);
        let plain = text(play_ok(2, Grant::default(), Wall::default()));
        assert_eq!(plain, text(granted(Application::Play, 2, Wall::default())));
        assert_eq!(plain, r#"{"application":"play","code":200,"id":2,"message":"ok"}"#);
        assert_eq!(Response::parse(&plain).unwrap().grant, Grant::default());
        for odd in ["-1", "\"309\"", "null", "1e99"] {
            let odd = String::from_utf8(told.to_vec()).unwrap().replace("309", odd);
            assert_eq!(Response::parse(odd.as_bytes()).unwrap().grant, Grant::default(), "{odd}");
        }
        let both = Grant { beat_ms: Some(50), ..history };
        let told = text(play_ok(2, both, Wall::default()));
        assert_eq!(
            told,
            r#"{"application":"play","code":200,"headwater":{"beat_ms":50,"history_packets":309},"id":2,"message":"ok"}"#
        );
        assert_eq!(Response::parse(&told).unwrap().grant, both);
    }

    #[test]
    fn the_examples_of_requests_and_answers() {
        let target = "ovt://10.0.0.1:9000/app/stream";
        let wall = Wall::from_micros(1_700_000_000_000_999);
        let packets = request(Application::Describe, 1, target, Extension::default(), wall);
        let header = [0x60, 0x0a, 0, 0, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 0, 0, 0x4b];
        assert_eq!(packets[..HEADER_BYTES], header);
        assert_eq!(
            text(&packets),
            r#"{"application":"describe","id":1,"target":"ovt://10.0.0.1:9000/app/stream"}"#
        );
        let ok = granted(Application::Stop, 3, wall);
        assert_eq!(text(&ok), r#"{"application":"stop","code":200,"id":3,"message":"ok"}"#);
        assert_eq!(ok[..2], [0x60, 0x14]);
    }

    #[test]
    fn a_play_may_ask_for_beats() {
        let beats = Extension { beat_ms: Some(50), history_ms: Some(4_000), ..Extension::default() };
        let packets = request(Application::Play, 2, "ovt://h/a/s", beats, Wall::default());
        let expected = r#"{"application":"play","headwater":{"beat_ms":50,"history_ms":4000},"id":2,"target":"ovt://h/a/s"}"#;
        assert_eq!(text(&packets), expected);
        let read = |text: &str| Request::parse(text.as_bytes()).map(|request| request.beat_ms);
        assert_eq!(read(expected), Ok(Some(50)));
        assert_eq!(read(&expected.replace("play", "describe")), Ok(None));
        for odd in ["-1", "\"50\"", "null", "1e99"] {
            assert_eq!(read(&expected.replace("50", odd)), Ok(None), "{odd}");
        }
    }

    #[test]
    fn a_beat_is_skipped_wherever_packets_may_stand() {
        let answer = play_ok(2, Grant::default(), Wall::default());
        let beats = [beat(Wall::default()), answer.clone(), beat(Wall::default())].concat();
        assert_eq!(beats.len(), answer.len() + 2 * HEADER_BYTES);
        let mut bytes = Bytes::from(beats);
        let mut edge = Reassembler::for_edge();
        assert!(matches!(edge.next(&mut bytes), Ok(Some(Unit::Message { .. }))));
        assert_eq!(edge.next(&mut bytes), Ok(None));
        assert_eq!(edge.held_bytes(), 0);
    }

    #[test]
    fn a_play_may_ask_for_history() {
        let history = Extension { history_ms: Some(4_000), ..Extension::default() };
        let packets = request(Application::Play, 2, "ovt://h/a/s", history, Wall::default());
        let expected =
            r#"{"application":"play","headwater":{"history_ms":4000},"id":2,"target":"ovt://h/a/s"}"#;
        assert_eq!(text(&packets), expected);
        assert_eq!(Request::parse(expected.as_bytes()).map(|request| request.history_ms), Ok(Some(4_000)));
        for other in [r#"{}"#, r#"4000"#, r#"null"#, r#"{"history_ms":-1}"#, r#"{"history_ms":"4000"}"#] {
            let request = expected.replace(r#"{"history_ms":4000}"#, other);
            assert_eq!(
                Request::parse(request.as_bytes()).map(|request| request.history_ms),
                Ok(None),
                "{other}"
            );
        }
        let describe = expected.replace("play", "describe");
        assert_eq!(Request::parse(describe.as_bytes()).map(|request| request.history_ms), Ok(None));
    }

    #[test]
    fn a_describe_may_say_for_whom_it_is_asked() {
        let via = Extension { via: &[1, u64::MAX], ..Extension::default() };
        let packets = request(Application::Describe, 1, "ovt://h/a/s", via, Wall::default());
        let expected = r#"{"application":"describe","headwater":{"via":["0000000000000001","ffffffffffffffff"]},"id":1,"target":"ovt://h/a/s"}"#;
        assert_eq!(text(&packets), expected);
        let read = |text: &str| Request::parse(text.as_bytes()).map(|request| request.via);
        assert_eq!(read(expected), Ok(vec![1, u64::MAX]));
        assert_eq!(read(&expected.replace("describe", "play")), Ok(vec![]));
        assert_eq!(read(&expected.replace("000000000000000", "x")), Ok(vec![u64::MAX]));
        assert_eq!(read(&expected.replace("[", r#"{"a":["#).replace("]", "]}")), Ok(vec![]));
        let many = format!("[{}]", vec![r#""1""#; 1_000].join(","));
        let many = expected.replace(r#"["0000000000000001","ffffffffffffffff"]"#, &many);
        assert_eq!(read(&many).map(|via| via.len()), Ok(limits::OVT_VIA_MAX));
    }

    #[test]
    fn a_describe_may_say_that_it_is_not_urgent() {
        let spare = Extension { spare: true, ..Extension::default() };
        let packets = request(Application::Describe, 1, "ovt://h/a/s", spare, Wall::default());
        let expected =
            r#"{"application":"describe","headwater":{"spare":true},"id":1,"target":"ovt://h/a/s"}"#;
        assert_eq!(text(&packets), expected);
        let read = |text: &str| Request::parse(text.as_bytes()).map(|request| request.spare);
        assert_eq!(read(expected), Ok(true));
        assert_eq!(read(&expected.replace("describe", "play")), Ok(false));
        for other in ["false", "1", "null", r#""true""#] {
            assert_eq!(read(&expected.replace("true", other)), Ok(false));
        }
    }

    #[test]
    fn a_description_may_say_whose_it_is() {
        let Description { app_name, stream_name, version, info } = example();
        let answer =
            |mark| text(&describe_ok(1, &app_name, &stream_name, version, &info, mark, Wall::default()));
        let read = |text: &str| Response::parse(text.as_bytes()).map(|response| response.mark);
        assert_eq!(read(&answer(None)), Ok(None));
        let marked = answer(Some(255));
        assert!(marked.contains(r#""headwater":{"mark":"00000000000000ff"}"#), "{marked}");
        assert_eq!(read(&marked), Ok(Some(255)));
        assert_eq!(read(&marked.replace("00ff", "none")), Ok(None));
        assert_eq!(ome_edge_takes(marked.as_bytes(), 1), Ok(()));
    }

    #[test]
    fn requests_are_checked_in_the_order_of_ome() {
        let request =
            |text: &str| Request::parse(text.as_bytes()).map(|request| (request.application, request.id));
        let table = [
            ("", RequestError::Json),
            ("nonsense", RequestError::Json),
            ("[]", RequestError::Keys),
            (r#"{"application":"play","id":1}"#, RequestError::Keys),
            (r#"{"application":"play","target":"ovt://h"}"#, RequestError::Keys),
            (r#"{"id":1,"target":"ovt://h"}"#, RequestError::Keys),
            (r#"{"application":"play","id":-1,"target":"ovt://h"}"#, RequestError::Keys),
            (r#"{"application":"play","id":4294967296,"target":"ovt://h"}"#, RequestError::Keys),
            (r#"{"application":"dance","id":1,"target":"h"}"#, RequestError::Target { id: 1 }),
            (
                r#"{"application":"Dance","id":1,"target":"ovt://h"}"#,
                RequestError::Application { id: 1, name: "Dance".into() },
            ),
        ];
        for (text, error) in table {
            assert_eq!(request(text), Err(error), "{text}");
        }
        assert_eq!(
            request(r#"{"application":"PLAY","id":0,"target":"ovt://h"}"#),
            Ok((Application::Play, 0))
        );
    }

    #[test]
    fn an_unknown_application_is_answered_with_its_own_name() {
        let error = RequestError::Application { id: 5, name: "Dance".into() };
        let expected = r#"{"application":"Dance","code":404,"id":5,"message":"Unknown application"}"#;
        assert_eq!(text(&error.answer(Wall::default())), expected);
    }

    #[test]
    fn every_key_of_a_track_has_its_type() {
        let uint = "an unsigned 32-bit integer";
        let track = |key: &str| format!("contents.stream.tracks[0].{key}");
        assert_eq!(with(r#""bitrate":4500000"#, r#""bitrate":4500000.5"#), wrong(&track("bitrate"), uint));
        assert_eq!(with(r#""codecId":1"#, r#""codecId":"1""#), wrong(&track("codecId"), uint));
        assert_eq!(with(r#""id":0,"#, ""), wrong(&track("id"), uint));
        assert_eq!(with(r#""timebaseNum":1"#, r#""timebaseNum":-1"#), wrong(&track("timebaseNum"), uint));
        assert_eq!(
            with(r#""timebaseDen":90000"#, r#""timebaseDen":null"#),
            wrong(&track("timebaseDen"), uint)
        );
        assert_eq!(with(r#""name":"bypass_video""#, r#""name":1"#), wrong(&track("name"), "a string"));
        assert_eq!(
            with(r#""startFrameTime":0"#, r#""startFrameTime":-1"#),
            wrong(&track("startFrameTime"), "an unsigned integer")
        );
        assert_eq!(with(r#""lastFrameTime":0,"#, ""), wrong(&track("lastFrameTime"), "an unsigned integer"));
        assert_eq!(with("videoTrack\":{", "videotrack\":{"), wrong(&track("videoTrack"), "an object"));
        assert_eq!(with(r#""width":1920"#, r#""width":true"#), wrong(&track("videoTrack.width"), uint));
        assert!(with(r#""timebaseNum":1"#, r#""timebaseNum":0"#).is_err());
        assert!(with(r#""bitrate":4500000"#, r#""bitrate":4500000.0"#).is_ok());
    }

    #[test]
    fn the_stream_has_names_and_tracks() {
        assert!(with(r#""appName":"#, r#""app":"#).is_err());
        assert!(with(r#""streamName":"#, r#""stream":"#).is_err());
        assert_eq!(with(r#""tracks":["#, r#""others":["#), wrong("contents.stream.tracks", "an array"));
        let uuid = r#""originStreamUUID":"#;
        assert_eq!(with(uuid, r#""streamUUID":"#).map(|told| told.info.origin_uuid), Ok(String::new()));
    }

    #[test]
    fn any_unsigned_version_is_taken_and_none_is_not() {
        assert_eq!(with(r#""version":18"#, r#""version":19"#).map(|told| told.version), Ok(19));
        for other in [r#""version":-18"#, r#""version":"18""#, r#""release":18"#] {
            assert_eq!(
                with(r#""version":18"#, other),
                wrong("contents.version", "an unsigned 32-bit integer")
            );
        }
    }

    #[test]
    fn trap_6_a_tracks_kind_is_not_told_by_which_formats_are_there() {
        let kinds: Vec<Kind> = example().info.tracks.iter().map(|track| track.kind).collect();
        assert_eq!(kinds, [Kind::Video, Kind::Audio, Kind::Data]);
        let audio = r##"{"audioTrack":{"layout":3,"sampleFormat":6,"samplerate":48000},"bitrate":128000"##;
        let without_video =
            EXAMPLE.replacen(r#","videoTrack":{"framerate":0.0,"height":0,"width":0}"#, "", 1);
        assert!(without_video.contains(audio));
        assert_eq!(parse(&without_video), Ok(example()));
    }

    #[test]
    fn trap_7_tracks_may_share_a_name_and_not_an_id() {
        let twins = with(r#""name":"aac_audio""#, r#""name":"bypass_video""#);
        assert_eq!(twins.map(|told| told.info.tracks.len()), Ok(3));
        assert!(with(r#""id":3"#, r#""id":1"#).is_err());
    }

    #[test]
    fn trap_8_the_application_is_named_with_its_host() {
        assert_eq!(example().app_name, "#default#app");
    }

    #[test]
    fn trap_9_a_playlist_without_renditions_is_read_and_never_written() {
        let start = EXAMPLE.find(r#","renditions""#).expect("renditions");
        let end = EXAMPLE.find(r#"}],"streamName""#).expect("the end of the playlist");
        let poison = format!("{}{}", &EXAMPLE[..start], &EXAMPLE[end..]);
        assert!(ome_edge_takes(poison.as_bytes(), 1).is_err());
        let description = parse(&poison).expect("we take it");
        assert!(description.info.playlists[0].renditions.is_empty());
        let written = text(&description.answer(1, Wall::default()));
        assert!(written.contains(r#""playlists":null"#));
        assert_eq!(ome_edge_takes(written.as_bytes(), 1), Ok(()));
    }

    #[test]
    fn playlists_have_the_types_of_the_reference() {
        let playlist = |key: &str| format!("contents.stream.playlists[0].{key}");
        assert_eq!(with(r#""options":{"#, r#""option":{"#), wrong(&playlist("options"), "an object"));
        assert_eq!(
            with(r#""fileName":"master""#, r#""fileName":null"#),
            wrong(&playlist("fileName"), "a string")
        );
        assert_eq!(
            with(r#""audioTrackName":"aac_audio""#, r#""audioTrackName":0"#),
            wrong(&playlist("renditions[0].audioTrackName"), "a string")
        );
        let lenient =
            with(r#""enableTsPackaging":true,"hlsChunklistPathDepth":0"#, r#""enableTsPackaging":1"#);
        let options = lenient.expect("options have defaults").info.playlists[0].options;
        assert_eq!((options.ts_packaging, options.chunklist_path_depth), (false, -1));
        assert!(with(r#""audioIndexHint":-1,"#, "").is_ok());
    }

    #[test]
    fn trap_20_one_negative_value_refuses_the_whole_answer() {
        assert!(with(r#""bitrate":4500000"#, r#""bitrate":-1"#).is_err());
        assert!(with(r#""mediaType":0"#, r#""mediaType":-1"#).is_err());
    }

    #[test]
    fn trap_22_what_is_written_can_start_at_once_at_an_ome_edge() {
        let without = with(r#""decoderConfig":"EZA=","#, "").expect("a configuration is optional");
        assert!(ome_edge_takes(text(&without.answer(1, Wall::default())).as_bytes(), 1).is_err());
        let unknown = with(r#""layout":3"#, r#""layout":0"#).expect("an unknown layout is a layout");
        assert!(ome_edge_takes(text(&unknown.answer(1, Wall::default())).as_bytes(), 1).is_err());
        let opus = with(r#""codecId":7,"decoderConfig":"EZA=""#, r#""codecId":9"#).expect("Opus");
        assert_eq!(ome_edge_takes(text(&opus.answer(1, Wall::default())).as_bytes(), 1), Ok(()));
    }

    #[test]
    fn trap_23_a_sample_format_of_minus_one_is_a_value() {
        let bypassed = with(r#""sampleFormat":6"#, r#""sampleFormat":-1"#).expect("unknown is allowed");
        assert_eq!(bypassed.info.tracks[1].audio.sample_format, -1);
        assert_eq!(bypassed.info.tracks[0].audio, NO_AUDIO);
    }

    #[test]
    fn a_track_that_was_built_here_is_written_as_an_ome_edge_expects() {
        let mut info = example().info;
        info.tracks[0].audio = AudioFormat::default();
        info.tracks[0].video.framerate = f64::NAN;
        info.tracks[1].audio.layout = 0;
        info.tracks[2].name.clear();
        let answer = describe_ok(1, "#default#app", "stream", VERSION, &info, None, Wall::default());
        assert_eq!(text(&answer), EXAMPLE.replace("29.969999999999999", "0.0"));
    }

    #[test]
    fn an_unknown_layout_keeps_its_number_and_has_no_channels() {
        let odd = with(r#""layout":3"#, r#""layout":1023"#).expect("any mask");
        assert_eq!((odd.info.tracks[1].audio.layout, odd.info.tracks[1].audio.channels), (1_023, 0));
    }

    #[test]
    fn a_configuration_that_nobody_can_read_is_absent() {
        let garbage = with(r#""EZA=""#, r#""E?A=""#).expect("unreadable is absent");
        assert_eq!(garbage.info.tracks[1].config, None);
        let mp3 = with(r#""codecId":7"#, r#""codecId":8"#).expect("MP3");
        assert_eq!(mp3.info.tracks[1].config, None);
    }

    #[test]
    fn codecs_and_kinds_that_nobody_knows_harm_no_other_track() {
        let future = with(r#""codecId":1"#, r#""codecId":77"#).expect("any codec");
        assert_eq!((future.info.tracks[0].codec, future.info.tracks.len()), (Codec::None, 3));
        let attachment = with(r#""mediaType":2"#, r#""mediaType":4"#).expect("any kind");
        assert_eq!(attachment.info.tracks.len(), 2);
    }

    #[test]
    fn the_frame_rate_of_audio_is_kept() {
        let audio = description("h264-aac").info.tracks[1].clone();
        assert_eq!((audio.kind, audio.video.framerate), (Kind::Audio, 46.859_421_734_795_61));
    }

    #[test]
    fn tracks_stand_in_ascending_order_and_are_bounded() {
        let swapped = with(r#""id":0"#, r#""id":9"#).expect("any order");
        let ids: Vec<u32> = swapped.info.tracks.iter().map(|track| track.id.0).collect();
        assert_eq!(ids, [1, 3, 9]);

        let mut description = example();
        let track = description.info.tracks[0].clone();
        let many =
            |count| (0..count).map(|id| Track { id: TrackId(id), ..track.clone() }).collect::<Vec<_>>();
        let max = u32::try_from(limits::TRACKS_MAX).expect("a small number");
        description.info.tracks = many(max);
        assert_eq!(parse(&text(&description.answer(1, Wall::default()))), Ok(description.clone()));
        description.info.tracks = many(max + 1);
        assert!(parse(&text(&description.answer(1, Wall::default()))).is_err());
    }

    #[test]
    fn an_answer_may_take_many_packets() {
        let mut description = example();
        description.info.origin_uuid = "u".repeat(100_000);
        let packets = description.answer(1, Wall::default());
        assert_eq!(packets[..4], [0x40, 0x14, 0, 0]);
        let last = 3 * (HEADER_BYTES + 32_750);
        assert_eq!(packets[last..last + 4], [0x60, 0x14, 0, 3]);
        assert_eq!(parse(&text(&packets)), Ok(description));
    }

    #[test]
    fn reasons_are_cut() {
        let long = "é".repeat(10_000);
        let packets = refusal("play", 1, 404, &long, Wall::default());
        let response = Response::parse(text(&packets).as_bytes()).expect("an answer");
        assert_eq!(response.message, "é".repeat(limits::PEER_REASON_CHARS_MAX));
    }

    #[test]
    fn a_message_before_1970_has_timestamp_0() {
        assert_eq!(granted(Application::Play, 1, Wall::from_micros(-1))[4..12], [0; 8]);
    }

    fn codec() -> impl Strategy<Value = (Kind, Codec)> {
        prop_oneof![
            Just((Kind::Video, Codec::H264)),
            Just((Kind::Video, Codec::H265)),
            Just((Kind::Video, Codec::Vp8)),
            Just((Kind::Audio, Codec::Aac)),
            Just((Kind::Audio, Codec::Opus)),
            Just((Kind::Data, Codec::None)),
            Just((Kind::Subtitle, Codec::WebVtt)),
        ]
    }

    prop_compose! {
        fn track()(
            (kind, codec) in codec(), timebase in (1u32.., 1u32..), name in ".{1,9}", bitrate: u32,
            (width, height, framerate) in (any::<u32>(), any::<u32>(), 0.0f64..1e9),
            (samplerate, sample_format, layout) in (any::<u32>(), -1i32..10, prop_oneof![Just(0u32), Just(0x3), Just(0x60f)]),
            config in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40)),
        ) -> Track {
            Track {
                id: TrackId(0), kind, codec, name, bitrate,
                timebase: Timebase::new(timebase.0, timebase.1).expect("both at least 1"),
                video: VideoFormat { width, height, framerate },
                // All zeros stands for a format that nobody has filled in, and is written as unknown.
                audio: AudioFormat {
                    samplerate: samplerate.max(1), channels: codes::channels(layout), sample_format, layout,
                },
                config: config.filter(|_| codes::has_config(codec)).map(Bytes::from),
            }
        }
    }

    prop_compose! {
        fn playlist()(
            name: String, file_name: String, webrtc_auto_abr: bool, chunklist_path_depth: i32, ts_packaging: bool,
            renditions in proptest::collection::vec((any::<[String; 3]>(), any::<[i32; 2]>()), 1..4),
        ) -> Playlist {
            let rendition = |([name, video, audio], [video_index, audio_index]): ([String; 3], [i32; 2])| {
                Rendition { name, video, audio, video_index, audio_index }
            };
            Playlist {
                name, file_name,
                options: PlaylistOptions { webrtc_auto_abr, chunklist_path_depth, ts_packaging },
                renditions: renditions.into_iter().map(rendition).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn descriptions_round_trip(
            id: u32, app_name: String, stream_name: String, version: u32, origin_uuid: String,
            mut tracks in proptest::collection::vec(track(), 1..5),
            playlists in proptest::collection::vec(playlist(), 0..3),
        ) {
            for (id, track) in (0..).zip(&mut tracks) {
                track.id = TrackId(id);
            }
            let info = StreamInfo { origin_uuid, tracks, playlists };
            let description = Description { app_name, stream_name, version, info };
            let text = text(&description.answer(id, Wall::default()));
            prop_assert!(text.is_ascii() && !text.contains('\0'));
            // serde_json keeps the keys of a `Value` in ascending order.
            let sorted: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(String::from_utf8(to_text(&sorted)).expect("ASCII"), text.clone());
            let response = Response::parse(text.as_bytes()).expect("an answer");
            prop_assert_eq!((response.id, response.description), (id, Some(description)));
        }

        #[test]
        fn requests_round_trip(id: u32, path in "/[a-zü]{1,5}/[a-z\"\\\\]{1,5}", history_ms: Option<u32>) {
            let target = format!("ovt://host:9000{path}");
            let extension = Extension { history_ms, ..Extension::default() };
            let text = text(&request(Application::Play, id, &target, extension, Wall::default()));
            let request = Request::parse(text.as_bytes()).expect("a request");
            prop_assert_eq!(request.target.full(), target);
            prop_assert_eq!((request.id, request.history_ms), (id, history_ms));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
            let _ = Response::parse(&bytes);
        }

        #[test]
        fn a_damaged_answer_is_an_answer_or_an_error(at in 0..EXAMPLE.len(), with: u8, cut in 0..EXAMPLE.len()) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            bytes[at] = with;
            let _ = Response::parse(&bytes);
            let _ = Request::parse(&bytes);
            bytes.truncate(cut);
            let _ = Response::parse(&bytes);
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = "[".repeat(limits::OVT_REQUEST_BYTES_MAX);
        assert_eq!(Request::parse(deep.as_bytes()), Err(RequestError::Json));
    }
}
