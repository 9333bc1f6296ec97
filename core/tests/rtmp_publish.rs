//! A publisher's session, fed with what real encoders made.

mod rtmp_support;

use std::time::Duration;

use bytes::Bytes;
use headwater_core::io::Close;
use headwater_core::limits;
use headwater_core::media::{Codec, Kind, Packet, TrackId};
use headwater_core::publish::{Output, Session};
use headwater_core::wire::flv::{Audio, Form, Tag, TagKind, Video};
use headwater_core::wire::rtmp::PublisherAction;
use proptest::prelude::*;
use rtmp_support::{AVC_AAC, HEVC, Pair, at, file, nal_types};

fn of_track(packets: &[&Packet], track: u32) -> Vec<Packet> {
    packets.iter().filter(|packet| packet.track == TrackId(track)).map(|&packet| packet.clone()).collect()
}

fn published(tags: &[Tag]) -> Pair {
    let mut pair = Pair::accepted(1_500);
    tags.iter().for_each(|tag| pair.send(tag));
    pair
}

fn is_header(tag: &Tag) -> bool {
    match tag.kind {
        TagKind::Audio => matches!(Audio::decode(&tag.body), Ok(Audio::SequenceHeader(_))),
        TagKind::Video => matches!(Video::decode(&tag.body), Ok(Video::SequenceHeader { .. })),
        TagKind::Script => false,
    }
}

#[test]
fn a_request_names_host_app_stream_and_query() {
    let mut pair = Pair::new(9_000);
    pair.run();
    let requested = Output::Requested {
        host: "origin.example".into(),
        app: "app".into(),
        stream: "stream".into(),
        query: Some("key=1".into()),
    };
    assert_eq!(pair.outputs, [requested]);
    pair.session.refuse("a stream of this name is live already");
    pair.run();
    let refused = PublisherAction::Refused {
        code: "NetStream.Publish.BadName".into(),
        description: "a stream of this name is live already".into(),
    };
    assert_eq!(pair.actions, [refused]);
    assert_eq!(pair.outputs[1..], [Output::Close { how: Close::Flush, misbehaved: None }]);
}

#[test]
fn h264_and_aac_become_a_stream_in_the_normal_form() {
    let pair = published(&file(AVC_AAC));
    let info = pair.started().expect("started");
    let [video, audio] = &info.tracks[..] else { panic!("two tracks: {info:?}") };
    assert_eq!((video.id, video.kind, video.codec), (TrackId(0), Kind::Video, Codec::H264));
    assert_eq!((video.video.width, video.video.height, video.video.framerate), (160, 90, 25.0));
    assert_eq!((audio.id, audio.kind, audio.codec), (TrackId(1), Kind::Audio, Codec::Aac));
    assert_eq!((audio.audio.samplerate, audio.audio.channels, audio.audio.layout), (48_000, 2, 3));
    assert!(video.bitrate > 0 && audio.bitrate > 0);
    assert_eq!(audio.config.as_deref(), Some(&[0x11, 0x90, 0x56, 0xe5, 0x00][..]));
    assert_eq!(video.config.as_ref().map(|config| config[0]), Some(1));

    let packets = pair.packets();
    let (video, audio) = (of_track(&packets, 0), of_track(&packets, 1));
    assert_eq!((video.len(), audio.len()), (50, 95));
    let keys = video.iter().enumerate().filter(|(_, packet)| packet.key).map(|(at, _)| at);
    assert_eq!(keys.collect::<Vec<_>>(), [0, 25]);
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts), "video DTS");
    assert!(audio.windows(2).all(|pair| pair[0].dts < pair[1].dts), "audio DTS");
    assert!(video.iter().any(|packet| packet.pts > packet.dts), "there are B-frames");
    for packet in &video {
        let types = nal_types(&packet.data, false);
        assert_eq!(types[0], 9, "a delimiter first");
        assert_eq!(packet.key, types.contains(&5));
        assert_eq!(
            packet.key,
            types.starts_with(&[9, 7, 8]),
            "parameter sets where decoding starts: {types:?}"
        );
    }
    for packet in &audio {
        let length = usize::from(packet.data[3] & 3) << 11
            | usize::from(packet.data[4]) << 3
            | usize::from(packet.data[5] >> 5);
        assert_eq!((&packet.data[..2], length), (&[0xff, 0xf1][..], packet.data.len()));
    }
}

