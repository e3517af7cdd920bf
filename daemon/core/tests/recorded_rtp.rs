//! A recorded camera through the whole media stage, over every kind of network.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails may panic"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use spotstream_core::media::Frame;
use spotstream_core::media::audio::{AacStream, Codec, Source};
use spotstream_core::media::gate::AfterLoss;
use spotstream_core::media::transmux::{Input, Output, Settings, Transmuxer};
use spotstream_core::rtp::{RtpPacket, SenderReport, Track};
use spotstream_core::units::FrameRate;

const RECORDING: &[u8] = include_bytes!("data/plate.rtp");
const ENCODED: &[u8] = include_bytes!("data/plate.h264");

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other constructor; tests only add to it"
)]
fn epoch() -> Instant {
    Instant::now()
}

/// The packets, each with when it was sent.
fn recording() -> Vec<(Duration, RtpPacket)> {
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
fn encoded() -> Vec<Vec<Vec<u8>>> {
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

struct Played {
    outputs: Vec<(Instant, Output)>,
    machine: Transmuxer,
}

impl Played {
    fn frames(&self) -> Vec<Frame> {
        let frame = |output: &Output| {
            if let Output::Frame(frame) = output {
                Some(frame.clone())
            } else {
                None
            }
        };
        self.outputs
            .iter()
            .filter_map(|(_, output)| frame(output))
            .collect()
    }

    /// Index of each published picture in the recording, with its time and whether it is an IDR picture.
    fn pictures(&self, units: &[Vec<Vec<u8>>]) -> Vec<(usize, u64, bool)> {
        let mut pictures = Vec::new();
        let mut search = 0;
        for frame in self.frames() {
            let Frame::Video {
                at,
                idr,
                nals,
                composition_offset_ms,
            } = frame
            else {
                continue;
            };
            assert_eq!(composition_offset_ms, 0);
            let found = units.iter().skip(search).position(|unit| *unit == nals);
            let index =
                search + found.expect("a published picture is byte for byte one of the encoder's, in order");
            search = index + 1;
            pictures.push((index, at.as_millis(), idr));
        }
        pictures
    }
}

/// Plays arrivals in virtual time, honouring every deadline.
fn play(settings: Settings, mut arrivals: Vec<(Duration, Input)>) -> Played {
    let start = epoch();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut machine = Transmuxer::new(settings);
    let mut outputs = Vec::new();
    let end = arrivals.last().map_or(Duration::ZERO, |(at, _)| *at) + Duration::from_secs(1);
    let mut feed = |machine: &mut Transmuxer, now: Instant, input: Input| {
        machine.handle(now, input);
        let mut samples = 0;
        while let Some(output) = machine.poll() {
            if let Output::Audio(step) = &output {
                samples += step.samples();
            }
            outputs.push((now, output));
        }
        samples
    };
    let mut backlog = 0;
    for (at, input) in arrivals
        .into_iter()
        .map(|(at, input)| (at, Some(input)))
        .chain([(end, None)])
    {
        let now = start + at;
        while let Some((deadline, _)) = machine.deadline().filter(|(deadline, _)| *deadline < now) {
            backlog += feed(&mut machine, deadline, Input::Tick);
        }
        backlog += feed(&mut machine, now, input.unwrap_or(Input::Tick));
        // A transcoder: one frame for every 1024 samples.
        while backlog >= 1024 {
            backlog -= 1024;
            backlog += feed(&mut machine, now, Input::Aac(vec![Bytes::from_static(b"aac")]));
        }
    }
    Played { outputs, machine }
}

fn silent() -> Settings {
    Settings::new(Source::Silent)
}

fn video(packets: Vec<(Duration, RtpPacket)>) -> Vec<(Duration, Input)> {
    packets
        .into_iter()
        .map(|(at, packet)| (at, Input::Rtp(Track::Video, packet)))
        .collect()
}

#[test]
fn a_network_that_loses_nothing_delivers_every_picture_bit_for_bit_at_once() {
    let units = encoded();
    let played = play(silent(), video(recording()));
    let pictures = played.pictures(&units);
    assert_eq!(pictures.len(), 90);
    for (index, at, idr) in &pictures {
        assert_eq!(*at, (*index as u64 * 1000 + 15) / 30, "picture {index}");
        assert_eq!(*idr, index % 30 == 0);
    }
    let start = played.outputs[0].0;
    for (now, output) in &played.outputs {
        if let Output::Frame(frame @ Frame::Video { .. }) = output {
            let late = now
                .duration_since(start)
                .as_micros()
                .abs_diff(u128::from(frame.at().as_millis()) * 1000);
            assert!(late <= 1000, "{late} us: no picture waits");
        }
    }
    let rate = played.outputs.iter().find_map(|(_, output)| match output {
        Output::Picture(picture) if picture.frame_rate.is_some() => Some(*picture),
        Output::Picture(_)
        | Output::Audio(_)
        | Output::Frame(_)
        | Output::KeyFrameNeeded(_)
        | Output::SizeChanged { .. }
        | Output::Unsupported(_) => None,
    });
    let picture = rate.unwrap();
    assert_eq!((picture.width, picture.height), (320, 180));
    assert_eq!(picture.frame_rate, Some(FrameRate::millihertz(30_000)));
    let statistics = played.machine.statistics();
    assert_eq!(
        (
            statistics.access_units,
            statistics.idrs,
            statistics.dropped,
            statistics.losses
        ),
        (90, 3, 0, 0)
    );
    assert_eq!(statistics.idr_interval, Some(Duration::from_secs(1)));
}

#[test]
fn a_publication_begins_with_both_headers_and_an_idr_picture() {
    let frames = play(silent(), video(recording())).frames();
    assert!(matches!(&frames[0], Frame::VideoHeader { configuration, .. }
        if (configuration.width, configuration.height) == (320, 180) && configuration.pps.len() == 1));
    assert!(matches!(frames[1], Frame::AudioHeader { .. }));
    let first = frames
        .iter()
        .find(|frame| matches!(frame, Frame::Video { .. }))
        .unwrap();
    assert!(matches!(first, Frame::Video { idr: true, .. }) && first.at().as_millis() == 0);
    let headers = frames
        .iter()
        .filter(|frame| matches!(frame, Frame::VideoHeader { .. }))
        .count();
    assert_eq!(headers, 1, "the same parameter sets again are no news");
}

#[test]
fn a_lost_packet_freezes_the_picture_until_the_next_idr_and_asks_for_one() {
    let units = encoded();
    let mut packets = recording();
    let lost = packets
        .iter()
        .position(|(sent, _)| *sent >= Duration::from_millis(500))
        .unwrap()
        + 1;
    packets.remove(lost);
    let played = play(silent(), video(packets.clone()));
    let indices: Vec<usize> = played.pictures(&units).iter().map(|picture| picture.0).collect();
    let expected: Vec<usize> = (0..15).chain(30..90).collect();
    assert_eq!(indices, expected);
    assert!(
        played
            .outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::KeyFrameNeeded(_)))
    );

    let settings = Settings {
        after_loss: AfterLoss::PassThrough,
        ..silent()
    };
    let played = play(settings, video(packets));
    let indices: Vec<usize> = played.pictures(&units).iter().map(|picture| picture.0).collect();
    assert!(indices.len() >= 88 && !indices.contains(&15), "{indices:?}");
}

