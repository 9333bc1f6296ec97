//! Playlists as text: OvenMediaEngine's order and formats (reference: LL-HLS sections 2 and 3), with what RFC 8216bis
//! asks for beyond them. Nothing here decides anything; it says what the windows hold.

use core::fmt::{self, Write};
use std::sync::Arc;

use super::convert::{self, Format};
use super::lane::Lane;
use super::names;
use super::request::Form;
use super::window::{Segment, Window, micros};
use crate::media::{Kind, Playlist, PlaylistOptions, Rendition, TrackId};

/// Segments whose parts are listed: the newest ones.
const SEGMENTS_WITH_PARTS: u64 = 3;
/// Segments that end so many target durations before the playlist does are left out of delta updates: no fewer than six
/// (RFC 8216bis section 4.4.3.8), and playlists of as few segments have none.
const SKIP_UNTIL_TARGETS: i64 = 6;
/// Said when neither configuration nor measurement knows a bit rate.
const UNKNOWN_BITRATE: u64 = 1_000_000;

/// What all media playlists of a stream have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) target_duration_s: i64,
    pub(super) hold_back_us: i64,
    pub(super) preload_hint: bool,
}

/// The media playlist of `lane`, one of `lanes`.
pub(super) fn media(lane: &Lane, lanes: &[Lane], common: Common, form: Form) -> String {
    let mut out = String::with_capacity(16_384);
    write_media(&mut out, lane, lanes, common, form).expect("writing to a String never fails");
    out
}

fn write_media(
    out: &mut String,
    lane: &Lane,
    lanes: &[Lane],
    common: Common,
    form: Form,
) -> Result<(), fmt::Error> {
    let (window, legacy) = (&lane.window, form == Form::Legacy);
    let until_us = SKIP_UNTIL_TARGETS * 1_000_000 * common.target_duration_s;
    let can_skip = window.count() as i64 > SKIP_UNTIL_TARGETS;
    let skipped = match form {
        Form::Delta if can_skip && !window.ended() => window.older_than(until_us),
        Form::Whole | Form::Delta | Form::Legacy => 0,
    };
    let version = if skipped > 0 { 9 } else { 6 };
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}", common.target_duration_s)?;
    if !legacy {
        let (hold_back, target) = (Seconds(common.hold_back_us), Seconds(lane.target_us));
        write!(out, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back}")?;
        if can_skip {
            write!(out, ",CAN-SKIP-UNTIL={}", Seconds(until_us))?;
        }
        writeln!(out)?;
        writeln!(out, "#EXT-X-PART-INF:PART-TARGET={target}")?;
    }
    let first = window.segments().next();
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |segment| segment.msn))?;
    writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", window.discontinuity_sequence)?;
    let newest = window.last().map_or(0, |(segment, _)| segment.msn);
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
    }
    let mut map: Option<&Arc<Format>> = None;
    for segment in window.segments().skip(skipped).filter(|segment| segment.complete || !legacy) {
        if segment.discontinuity {
            writeln!(out, "#EXT-X-DISCONTINUITY")?;
        }
        if map.is_none_or(|map| map.init_key != segment.format.init_key) {
            writeln!(out, "#EXT-X-MAP:URI=\"{}\"", lane.names.init(&segment.format.init_key))?;
            map = Some(&segment.format);
        }
        let with_parts = !legacy && segment.msn + SEGMENTS_WITH_PARTS > newest;
        write_segment(out, lane, segment, with_parts)?;
    }
    if window.ended() {
        return writeln!(out, "#EXT-X-ENDLIST");
    }
    if legacy {
        return Ok(());
    }
    if let Some((msn, part)) = window.hint().filter(|_| common.preload_hint) {
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", lane.names.part(msn, part))?;
    }
    for other in lanes.iter().filter(|other| other.track.id != lane.track.id) {
        if let Some((segment, part)) = other.window.last() {
            let (uri, msn) = (other.names.chunklist(), segment.msn);
            writeln!(out, "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={msn},LAST-PART={part}")?;
        }
    }
    Ok(())
}

