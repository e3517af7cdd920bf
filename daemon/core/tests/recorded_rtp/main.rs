//! A recorded camera through the whole media stage, over every kind of network.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails may panic"
)]

mod camera;
mod played;

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use spotstream_core::media::Frame;
use spotstream_core::media::audio::{AacStream, Codec, Source};
use spotstream_core::media::gate::AfterLoss;
use spotstream_core::media::transmux::{Input, Output, Settings};
use spotstream_core::rtp::{RtpPacket, Track};
use spotstream_core::units::FrameRate;

use camera::{encoded, packets, parameter_sets, recording, video, with_sound};
use played::play;

fn silent() -> Settings {
    Settings::new(Source::Silent)
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