#[test]
fn a_restart_begins_a_new_publication_at_zero_with_the_next_idr() {
    let mut arrivals = video(recording());
    arrivals.push((Duration::from_millis(1200), Input::Restart));
    let frames = play(silent(), arrivals).frames();
    let headers: Vec<usize> = (0..frames.len())
        .filter(|n| matches!(frames[*n], Frame::VideoHeader { .. }))
        .collect();
    assert_eq!(headers.len(), 2);
    let second = &frames[headers[1]..];
    assert!(matches!(second[1], Frame::AudioHeader { .. }));
    let pictures: Vec<&Frame> = second
        .iter()
        .filter(|frame| matches!(frame, Frame::Video { .. }))
        .collect();
    assert_eq!((pictures.len(), pictures[0].at().as_millis()), (30, 0));

    let mut arrivals = with_sound(video(recording()), |_| true);
    arrivals.push((Duration::from_millis(1200), Input::Restart));
    let frames = play(opus(), arrivals).frames();
    let second = frames
        .iter()
        .rposition(|frame| matches!(frame, Frame::VideoHeader { .. }))
        .unwrap();
    let times = audio_times(&frames[second..]);
    assert!(second > 0 && times[0] <= 22, "{times:?}");
    assert!((900..1000).contains(times.last().unwrap()), "{times:?}");
}