fn write_segment(out: &mut String, lane: &Lane, segment: &Segment, with_parts: bool) -> fmt::Result {
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Date(segment.date_us))?;
    for (index, part) in segment.parts.iter().enumerate().filter(|_| with_parts) {
        let duration = Seconds(micros(part.duration, segment.format.timescale));
        let uri = lane.names.part(segment.msn, index as u32);
        let attribute = match &part.media {
            None => ",GAP=YES",
            Some(_) if part.independent => ",INDEPENDENT=YES",
            Some(_) => "",
        };
        writeln!(out, "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{attribute}")?;
    }
    if !segment.complete {
        return Ok(());
    }
    if segment.is_gap() {
        writeln!(out, "#EXT-X-GAP")?;
    }
    let duration = Seconds(segment.duration_us());
    writeln!(out, "#EXTINF:{duration},\n{}", lane.names.segment(segment.msn))
}

/// The media playlist of a muxed rendition: what version 3 knows, and what it ignores and others do not.
pub(super) fn medialist(id: &str, window: &Window, target_duration_s: i64) -> String {
    let mut out = String::with_capacity(2_048);
    write_medialist(&mut out, id, window, target_duration_s).expect("writing to a String never fails");
    out
}

fn write_medialist(out: &mut String, id: &str, window: &Window, target_duration_s: i64) -> fmt::Result {
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target_duration_s}")?;
    let first = window.segments().next();
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |segment| segment.msn))?;
    writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", window.discontinuity_sequence)?;
    for segment in window.segments() {
        if segment.discontinuity {
            writeln!(out, "#EXT-X-DISCONTINUITY")?;
        }
        writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Date(segment.date_us))?;
        if segment.is_gap() {
            writeln!(out, "#EXT-X-GAP")?;
        }
        let duration = Seconds(segment.duration_us());
        writeln!(out, "#EXTINF:{duration},\n{}", names::muxed_segment(id, segment.msn))?;
    }
    if window.ended() { writeln!(out, "#EXT-X-ENDLIST") } else { Ok(()) }
}