#[test]
fn enhanced_h265_becomes_a_stream_too() {
    let mut pair = published(&file(HEVC));
    pair.run();
    let info = pair.started().expect("started after half a second of video alone");
    let [video] = &info.tracks[..] else { panic!("one track: {info:?}") };
    assert_eq!((video.id, video.codec), (TrackId(0), Codec::H265));
    assert_eq!((video.video.width, video.video.height), (162, 90));
    assert_eq!(video.video.framerate.round(), 25.0, "measured");

    let packets = pair.packets();
    assert_eq!(packets.len(), 25);
    let keys = packets.iter().enumerate().filter(|(_, packet)| packet.key).map(|(at, _)| at);
    assert_eq!(keys.collect::<Vec<_>>(), [0, 12, 24]);
    for packet in &packets {
        let types = nal_types(&packet.data, true);
        assert_eq!(types[0], 35, "a delimiter first");
        assert_eq!(packet.key, types.starts_with(&[35, 32, 33, 34]), "{types:?}");
    }
}

#[test]
fn the_first_picture_is_a_key_frame_and_sound_around_it_is_kept() {
    let tags = file(AVC_AAC);
    // The encoder was connected in the middle of a group of pictures.
    let frames =
        tags.iter().filter(|tag| is_header(tag) || tag.timestamp > 500 || tag.kind == TagKind::Script);
    let pair = published(&frames.cloned().collect::<Vec<_>>());
    let packets = pair.packets();
    let (video, audio) = (of_track(&packets, 0), of_track(&packets, 1));
    assert!(video[0].key);
    assert_eq!((video.len(), video[0].dts.ticks()), (25, 1_000));
    assert!(audio[0].dts.ticks() < 550 && audio.len() > 65, "{} from {:?}", audio.len(), audio[0].dts);
}

#[test]
fn a_stream_of_sound_alone_starts_by_itself() {
    let tags = file(AVC_AAC).into_iter().filter(|tag| tag.kind == TagKind::Audio).collect::<Vec<_>>();
    let pair = published(&tags);
    let info = pair.started().expect("after half a second");
    assert_eq!(
        info.tracks.iter().map(|track| (track.id, track.kind)).collect::<Vec<_>>(),
        [(TrackId(0), Kind::Audio)]
    );
    assert_eq!(pair.packets().len(), 95);
}

#[test]
fn an_announced_track_that_does_not_come_is_not_waited_for_for_ever() {
    let tags = file(AVC_AAC).into_iter().filter(|tag| tag.kind != TagKind::Audio);
    let mut pair = published(&tags.collect::<Vec<_>>());
    assert!(pair.started().is_none(), "metadata promised sound");
    pair.wait(limits::ANNOUNCED_TRACK_WAIT - Duration::from_millis(1));
    assert!(pair.started().is_none());
    pair.wait(Duration::from_millis(1));
    assert_eq!(pair.started().map(|info| info.tracks.len()), Some(1));
    assert_eq!(pair.packets().len(), 50);

    let late =
        file(AVC_AAC).into_iter().find(|tag| tag.kind == TagKind::Audio && is_header(tag)).expect("there");
    pair.send(&late);
    assert!(matches!(pair.outputs.last(), Some(Output::Warning(what)) if what.contains("Audio")));
}

#[test]
fn a_new_decoder_configuration_is_told() {
    let tags = file(AVC_AAC);
    let mut pair = published(&tags);
    let same = tags.iter().find(|tag| tag.kind == TagKind::Video && is_header(tag)).expect("there");
    pair.outputs.clear();
    pair.send(same);
    assert_eq!(pair.outputs, [], "a repetition is no news");
    let mono = Audio::SequenceHeader(Bytes::from_static(&[0x11, 0x88])).encode(Form::Classic);
    pair.send(&Tag { kind: TagKind::Audio, timestamp: 0, body: mono });
    let [Output::Changed(info)] = &pair.outputs[..] else { panic!("{:?}", pair.outputs) };
    assert_eq!(info.tracks[1].audio.channels, 1);
    assert_eq!(info.tracks[0].video.width, 160);
}

