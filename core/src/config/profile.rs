//! What is left of an output profile where nothing is transcoded: names for the tracks, and playlists of them.

use crate::media::{Playlist, PlaylistOptions, Rendition};

use super::check::Node;
use super::diagnostic::{Kind, Report};
use super::value::shown;

/// What an application takes from its output profiles.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// The variant names of the video and audio tracks.
    pub(super) track_names: (Option<String>, Option<String>),
    /// The playlists whose renditions can be had.
    pub(super) playlists: Vec<Playlist>,
}

/// Reads `OutputProfiles`. Only the first profile is used: a stream goes out once, under its own name.
pub(super) fn read(profiles: Option<&Node>, report: &mut Report) -> Profile {
    let mut all = profiles.into_iter().flat_map(|it| it.all("OutputProfile"));
    let Some(first) = all.next() else { return Profile::default() };
    for other in all {
        let remedy = "A stream goes out once, as the first profile says; remove the others.";
        report.warn(
            &other.at,
            Kind::NoEffect,
            "A second <OutputProfile> is accepted without effect.",
            remedy,
        );
    }
    output_name(first, report);
    let track_names = match first.find("Encodes") {
        Some(encodes) => track_names(encodes, report),
        None => (None, None),
    };
    let mut playlists: Vec<Playlist> = Vec::new();
    for node in first.all("Playlist") {
        let Some(playlist) = playlist(node, &track_names, report) else { continue };
        if playlists.iter().any(|it| it.file_name == playlist.file_name) {
            let reason = format!("Two playlists are `{}.m3u8`.", shown(&playlist.file_name));
            report.error(&node.at, Kind::Contradiction, reason, "Give each its own <FileName>.");
        }
        playlists.push(playlist);
    }
    Profile { track_names, playlists }
}

fn output_name(profile: &Node, report: &mut Report) {
    let Some(node) = profile.find("OutputStreamName") else { return };
    if node.own_text().is_some_and(|it| it != "${OriginStreamName}") {
        let reason = format!(
            "<OutputStreamName> {} is accepted without effect.",
            shown(node.own_text().unwrap_or(""))
        );
        let remedy = "Streams keep the name that they are published with; write ${OriginStreamName}.";
        report.warn(&node.at, Kind::NoEffect, reason, remedy);
    }
}

/// The names that the profile gives to the tracks as they come: of the bypasses, or else of the first encodes.
fn track_names(encodes: &Node, report: &mut Report) -> (Option<String>, Option<String>) {
    for image in encodes.all("Image") {
        let remedy = "There are no pictures of the stream.";
        report.warn(&image.at, Kind::NoEffect, "Headwater does not transcode.", remedy);
    }
    (track_name(encodes, "Video", report), track_name(encodes, "Audio", report))
}

fn track_name(encodes: &Node, kind: &'static str, report: &mut Report) -> Option<String> {
    let kept = encodes.all(kind).find(|it| it.flag("Bypass", false)).or(encodes.all(kind).next())?;
    for node in encodes.all(kind) {
        let is_bypass = node.flag("Bypass", false);
        if is_bypass && core::ptr::eq(node, kept) {
            continue;
        }
        let name = shown(node.text("Name").unwrap_or("without a name"));
        let (reason, remedy) = if is_bypass {
            let reason = format!("The second bypass `{name}` is accepted without effect.");
            (reason, "A track goes out once, under the name of the first.")
        } else if core::ptr::eq(node, kept) {
            let reason = format!("Headwater does not transcode: `{name}` is not encoded.");
            (reason, "The track is passed through as it comes, under this name; write <Bypass>true</Bypass>.")
        } else {
            let reason = format!("Headwater does not transcode: `{name}` is not made.");
            (reason, "The track is passed through as it comes; encode the others before publishing.")
        };
        report.warn(&node.at, Kind::NoEffect, reason, remedy);
    }
    kept.text("Name").map(str::to_string)
}

/// A playlist with the renditions whose tracks there are; `None` if none is left.
fn playlist(node: &Node, names: &(Option<String>, Option<String>), report: &mut Report) -> Option<Playlist> {
    let file_name = node.text("FileName")?.to_string();
    if file_name.contains(['.', '/', '?', '#']) {
        let reason = format!("The playlist `{}` cannot be asked for.", shown(&file_name));
        let remedy = "Write a name without . / # or ?; .m3u8 is appended by itself.";
        report.error(&node.at, Kind::OutOfRange, reason, remedy);
    }
    let mut renditions = Vec::new();
    for child in node.all("Rendition") {
        renditions.extend(rendition(child, names, report));
    }
    let is_templated = node.all("RenditionTemplate").next().is_some();
    if renditions.is_empty() && is_templated {
        renditions.extend(as_it_comes(names));
    }
    if renditions.is_empty() {
        let reason = format!("The playlist `{}.m3u8` has no rendition.", shown(&file_name));
        let remedy = "It is not offered; name the bypassed tracks of <Encodes> in a <Rendition>.";
        report.warn(&node.at, Kind::Contradiction, reason, remedy);
        return None;
    }
    let name = node.text("Name").unwrap_or_default().to_string();
    let default = PlaylistOptions::default();
    let options = node.find("Options").map_or(default, |it| PlaylistOptions {
        webrtc_auto_abr: it.flag("WebRtcAutoAbr", default.webrtc_auto_abr),
        chunklist_path_depth: small(it.int("HLSChunklistPathDepth", default.chunklist_path_depth.into())),
        ts_packaging: it.flag("EnableTsPackaging", default.ts_packaging),
    });
    Some(Playlist { name, file_name, options, renditions })
}

fn rendition(
    node: &Node,
    names: &(Option<String>, Option<String>),
    report: &mut Report,
) -> Option<Rendition> {
    let text = |path| node.text(path).unwrap_or_default().to_string();
    let (video, audio) = (text("Video"), text("Audio"));
    for (wanted, there_is) in [(&video, &names.0), (&audio, &names.1)] {
        if wanted.is_empty() || there_is.as_ref() == Some(wanted) {
            continue;
        }
        let reason = format!("There is no track `{}` for this rendition.", shown(wanted));
        let remedy =
            "It is not offered: tracks are passed through as they come, under the names of the bypasses.";
        report.warn(&node.at, Kind::NoEffect, reason, remedy);
        return None;
    }
    if video.is_empty() && audio.is_empty() {
        let remedy = "It is not offered; name a <Video> or an <Audio>.";
        report.warn(&node.at, Kind::Contradiction, "The rendition has neither video nor audio.", remedy);
        return None;
    }
    let video_index = small(node.int("VideoIndexHint", -1));
    let audio_index = small(node.int("AudioIndexHint", -1));
    Some(Rendition { name: text("Name"), video, audio, video_index, audio_index })
}

/// What stands in for rendition templates.
fn as_it_comes((video, audio): &(Option<String>, Option<String>)) -> Option<Rendition> {
    if video.is_none() && audio.is_none() {
        return None;
    }
    Some(Rendition {
        name: "source".to_string(),
        video: video.clone().unwrap_or_default(),
        audio: audio.clone().unwrap_or_default(),
        video_index: -1,
        audio_index: -1,
    })
}

/// The schema keeps these numbers within -1 and 63.
fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}
