//! Tracks, and what a whole stream says about itself.

use bytes::Bytes;

use super::Timebase;

/// A track's number inside its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// What a codec carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Moving or still pictures.
    Video,
    /// Sound.
    Audio,
    /// Timed data; described, never relayed over OVT.
    Data,
    /// Subtitles; described, never relayed over OVT.
    Subtitle,
}

/// The codecs that can be described; not all of them can be packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Codec {
    None,
    H264,
    H265,
    Vp8,
    Vp9,
    Av1,
    Flv,
    Aac,
    Mp3,
    Opus,
    Jpeg,
    Png,
    Webp,
    WebVtt,
    Whisper,
}

/// The picture format of a video track; zeros mean unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VideoFormat {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames per second as declared or measured; 0 if unknown.
    pub framerate: f64,
}

/// The sound format of an audio track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second; 0 if unknown.
    pub samplerate: u32,
    /// Channels; 0 if unknown.
    pub channels: u32,
    /// OvenMediaEngine's sample format number (reference: OVT section 5.6); -1 if unknown.
    pub sample_format: i32,
    /// OvenMediaEngine's channel mask (reference: OVT section 5.7); 0 if unknown.
    pub layout: u32,
}

/// One track of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its number in the stream.
    pub id: TrackId,
    /// What it carries.
    pub kind: Kind,
    /// How it is coded.
    pub codec: Codec,
    /// The timebase of its packets.
    pub timebase: Timebase,
    /// The variant name by which playlists refer to it; shared by a group of tracks.
    pub name: String,
    /// Bits per second as configured or measured; 0 if unknown.
    pub bitrate: u32,
    /// The picture format; zeros if it is not video (but OvenMediaEngine puts an audio frame rate here).
    pub video: VideoFormat,
    /// The sound format; zeros and -1 if it is not audio.
    pub audio: AudioFormat,
    /// AVCDecoderConfigurationRecord, HEVCDecoderConfigurationRecord or AudioSpecificConfig.
    pub config: Option<Bytes>,
}

/// Options of a playlist that cross OVT (reference: OVT section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaylistOptions {
    /// WebRTC players may switch renditions by themselves.
    pub webrtc_auto_abr: bool,
    /// How media playlists are addressed from the master: -1 absolute path, 0 file name only, 1 and 2 relative.
    pub chunklist_path_depth: i32,
    /// Whether MPEG-TS playlists are made of it too.
    pub ts_packaging: bool,
}

impl Default for PlaylistOptions {
    fn default() -> Self {
        PlaylistOptions { webrtc_auto_abr: true, chunklist_path_depth: -1, ts_packaging: false }
    }
}

/// One rendition of a playlist: a video and an audio variant, by track name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its name.
    pub name: String,
    /// The name of the video tracks; empty for none.
    pub video: String,
    /// The name of the audio tracks; empty for none.
    pub audio: String,
    /// Which of several video tracks of that name; -1 for any.
    pub video_index: i32,
    /// Which of several audio tracks of that name; -1 for any.
    pub audio_index: i32,
}

/// A master playlist that a stream offers beside the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playlist {
    /// Its name.
    pub name: String,
    /// The file name in the URL, without `.m3u8`.
    pub file_name: String,
    /// Its options.
    pub options: PlaylistOptions,
    /// Its renditions, in order.
    pub renditions: Vec<Rendition>,
}

/// What a stream says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamInfo {
    /// Where it comes from, for statistics: `<server id>/#<vhost>#<app>/<stream>/i`.
    pub origin_uuid: String,
    /// Its tracks, in ascending order of their ids.
    pub tracks: Vec<Track>,
    /// The playlists it offers beside the default ones.
    pub playlists: Vec<Playlist>,
}

impl StreamInfo {
    /// The track with this id.
    pub fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Whether packets of `other` can be taken for packets of this: the same tracks under the same numbers, coded
    /// alike. New parameter sets of video are no difference, because key frames carry them.
    pub fn same_media(&self, other: &StreamInfo) -> bool {
        let is_same = |(a, b): (&Track, &Track)| {
            a.same_coding(b) && (a.config == b.config || matches!(a.codec, Codec::H264 | Codec::H265))
        };
        self.media_tracks().zip(other.media_tracks()).all(is_same)
            && self.media_tracks().count() == other.media_tracks().count()
    }

    fn media_tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| matches!(track.kind, Kind::Audio | Kind::Video))
    }
}

impl Track {
    /// Whether packets of `other` can be taken for packets of this, down to the decoder configuration.
    pub fn same_format(&self, other: &Track) -> bool {
        self.same_coding(other) && self.config == other.config
    }

    fn same_coding(&self, other: &Track) -> bool {
        (self.id, self.kind, self.codec, self.timebase) == (other.id, other.kind, other.codec, other.timebase)
    }
}
