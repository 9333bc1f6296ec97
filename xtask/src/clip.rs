//! `cargo xtask clip`: the picture and sound of the demo and of most tests, and the clip of the benchmarks.
//!
//! A clip that loops without a seam needs a duration that is a whole number of GOPs and of AAC frames. Of 1024
//! samples at 48 kHz, 375 last exactly 8 s. AAC frames overlap, so the sound must not begin and end with silence:
//! three rounds of a tone that repeats every second are encoded, and the frames of the middle one are taken.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_tests::binary::workspace;
use headwater_tests::ffmpeg;

/// How long every clip is.
pub const SECONDS: usize = 8;
const AAC_FRAMES: usize = SECONDS * 48_000 / 1_024;
/// ffmpeg's encoder begins with one frame of padding.
const AAC_FRAMES_OF_PADDING: usize = 1;
/// What the repository is willing to carry.
const BYTES_MAX: u64 = 1_000_000;
/// A bass hum with a beep at every full second: picture and sound can be compared by eye and ear.
const TONE: &str = "0.06*sin(2*PI*220*t)+0.35*sin(2*PI*880*t)*lt(mod(t\\,1)\\,0.08)";

/// A picture and its rate.
struct Picture {
    size: &'static str,
    bitrate: &'static str,
    gop: &'static str,
    profile: &'static str,
    preset: &'static str,
    audio_bitrate: &'static str,
    constant: bool,
}

const DEMO: Picture = Picture {
    size: "640x360",
    bitrate: "640k",
    gop: "30",
    profile: "main",
    preset: "veryslow",
    audio_bitrate: "96k",
    constant: false,
};

/// 2 Mbit/s with its sound, filled up to a constant rate, as an encoder sends it.
const TWO_MEGABITS: Picture = Picture {
    size: "1280x720",
    bitrate: "1870k",
    gop: "60",
    profile: "high",
    preset: "veryfast",
    audio_bitrate: "128k",
    constant: true,
};

/// 5 Mbit/s with its sound, as a contribution encoder sends it.
const FIVE_MEGABITS: Picture = Picture {
    size: "1920x1080",
    bitrate: "4870k",
    gop: "60",
    profile: "high",
    preset: "veryfast",
    audio_bitrate: "128k",
    constant: true,
};

/// Makes the demo's clip.
///
/// # Errors
///
/// If ffmpeg fails, or the clip would be too large for the repository.
pub fn make() -> Result<()> {
    let path = workspace().join("net-real/assets/clip.flv");
    write(&DEMO, &path)?;
    let size = fs::metadata(&path)?.len();
    ensure!(size <= BYTES_MAX, "{} has {size} bytes, more than {BYTES_MAX}", path.display());
    eprintln!("{} has {size} bytes", path.display());
    Ok(())
}

/// Makes the clip of the benchmark of HLS at `path`, unless it is there.
///
/// # Errors
///
/// If ffmpeg fails.
pub fn five_megabits(path: &Path) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    eprintln!("making {}", path.display());
    write(&FIVE_MEGABITS, path)
}

/// Makes the benchmarks' clip at `path`, unless it is there.
///
/// # Errors
///
/// If ffmpeg fails.
pub fn two_megabits(path: &Path) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    eprintln!("making {}", path.display());
    write(&TWO_MEGABITS, path)
}

fn write(picture: &Picture, path: &Path) -> Result<()> {
    let dir = path.parent().context("a clip lies in a directory")?;
    fs::create_dir_all(dir)?;
    let [video, audio, whole] =
        ["h264", "aac", "flv"].map(|kind| path.with_extension(format!("part.{kind}")));
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is text");
    encode_video(picture, &text(&video)?)?;
    encode_audio(picture, &audio)?;
    ffmpeg::run(&[
        "-r",
        "30",
        "-i",
        &text(&video)?,
        "-i",
        &text(&audio)?,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        "-flags",
        "+bitexact",
        "-f",
        "flv",
        &text(&whole)?,
    ])?;
    fs::rename(&whole, path)?;
    fs::remove_file(video)?;
    fs::remove_file(audio)?;
    Ok(())
}

fn encode_video(picture: &Picture, path: &str) -> Result<()> {
    let Picture { size, bitrate, gop, profile, preset, .. } = picture;
    let label = "font=monospace:fontcolor=white:box=1:boxcolor=black@0.75:boxborderw=10";
    let source = format!(
        "testsrc2=size={size}:rate=30:duration={SECONDS},\
         drawtext={label}:fontsize=h/8:x=(w-tw)/2:y=h-th-h/12:timecode='00\\:00\\:00\\:00':rate=30,\
         drawtext={label}:fontsize=h/10:x=w-tw-24:y=24:text='%{{frame_num}}'"
    );
    let filling = if picture.constant { "nal-hrd=cbr:force-cfr=1" } else { "force-cfr=1" };
    ffmpeg::run(&[
        "-f",
        "lavfi",
        "-i",
        &source,
        "-c:v",
        "libx264",
        "-preset",
        preset,
        "-profile:v",
        profile,
        "-pix_fmt",
        "yuv420p",
        "-bf",
        "0",
        "-g",
        gop,
        "-keyint_min",
        gop,
        "-sc_threshold",
        "0",
        "-b:v",
        bitrate,
        "-maxrate",
        bitrate,
        "-bufsize",
        bitrate,
        "-x264-params",
        filling,
        path,
    ])
}

fn encode_audio(picture: &Picture, path: &Path) -> Result<()> {
    let source = format!("aevalsrc='{TONE}|{TONE}':s=48000:d={}", 3 * SECONDS);
    let text = path.to_str().context("the path is text")?;
    ffmpeg::run(&[
        "-f",
        "lavfi",
        "-i",
        &source,
        "-c:a",
        "aac",
        "-b:a",
        picture.audio_bitrate,
        "-f",
        "adts",
        text,
    ])?;
    let all = fs::read(path)?;
    let frames = adts_frames(&all)?;
    let first = AAC_FRAMES_OF_PADDING + AAC_FRAMES;
    let middle =
        frames.get(first..first + AAC_FRAMES).context("ffmpeg made fewer AAC frames than it was given")?;
    fs::write(path, middle.concat())?;
    Ok(())
}

/// Splits a stream of ADTS frames (ISO/IEC 13818-7, section 6.2).
fn adts_frames(mut bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        ensure!(bytes.len() >= 7 && bytes[0] == 0xff && bytes[1] & 0xf0 == 0xf0, "not an ADTS frame");
        let length =
            usize::from(bytes[3] & 0x3) << 11 | usize::from(bytes[4]) << 3 | usize::from(bytes[5] >> 5);
        ensure!(length >= 7 && length <= bytes.len(), "an ADTS frame of {length} bytes");
        let (frame, rest) = bytes.split_at(length);
        frames.push(frame);
        bytes = rest;
    }
    Ok(frames)
}