#[test]
fn the_publisher_ends_the_stream_in_order() {
    let mut pair = published(&file(AVC_AAC));
    pair.publisher.finish();
    pair.run();
    assert_eq!(pair.end(), Some(("the publisher ended the stream", Close::Flush, None)));
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn timestamps_wrap_without_a_trace() {
    let start = u32::MAX - 900;
    let wrapping = file(AVC_AAC).into_iter().map(|mut tag| {
        if tag.kind != TagKind::Script && !is_header(&tag) {
            tag.timestamp = tag.timestamp.wrapping_add(start);
        }
        tag
    });
    let pair = published(&wrapping.collect::<Vec<_>>());
    let plain = published(&file(AVC_AAC));
    let shifted = |pair: &Pair, by: i64| {
        pair.packets().iter().map(|packet| (packet.track, packet.dts.ticks() - by)).collect::<Vec<_>>()
    };
    assert_eq!(shifted(&pair, start.into()), shifted(&plain, 0));
}

#[test]
fn lies_are_cut_with_a_reason() {
    let tags = file(AVC_AAC);
    let video = |body: &'static [u8], timestamp| Tag { kind: TagKind::Video, timestamp, body: body.into() };
    let audio = |body: &'static [u8]| Tag { kind: TagKind::Audio, timestamp: 0, body: body.into() };
    for (lie, word) in [
        (video(b"\x17\x01\0\0\0\0\0\xff\xff\x65", 2_000), "NAL"),
        (video(b"\x17\x01\x7f\xff\xff\0\0\0\x01\x65", 2_000), "8388607 ms"),
        (video(b"\x27\x01\0\0\0\0\0\0\x01\x41", 1_000_000_000), "jumped"),
        (video(b"\x17\0\0\0\0\x01\x64\0\x0b\xff\xe1\xff\xff", 2_000), "AVCDecoderConfigurationRecord"),
        (video(b"\x17", 2_000), "cut off"),
        (video(b"\x90av01\0", 2_000), "av01 is not supported"),
        (audio(b"\x2f\xff"), "MP3 is not supported"),
        (audio(b"\x90Opus"), "Opus is not supported"),
        (audio(b"\xaf\0\x11\x80"), "channel configuration 0"),
    ] {
        let mut pair = published(&tags);
        pair.send(&lie);
        let (why, how, misbehaved) = pair.end().expect("cut");
        assert!(why.contains(word), "{why}");
        assert_eq!((how, misbehaved), (Close::Flush, Some(why)));
        let Some(PublisherAction::Refused { description, .. }) = pair.actions.last() else { panic!("told") };
        assert_eq!(description, why);
    }
}

#[test]
fn every_silence_has_an_end() {
    let mut pair = Pair::new(9_000);
    pair.wait(limits::FIRST_WORD_TIMEOUT);
    assert!(matches!(&pair.outputs[..], [Output::Close { how: Close::Abort, misbehaved: Some(_) }]));

    let mut pair = Pair::accepted(9_000);
    pair.wait(limits::PUBLISH_FIRST_MEDIA_TIMEOUT - Duration::from_millis(1));
    assert_eq!(pair.end(), None);
    pair.wait(Duration::from_millis(1));
    assert!(pair.end().is_some_and(|(why, ..)| why.contains("no audio or video")));

    let headless = file(AVC_AAC).into_iter().filter(|tag| !is_header(tag)).collect::<Vec<_>>();
    let mut pair = published(&headless);
    pair.wait(limits::PUBLISH_START_TIMEOUT);
    assert!(pair.end().is_some_and(|(why, ..)| why.contains("sequence header")));

    let mut pair = published(&file(AVC_AAC));
    pair.wait(Duration::from_secs(3_600));
    assert_eq!(pair.end(), None, "silence is allowed unless it is forbidden");
    pair.session.set_silence(Some(Duration::from_secs(3)));
    pair.send(&file(AVC_AAC)[1]);
    pair.wait(Duration::from_secs(2));
    assert_eq!(pair.end(), None);
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.end(), Some(("the publisher fell silent", Close::Flush, None)));
}

#[test]
fn what_is_not_rtmp_is_cut_at_the_first_byte() {
    let mut session = Session::new(at(0));
    session.receive(at(1), Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"));
    let Some(Output::Close { how: Close::Abort, misbehaved: Some(what) }) = session.poll() else {
        panic!("cut")
    };
    assert!(what.contains("HTTP"), "{what}");
    session.receive(at(2), Bytes::from_static(b"more"));
    session.accept();
    session.refuse("late");
    assert_eq!((session.poll(), session.poll_timeout()), (None, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cut_of_the_bytes_changes_nothing(cut in 1usize..6_000) {
        let mut pair = Pair::accepted(cut);
        file(AVC_AAC).iter().for_each(|tag| pair.send(tag));
        prop_assert_eq!(pair.outputs, published(&file(AVC_AAC)).outputs);
    }

    #[test]
    fn damaged_media_never_panics(
        hevc: bool,
        damage in prop::collection::vec((0usize..147, any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut tags = file(if hevc { HEVC } else { AVC_AAC });
        for (tag, byte, value) in damage {
            let tag = tag % tags.len();
            let mut body = tags[tag].body.to_vec();
            let byte = byte.index(body.len());
            body[byte] = value;
            tags[tag].body = body.into();
        }
        let mut pair = Pair::accepted(1_500);
        for tag in tags.iter().filter(|tag| tag.kind != TagKind::Script) {
            pair.send(tag);
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = conversation();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut session = Session::new(at(0));
        for piece in bytes.chunks(700) {
            session.receive(at(1), Bytes::copy_from_slice(piece));
            while let Some(output) = session.poll() {
                if matches!(output, Output::Requested { .. }) {
                    session.accept();
                }
            }
        }
    }
}

/// All that our publisher sends while it publishes the first tags of a file.
fn conversation() -> Vec<u8> {
    let mut pair = Pair::accepted(9_000);
    file(AVC_AAC).iter().take(30).for_each(|tag| pair.send(tag));
    pair.sent
}
