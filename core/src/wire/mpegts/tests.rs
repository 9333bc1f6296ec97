//! What is written is read, and what is broken is noticed.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn unit(stream: usize, dts: u64, pts: u64, len: usize) -> Unit {
    let data = vec![Bytes::from(vec![dts as u8; len / 2]), Bytes::from(vec![len as u8; len - len / 2])];
    Unit { stream, dts, pts, random_access: dts.is_multiple_of(2), data }
}

fn of_33_bits(unit: &Unit) -> Unit {
    let data = vec![Bytes::from(unit.data.concat())];
    Unit { dts: unit.dts & TICKS_MASK, pts: unit.pts & TICKS_MASK, data, ..unit.clone() }
}

#[test]
fn the_crc_is_that_of_mpeg() {
    // The program association table that ffmpeg writes for one program at PID 0x1000.
    let section = [0, 0xb0, 0x0d, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0];
    assert_eq!(crc32(&section), 0x2ab1_04b2);
}

#[test]
fn timestamps_wrap_after_26_hours_and_a_half() {
    let wrap = 1 << 33;
    let at = |dts, pts| unit(0, dts, pts, 50);
    let units = [at(wrap - 1, wrap + 1), at(wrap, wrap), at(wrap + 9_001, wrap + 9_001)];
    let found = read(&segment(&[Coding::H264], &units)).unwrap();
    let times: Vec<_> = found.units.iter().map(|unit| (unit.pts, unit.dts)).collect();
    assert_eq!(times, [(1, wrap - 1), (0, 0), (9_001, 9_001)]);
    assert_eq!(found.clocks, [wrap - 9_001, wrap - 9_000, 1]);
}

#[test]
fn the_clock_goes_on_without_video() {
    let units: Vec<Unit> = (0..10).map(|n| unit(1, 90_000 + n * 4_000, 90_000 + n * 4_000, 40)).collect();
    let found = read(&segment(&[Coding::H264, Coding::Aac], &units)).unwrap();
    assert_eq!(found.clocks, [0, 12_000, 24_000, 36_000].map(|after| 81_000 + after));
    assert!(segment(&[Coding::H264], &[]).is_empty());
}

#[test]
fn the_overhead_is_three_percent() {
    let units: Vec<Unit> = (0..180).map(|n| unit(0, n * 3_000, n * 3_000, 20_000)).collect();
    let overhead = segment(&[Coding::H264], &units).len() as f64 / 3_600_000.0 - 1.0;
    assert!((0.025..0.03).contains(&overhead), "{overhead}");
}

#[test]
fn what_is_broken_is_noticed() {
    let units: Vec<Unit> = (0..20).map(|n| unit(0, n * 3_000, n * 3_000, 500)).collect();
    let good = segment(&[Coding::H264], &units).to_vec();
    let broken = |at: usize, with: u8| {
        let mut data = good.clone();
        data[at] = with;
        read(&data).unwrap_err()
    };
    assert_eq!(broken(2 * PACKET, 0x46), Fault::Sync(2));
    assert_eq!(broken(PACKET + 20, 0x55), Fault::Table(1));
    assert_eq!(broken(3 * PACKET + 2, 0x77), Fault::Unannounced { packet: 3, pid: 0x177 });
    assert!(matches!(broken(5 * PACKET + 3, 0x1e), Fault::Counter { packet: 5, found: 14, .. }));
    assert_eq!(broken(2 * PACKET + 12, 7), Fault::Pes(2));
    let lost = [&good[..3 * PACKET], &good[4 * PACKET..]].concat();
    assert!(matches!(read(&lost), Err(Fault::Counter { packet: 3, .. })));
    assert_eq!(read(&good[..good.len() - 1]), Err(Fault::Sync(good.len() / PACKET - 1)));
}

fn units() -> impl Strategy<Value = Vec<Unit>> {
    let len = prop_oneof![8 => 15usize..1_200, 1 => 1_200usize..70_000];
    let one = (0usize..3, 0u64..8_000, 0u64..9_000, len);
    (0u64..1 << 34, proptest::collection::vec(one, 1..80)).prop_map(|(start, all)| {
        let mut dts = start;
        all.into_iter()
            .map(|(stream, later, offset, len)| {
                dts += later;
                unit(stream, dts, dts + if offset.is_multiple_of(2) { 0 } else { offset }, len)
            })
            .collect()
    })
}

const STREAMS: [Coding; 3] = [Coding::H265, Coding::Aac, Coding::Aac];

proptest! {
    #[test]
    fn everything_is_there(units in units()) {
        let data = segment(&STREAMS, &units);
        prop_assert_eq!(&data, &segment(&STREAMS, &units));
        let found = read(&data).unwrap();
        prop_assert_eq!(&found.streams, &STREAMS);
        prop_assert_eq!(found.tables, 16);
        prop_assert!(found.packets.values().all(|count| count % 16 == 0), "{:?}", found.packets);
        prop_assert_eq!(found.units, units.iter().map(of_33_bits).collect::<Vec<_>>());
    }

    #[test]
    fn segments_follow_each_other_without_a_break(first in units(), second in units()) {
        let found = read(&[segment(&STREAMS, &first), segment(&STREAMS, &second)].concat()).unwrap();
        prop_assert_eq!(found.units.len(), first.len() + second.len());
    }

    #[test]
    fn the_shortest_units_are_there_too(lens in proptest::collection::vec(0usize..20, 1..5)) {
        let units: Vec<Unit> = lens.iter().enumerate().map(|(n, &len)| unit(0, n as u64, n as u64, len)).collect();
        let found = read(&segment(&[Coding::Aac], &units)).unwrap();
        prop_assert_eq!(found.units, units.iter().map(of_33_bits).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_do_no_harm(units in units(), at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
        let mut data = segment(&STREAMS, &units).to_vec();
        let at = at.index(data.len());
        data[at] = with;
        let _ = read(&data);
        let _ = read(&data[..cut.index(data.len())]);
    }
}