/// A master playlist of muxed renditions: the tracks of each, its id and its segments.
pub(super) fn muxed_master(variants: &[(Variant<'_>, &str, &Window)]) -> String {
    let mut out = String::with_capacity(1_024);
    write_muxed_master(&mut out, variants).expect("writing to a String never fails");
    out
}

fn write_muxed_master(out: &mut String, variants: &[(Variant<'_>, &str, &Window)]) -> fmt::Result {
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:3")?;
    if variants.iter().all(|(.., window)| starts_independent(window)) {
        writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    for (variant, id, window) in variants {
        let average = window.average_bps().unwrap_or(UNKNOWN_BITRATE);
        // The first segment of a stream may be too short to be a peak.
        write_bandwidth(out, window.peak_bps.max(average), average)?;
        write_formats(out, variant)?;
        writeln!(out, "\n{}", names::medialist(id))?;
    }
    Ok(())
}

/// The playlist that every stream has unless the configuration says no (reference: LL-HLS section 2).
pub(super) fn default_playlist(lanes: &[Lane]) -> Playlist {
    Playlist {
        name: "llhls".into(),
        file_name: "llhls".into(),
        options: PlaylistOptions::default(),
        renditions: vec![default_rendition(lanes)],
    }
}

/// The first video and the first audio variant.
pub(super) fn default_rendition(lanes: &[Lane]) -> Rendition {
    let name = |kind| {
        let lane = lanes.iter().find(|lane| lane.track.kind == kind);
        lane.map_or(String::new(), |lane| lane.track.name.clone())
    };
    Rendition {
        name: "default".into(),
        video: name(Kind::Video),
        audio: name(Kind::Audio),
        video_index: -1,
        audio_index: -1,
    }
}

/// A variant of a master playlist: at most one video track, and a group of audio tracks of one name.
pub(super) struct Variant<'a> {
    video: Option<&'a Lane>,
    audio: Vec<&'a Lane>,
}

impl<'a> Variant<'a> {
    pub(super) fn of(rendition: &Rendition, lanes: &'a [Lane], any_name: bool) -> Option<Variant<'a>> {
        let of_kind = |kind: Kind, name: &str| -> Vec<&'a Lane> {
            let named = |lane: &&Lane| lane.track.kind == kind && lane.track.name == name;
            if name.is_empty() && !any_name { Vec::new() } else { lanes.iter().filter(named).collect() }
        };
        let pick = |from: &[&'a Lane], index: i32| from.get(usize::try_from(index).unwrap_or(0)).copied();
        let video = pick(&of_kind(Kind::Video, &rendition.video), rendition.video_index);
        let mut audio = of_kind(Kind::Audio, &rendition.audio);
        if rendition.audio_index >= 0 {
            audio = pick(&audio, rendition.audio_index).into_iter().collect();
        }
        (video.is_some() || !audio.is_empty()).then_some(Variant { video, audio })
    }

    /// The variant of these tracks, of which at most one is video.
    pub(super) fn of_tracks(tracks: &[TrackId], lanes: &'a [Lane]) -> Option<Variant<'a>> {
        let known = |kind| {
            let is_meant = move |lane: &&Lane| lane.track.kind == kind && tracks.contains(&lane.track.id);
            lanes.iter().filter(is_meant)
        };
        let variant = Variant { video: known(Kind::Video).next(), audio: known(Kind::Audio).collect() };
        (variant.video.is_some() || !variant.audio.is_empty()).then_some(variant)
    }

    /// Its tracks, the video first.
    pub(super) fn tracks(&self) -> Vec<TrackId> {
        self.video.iter().chain(&self.audio).map(|lane| lane.track.id).collect()
    }

    /// The group of its audio, if that stands apart from the variant itself.
    fn audio_group(&self) -> Option<&'a str> {
        let apart = self.video.is_some() || self.audio.len() > 1;
        self.audio.first().filter(|_| apart).map(|lane| group_name(lane))
    }
}

fn group_name(lane: &Lane) -> &str {
    if lane.track.name.is_empty() { "audio" } else { &lane.track.name }
}

/// A master playlist, with `prefix` before the names of media playlists.
pub(super) fn master(
    playlist: &Playlist,
    lanes: &[Lane],
    prefix: &str,
    any_name: bool,
    legacy: bool,
) -> String {
    let mut out = String::with_capacity(2_048);
    write_master(&mut out, playlist, lanes, prefix, any_name, legacy)
        .expect("writing to a String never fails");
    out
}

fn write_master(
    out: &mut String,
    playlist: &Playlist,
    lanes: &[Lane],
    prefix: &str,
    any_name: bool,
    legacy: bool,
) -> fmt::Result {
    let query = if legacy { "?_HLS_legacy=YES" } else { "" };
    let uri = |lane: &Lane| format!("{prefix}{}{query}", lane.names.chunklist());
    let variants: Vec<Variant<'_>> =
        playlist.renditions.iter().filter_map(|rendition| Variant::of(rendition, lanes, any_name)).collect();
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:6")?;
    if lanes.iter().all(|lane| starts_independent(&lane.window)) {
        writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    let mut listed: Vec<(&str, u32)> = Vec::new();
    for variant in &variants {
        let Some(group) = variant.audio_group() else { continue };
        for lane in &variant.audio {
            let (id, first) = (lane.track.id.0, !listed.iter().any(|(known, _)| *known == group));
            if listed.contains(&(group, id)) {
                continue;
            }
            listed.push((group, id));
            let default = if first { "YES" } else { "NO" };
            let channels = lane.format.as_ref().map_or(2, |format| format.channels.max(1));
            writeln!(
                out,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"Audio_{id}\",DEFAULT={default},AUTOSELECT=YES,\
                 CHANNELS=\"{channels}\",URI=\"{}\"",
                Quoted(group),
                uri(lane)
            )?;
        }
    }
    write!(out, "\n\n")?;
    for variant in &variants {
        write_variant(out, variant, uri)?;
    }
    Ok(())
}

fn write_variant(out: &mut String, variant: &Variant<'_>, uri: impl Fn(&Lane) -> String) -> fmt::Result {
    let Some(main) = variant.video.or(variant.audio.first().copied()) else { return Ok(()) };
    let audio = variant.audio.iter().filter(|lane| lane.track.id != main.track.id);
    let bandwidth = peak_bps(main) + audio.clone().map(|lane| peak_bps(lane)).max().unwrap_or(0);
    let average = average_bps(main) + audio.clone().map(|lane| average_bps(lane)).max().unwrap_or(0);
    write_bandwidth(out, bandwidth, average)?;
    write_formats(out, variant)?;
    if let Some(group) = variant.audio_group() {
        write!(out, ",AUDIO=\"{}\"", Quoted(group))?;
    }
    writeln!(out, "\n{}", uri(main))
}

fn write_bandwidth(out: &mut String, peak: u64, average: u64) -> fmt::Result {
    write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}",
        if peak == 0 { UNKNOWN_BITRATE } else { peak },
        if average == 0 { UNKNOWN_BITRATE } else { average },
    )
}

/// What is known of the pictures, and the codecs.
fn write_formats(out: &mut String, variant: &Variant<'_>) -> fmt::Result {
    if let Some((lane, format)) = variant.video.and_then(|lane| Some((lane, lane.format.as_deref()?))) {
        let (width, height) = format.size;
        if width > 0 && height > 0 {
            write!(out, ",RESOLUTION={width}x{height}")?;
        }
        if let Some(rate) = convert::framerate(&lane.track, Some(format)) {
            write!(out, ",FRAME-RATE={rate:.3}")?;
        }
    }
    let mut codecs: Vec<&str> = Vec::new();
    for lane in variant.video.iter().chain(&variant.audio) {
        let codec = lane.format.as_ref().map_or("", |format| &format.codec);
        if !codec.is_empty() && !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    write!(out, ",CODECS=\"{}\"", codecs.join(","))
}

fn starts_independent(window: &Window) -> bool {
    window
        .segments()
        .all(|segment| segment.is_gap() || segment.parts.first().is_some_and(|part| part.independent))
}

/// The declared bit rate, or the measured peak if that is higher.
fn peak_bps(lane: &Lane) -> u64 {
    u64::from(lane.track.bitrate).max(lane.window.peak_bps)
}

fn average_bps(lane: &Lane) -> u64 {
    lane.window.average_bps().unwrap_or(u64::from(lane.track.bitrate))
}

/// Microseconds as seconds with six decimals.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A text inside a quoted attribute, which cannot hold quotes or line breaks (RFC 8216 section 4.2).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c == '"' || c.is_control() { '_' } else { c }))
    }
}

/// Microseconds since the epoch as an ISO 8601 date in UTC, with milliseconds.
struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.div_euclid(1_000);
        let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
    }
}

/// The proleptic Gregorian date that is `days` after 1970-01-01. Years are counted from March, so that the leap day
/// is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    let since_march = days + 719_468;
    let (era, day_of_era) =
        (since_march.div_euclid(DAYS_PER_400_YEARS), since_march.rem_euclid(DAYS_PER_400_YEARS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_with_milliseconds() {
        let date = |us| Date(us).to_string();
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(1_792_544_022_788_999), "2026-10-21T00:53:42.788Z");
        assert_eq!(date(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(date(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn seconds_have_six_decimals() {
        assert_eq!(Seconds(491_000).to_string(), "0.491000");
        assert_eq!(Seconds(6_000_001).to_string(), "6.000001");
    }
}