fn with_sound(mut arrivals: Vec<(Duration, Input)>, keep: impl Fn(u32) -> bool) -> Vec<(Duration, Input)> {
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

fn opus() -> Settings {
    let aac = AacStream {
        configuration: Bytes::from_static(&[0x11, 0x90]),
        priming_samples: 1024,
    };
    Settings::new(Source::Camera {
        codec: Codec::Opus { channels: 2 },
        aac,
    })
}

fn audio_times(frames: &[Frame]) -> Vec<u64> {
    let at = |frame: &Frame| matches!(frame, Frame::Audio { .. }).then(|| frame.at().as_millis());
    frames.iter().filter_map(at).collect()
}

#[test]
fn sound_keeps_its_own_sample_count_and_is_merged_by_decoding_time() {
    let played = play(opus(), with_sound(video(recording()), |_| true));
    let frames = played.frames();
    let times = audio_times(&frames);
    for pair in times.windows(2) {
        assert!((21..=22).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
    assert!(times[0] <= 22 && *times.last().unwrap() >= 2930, "{times:?}");
    let merged: Vec<u64> = frames.iter().map(|frame| frame.at().as_millis()).collect();
    // The last pictures come when the sound is over.
    assert!(merged[..merged.len() - 4].is_sorted(), "{merged:?}");
    assert_eq!(played.pictures(&encoded()).len(), 90);
}

#[test]
fn sound_that_stops_is_filled_and_the_pictures_go_on() {
    let played = play(opus(), with_sound(video(recording()), |packet| packet < 40));
    let times = audio_times(&played.frames());
    assert!(times.is_sorted() && *times.last().unwrap() >= 2900, "{times:?}");
    assert_eq!(played.pictures(&encoded()).len(), 90);
}

/// What the network does to one packet: lost, late by so many milliseconds, twice.
fn fate() -> impl Strategy<Value = (bool, u64, bool)> {
    (
        prop::bool::weighted(0.02),
        prop_oneof![8 => Just(0u64), 1 => 1..40u64, 1 => 40..400u64],
        prop::bool::weighted(0.05),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_network_does_published_pictures_are_whole_and_follow_a_loss_with_an_idr(
        fates in prop::collection::vec(fate(), 1000),
        sound in any::<bool>(),
    ) {
        let units = encoded();
        let mut arrivals = Vec::new();
        for ((sent, packet), (lost, late, twice)) in recording().into_iter().zip(fates) {
            if lost {
                continue;
            }
            arrivals.push((sent + Duration::from_millis(late), packet.clone()));
            if twice {
                arrivals.push((sent + Duration::from_millis(late + 3), packet));
            }
        }
        let arrivals = video(arrivals);
        let played = if sound {
            play(opus(), with_sound(arrivals, |packet| packet % 7 != 3))
        } else {
            play(silent(), arrivals)
        };
        let pictures = played.pictures(&units);
        let mut last: Option<(usize, u64)> = None;
        for (index, at, idr) in pictures {
            let follows = last.is_some_and(|(before, _)| index == before + 1);
            prop_assert!(idr || follows, "picture {} after {:?}", index, last);
            prop_assert!(last.is_none_or(|(_, before)| at > before));
            last = Some((index, at));
        }
        prop_assert!(audio_times(&played.frames()).is_sorted());
    }

    #[test]
    fn arbitrary_packets_never_panic_and_time_never_falls(
        packets in prop::collection::vec(
            (any::<bool>(), any::<u16>(), any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..24)),
            0..200,
        ),
        small in any::<bool>(),
    ) {
        let mut arrivals = Vec::new();
        for (n, (audio, sequence, timestamp, marker, payload)) in packets.into_iter().enumerate() {
            let n = u16::try_from(n).unwrap();
            // Half of the runs are close enough to a real sender to get behind the reorder buffer.
            let (sequence, timestamp) =
                if small { (n, u32::from(n) * 3000 + timestamp % 9000) } else { (sequence, timestamp) };
            let packet = RtpPacket { sequence, timestamp, marker, payload: payload.into() };
            let track = if audio { Track::Audio } else { Track::Video };
            arrivals.push((Duration::from_millis(u64::from(n) * 7), Input::Rtp(track, packet)));
        }
        let played = play(opus(), arrivals);
        prop_assert!(audio_times(&played.frames()).is_sorted());
    }
}

/// The packets of pictures that were never recorded, one NAL unit each, 33 ms apart.
fn packets(units: &[&[&[u8]]]) -> Vec<(Duration, Input)> {
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

fn parameter_sets() -> (Vec<u8>, Vec<u8>) {
    let first = encoded().swap_remove(0);
    let of = |kind: u8| first.iter().find(|nal| nal[0] & 0x1F == kind).unwrap().clone();
    (of(7), of(8))
}

#[test]
fn a_new_sequence_parameter_set_of_the_same_size_is_a_new_header_before_its_idr() {
    let (sps, pps) = parameter_sets();
    let mut other = sps.clone();
    other[3] += 1; // the level
    let (idr, p): (&[u8], &[u8]) = (&[0x65, 0x88, 0x84, 0x21], &[0x41, 0x9A, 0x21]);
    let played = play(
        silent(),
        packets(&[&[&sps, &pps, idr], &[p], &[&other, &pps, idr], &[p]]),
    );
    let frames = played.frames();
    let order: String = frames
        .iter()
        .map(|frame| match frame {
            Frame::VideoHeader { .. } => 'H',
            Frame::Video { idr: true, .. } => 'I',
            Frame::Video { .. } => 'p',
            Frame::AudioHeader { .. } | Frame::Audio { .. } => '.',
        })
        .filter(|letter| *letter != '.')
        .collect();
    assert_eq!(order, "HIpHIp");
}

#[test]
fn a_new_size_ends_the_publication_until_a_restart() {
    let (sps, pps) = parameter_sets();
    let mut wider = sps.clone();
    // Which bit it is does not matter: any other readable size will do.
    let changed = (4..sps.len()).any(|at| {
        (0..8).any(|bit| {
            wider.clone_from(&sps);
            wider[at] ^= 1 << bit;
            let arrivals = packets(&[
                &[&sps, &pps, &[0x65, 0x88, 0x84, 0x21]],
                &[&wider, &pps, &[0x65, 0x88, 0x84, 0x21]],
            ]);
            let size = |(_, output): &(Instant, Output)| {
                matches!(output, Output::SizeChanged { from: (320, 180), .. })
            };
            play(silent(), arrivals).outputs.iter().any(size)
        })
    });
    assert!(changed);
    let (idr, p): (&[u8], &[u8]) = (&[0x65, 0x88, 0x84, 0x21], &[0x41, 0x9A, 0x21]);
    let mut arrivals = packets(&[
        &[&sps, &pps, idr],
        &[&wider, &pps, idr],
        &[p],
        &[p],
        &[&wider, &pps, idr],
        &[p],
    ]);
    arrivals.push((Duration::from_millis(33 * 3 + 1), Input::Restart));
    let played = play(silent(), arrivals);
    let pictures: Vec<(u64, bool)> = played
        .frames()
        .iter()
        .filter_map(|frame| {
            if let Frame::Video { at, idr, .. } = frame {
                Some((at.as_millis(), *idr))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(pictures, [(0, true), (0, true), (33, false)]);
}

#[test]
fn sets_from_the_offer_serve_a_camera_that_never_sends_its_own() {
    let (sps, pps) = parameter_sets();
    let units: [&[&[u8]]; 3] = [
        &[&[0x09, 0x10], &[0x65, 0x88, 0x84, 0x21]],
        &[&[0x41, 0x9A, 0x21]],
        &[&[0x41, 0x9A, 0x21]],
    ];
    let played = play(silent(), packets(&units));
    assert!(played.frames().is_empty());
    let settings = Settings {
        parameter_sets: vec![sps.into(), pps.into()],
        ..silent()
    };
    let played = play(settings, packets(&units));
    assert_eq!(
        played
            .frames()
            .iter()
            .filter(|frame| matches!(frame, Frame::Video { .. }))
            .count(),
        3
    );
}

/// RFC 6184 packets for `nals`, cut at `mtu`, small ones put together.
fn packetize(nals: &[Vec<u8>], mtu: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut together: Vec<u8> = vec![0x78];
    for nal in nals {
        if nal.len() + 2 + together.len() <= mtu {
            together.extend_from_slice(&u16::try_from(nal.len()).unwrap().to_be_bytes());
            together.extend_from_slice(nal);
            continue;
        }
        if together.len() > 1 {
            payloads.push(std::mem::replace(&mut together, vec![0x78]));
        }
        if nal.len() <= mtu {
            payloads.push(nal.clone());
            continue;
        }
        let chunks: Vec<&[u8]> = nal[1..].chunks(mtu - 2).collect();
        for (place, chunk) in chunks.iter().enumerate() {
            let start = if place == 0 { 0x80 } else { 0 };
            let end = if place + 1 == chunks.len() { 0x40 } else { 0 };
            let mut payload = vec![nal[0] & 0xE0 | 28, nal[0] & 0x1F | start | end];
            payload.extend_from_slice(chunk);
            payloads.push(payload);
        }
    }
    if together.len() > 1 {
        payloads.push(together);
    }
    payloads
}

proptest! {
    #[test]
    fn what_was_packetized_comes_out_bit_for_bit(
        nals in prop::collection::vec((1u8..=23, prop::collection::vec(any::<u8>(), 1..400)), 1..12),
        mtu in 20usize..300,
    ) {
        let nals: Vec<Vec<u8>> =
            nals.into_iter().map(|(kind, rest)| [vec![0x60 | kind], rest].concat()).collect();
        let mut depacketizer = spotstream_core::media::h264::depacketizer::Depacketizer::default();
        let mut out = Vec::new();
        for payload in packetize(&nals, mtu) {
            depacketizer.push(payload.into(), &mut out).unwrap();
        }
        prop_assert_eq!(out, nals);
    }
}
