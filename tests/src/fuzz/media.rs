//! Timestamps, and what is inside access units.

use bytes::Bytes;
use headwater_core::media::aac::{AacConfig, AdtsFrame};
use headwater_core::media::annexb::{self, BitReader};
use headwater_core::media::h264::{AvcConfig, Sps};
use headwater_core::media::h265::HevcConfig;
use headwater_core::media::{Timebase, Timestamp};

use super::sample;

/// Timestamps of any timebase: conversion neither overflows nor loses the order, and compares as it says.
pub fn timestamp(data: &[u8]) {
    let mut words =
        data.chunks_exact(4).filter_map(|word| word.first_chunk::<4>()).map(|w| u32::from_be_bytes(*w));
    let mut next = || words.next().unwrap_or_default();
    let (num, den, high, low, other) = (next(), next(), next(), next(), next());
    let (Some(base), Some(to)) = (Timebase::new(num, den), Timebase::new(1, other)) else { return };
    let ticks = (u64::from(high) << 32 | u64::from(low)).cast_signed();
    let (this, later) = (Timestamp::new(ticks, base), Timestamp::new(ticks, base).plus_ticks(1));
    assert!(this.to(to) <= later.to(to));
    assert!(later.micros_since(this) >= 0);
    assert!(this <= later && this.plus_micros(1) >= this && this.plus_micros(-1) <= this);
    assert_eq!(this.to(base), this);
    let _ = (this.since(later), this.to(to).micros_since(this));
}

/// Access units, parameter sets and configuration records.
///
/// What was read and written again reads the same: NAL units, AVC and HEVC records, AudioSpecificConfigs, ADTS frames.
/// No unit is empty or longer than what it came from. A picture of a readable SPS has a size.
pub fn annexb_h264_h265_aac(data: &[u8]) {
    let data = &Bytes::copy_from_slice(data);
    nal_units(data);
    avc(data);
    hevc(data);
    aac(data);
    let mut bits = BitReader::new(data);
    while bits.ue().is_some() && bits.se().is_some() {}
}

pub(super) fn timestamp_seeds() -> Vec<Vec<u8>> {
    vec![vec![0; 16], vec![0xff; 24], vec![0x7f; 24], vec![0, 0, 0, 1, 0, 1, 0x5f, 0x90]]
}

pub(super) fn codec_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for flv in [sample::AVC_AAC, sample::HEVC] {
        let stream = sample::stream(flv);
        seeds.extend(
            stream.info.tracks.iter().filter_map(|track| track.config.as_ref()).map(|record| record.to_vec()),
        );
        seeds.extend(stream.packets.iter().take(12).map(|packet| packet.data.to_vec()));
        let sets = stream.packets.iter().take(1).flat_map(|packet| annexb::nal_units(&packet.data));
        seeds.extend(sets.take(5).map(<[u8]>::to_vec));
    }
    seeds
}

fn nal_units(data: &Bytes) {
    let units: Vec<Bytes> = annexb::nal_slices(data).collect();
    assert!(units.iter().all(|unit| !unit.is_empty() && unit.last() != Some(&0)));
    assert!(units.iter().map(Bytes::len).sum::<usize>() <= data.len());
    let joined = annexb::from_nal_units(units.iter().map(|unit| &unit[..]));
    assert_eq!(annexb::nal_slices(&joined).collect::<Vec<_>>(), units, "NAL units come back");
    for prefix in 1..=4 {
        if let Some(units) = annexb::length_prefixed_units(data, prefix) {
            let bytes: usize = units.iter().map(|unit| unit.len() + prefix).sum();
            assert!(bytes <= data.len() && units.iter().all(|unit| !unit.is_empty()));
        }
    }
}

fn avc(data: &Bytes) {
    if let Ok(sps) = Sps::parse(data) {
        assert!(sps.width > 0 && sps.height > 0);
        assert!(sps.framerate.is_none_or(|(num, den)| num > 0 && den > 0));
    }
    let found = AvcConfig::from_units(annexb::nal_slices(data));
    for config in AvcConfig::parse(data).into_iter().chain(found) {
        assert!(config.codec_string().starts_with("avc1."));
        assert!(config.sps.iter().chain(&config.pps).all(|set| config.contains(set)));
        let Ok(record) = config.record() else { continue };
        let again = AvcConfig::parse(&record).expect("a record that was written can be read");
        assert_eq!((again.sps, again.pps, again.length_size), (config.sps, config.pps, 4));
    }
}

fn hevc(data: &Bytes) {
    let found = HevcConfig::from_units(annexb::nal_slices(data));
    for config in HevcConfig::parse(data).into_iter().chain(found) {
        let _ = (config.dimensions(), config.length_size());
        assert!(config.codec_string().starts_with("hvc1"));
        assert!(config.parameter_sets().all(|set| config.contains(set)));
        let Ok(record) = config.record() else { continue };
        let again = HevcConfig::parse(&record).expect("a record that was written can be read");
        assert!(again.parameter_sets().eq(config.parameter_sets()));
        assert_eq!((again.length_size(), again.record().as_ref()), (4, Ok(&record)));
    }
}

fn aac(data: &Bytes) {
    if let Ok(config) = AacConfig::parse(data) {
        assert!(config.rate > 0);
        let _ = (config.channels(), config.codec_string());
        if config.object_type < 31 {
            assert_eq!(AacConfig::parse(&config.record()), Ok(config));
        }
        let _ = config.adts(data);
    }
    if let Ok(frame) = AdtsFrame::parse(data) {
        assert!(!frame.raw.is_empty() && frame.raw.len() < data.len());
        if let Ok(adts) = frame.config.adts(&frame.raw) {
            assert_eq!(AdtsFrame::parse(&adts), Ok(frame), "an ADTS frame comes back");
        }
    }
}
