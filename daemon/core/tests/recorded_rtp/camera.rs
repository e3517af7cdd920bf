//! What a camera has sent, and what its encoder made of it.

use std::time::Duration;

use bytes::Bytes;
use spotstream_core::media::transmux::Input;
use spotstream_core::rtp::{RtpPacket, SenderReport, Track};

const RECORDING: &[u8] = include_bytes!("../data/plate.rtp");
const ENCODED: &[u8] = include_bytes!("../data/plate.h264");

/// The packets, each with when it was sent.
pub(crate) fn recording() -> Vec<(Duration, RtpPacket)> {
    let mut rest = RECORDING;
    let mut packets = Vec::new();
    let mut first = None;
    while let Some((length, tail)) = rest.split_at_checked(2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (packet, tail) = tail.split_at(length);
        rest = tail;
        let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
        let ticks = timestamp.wrapping_sub(*first.get_or_insert(timestamp));
        let sent = Duration::from_secs(u64::from(ticks)) / 90_000;
        packets.push((
            sent,
            RtpPacket {
                sequence: u16::from_be_bytes([packet[2], packet[3]]),
                timestamp,
                marker: packet[1] & 0x80 != 0,
                payload: Bytes::copy_from_slice(&packet[12..]),
            },
        ));
    }
    packets
}

/// What the encoder made, one list of published NAL units for each picture.
pub(crate) fn encoded() -> Vec<Vec<Vec<u8>>> {
    let mut units: Vec<Vec<Vec<u8>>> = Vec::new();
    let starts: Vec<usize> = ENCODED
        .windows(3)
        .enumerate()
        .filter(|(_, bytes)| *bytes == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(ENCODED.len());
        let mut nal = &ENCODED[start + 3..end];
        while let [head @ .., 0] = nal {
            nal = head;
        }
        match nal[0] & 0x1F {
            9 => units.push(Vec::new()),
            1 | 5..=8 => units.last_mut().unwrap().push(nal.to_vec()),
            _ => {}
        }
    }
    units
}

pub(crate) fn video(packets: Vec<(Duration, RtpPacket)>) -> Vec<(Duration, Input)> {
    packets
        .into_iter()
        .map(|(at, packet)| (at, Input::Rtp(Track::Video, packet)))
        .collect()
}

pub(crate) fn with_sound(
    mut arrivals: Vec<(Duration, Input)>,
    keep: impl Fn(u32) -> bool,
) -> Vec<(Duration, Input)> {
    let ntp = |seconds: u64| (3_900_000_000 + seconds) << 32;
    let at = Duration::from_millis(1);
    arrivals.push((
        at,
        Input::SenderReport(
            Track::Video,
            SenderReport {
                ntp: ntp(0),
                rtp_timestamp: 4_294_900_000,
            },
        ),
    ));
    for packet in (0..150u32).filter(|packet| keep(*packet)) {
        let timestamp = (u32::MAX - 9600).wrapping_add(packet * 960);
        let payload = Bytes::from_static(&[0xF8, 1, 2, 3]);
        let sequence = u16::try_from((65_500 + packet) % 65_536).unwrap();
        let rtp = RtpPacket {
            sequence,
            timestamp,
            marker: false,
            payload,
        };
        // 5 ms slower than the video, as the sender report says.
        arrivals.push((
            Duration::from_millis(u64::from(packet) * 20 + 7),
            Input::Rtp(Track::Audio, rtp),
        ));
    }
    let report = SenderReport {
        ntp: ntp(0),
        rtp_timestamp: u32::MAX - 9600,
    };
    arrivals.push((
        Duration::from_millis(8),
        Input::SenderReport(Track::Audio, report),
    ));
    arrivals
}

/// The packets of pictures that were never recorded, one NAL unit each, 33 ms apart.
pub(crate) fn packets(units: &[&[&[u8]]]) -> Vec<(Duration, Input)> {
    let mut sequence = 0;
    let mut packets = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        for (place, nal) in unit.iter().enumerate() {
            let packet = RtpPacket {
                sequence,
                timestamp: index * 3000,
                marker: place + 1 == unit.len(),
                payload: Bytes::copy_from_slice(nal),
            };
            packets.push((Duration::from_millis(33) * index, packet));
            sequence += 1;
        }
    }
    video(packets)
}

pub(crate) fn parameter_sets() -> (Vec<u8>, Vec<u8>) {
    let first = encoded().swap_remove(0);
    let of = |kind: u8| first.iter().find(|nal| nal[0] & 0x1F == kind).unwrap().clone();
    (of(7), of(8))
}
