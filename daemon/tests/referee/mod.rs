//! What the tests against other people's programs share: a real elementary stream, processes that do not outlive
//! their test, and packets as ffprobe sees them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is surprised has failed"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::ClientConfig;
use sha2::{Digest, Sha256};
use spotstream_core::ingest::directory::Target;
use spotstream_core::ingest::flv::{AudioDescription, Description};
use spotstream_core::media::Frame;
use spotstream_core::media::h264::DecoderConfiguration;
use spotstream_core::secret::Secret;
use spotstream_core::units::{Bitrate, FrameRate, MediaTime};
use spotstreamd::edge::ingest::{Event, Ingest, Plan, start};
use spotstreamd::edge::tls;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything may take before the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A process that ends with its test.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits until somebody listens on `port`, without connecting: `ffmpeg -listen` takes one connection in its life.
pub(crate) fn wait_until_listening(port: u16) {
    let end = Instant::now() + LIMIT;
    let wanted = format!("0100007F:{port:04X} 00000000:0000 0A");
    while !std::fs::read_to_string("/proc/net/tcp")
        .unwrap()
        .contains(&wanted)
    {
        assert!(Instant::now() < end, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn target(port: u16, app: &str, key: &str) -> Target {
    Target::parse(&format!("rtmp://127.0.0.1:{port}/{app}"), &Secret::new(key)).unwrap()
}

pub(crate) fn publish(target: Target) -> (Ingest, mpsc::Receiver<Event>) {
    publish_trusting(target, tls::public(None).unwrap())
}

pub(crate) fn publish_trusting(target: Target, tls: ClientConfig) -> (Ingest, mpsc::Receiver<Event>) {
    let (events, receiver) = mpsc::channel(64);
    let description = Description {
        frame_rate: Some(FrameRate::millihertz(30_000)),
        video_bitrate: Some(Bitrate::kbps(6000)),
        audio: Some(AudioDescription {
            sample_rate_hz: 48_000,
            channels: 2,
            bitrate: Bitrate::kbps(128),
        }),
    };
    let plan = Plan {
        tls: Arc::new(tls),
        interface: None,
        description,
    };
    (start(vec![target], plan, events), receiver)
}

/// The next event that is not statistics.
pub(crate) async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    loop {
        match timeout(LIMIT, events.recv()).await.unwrap().unwrap() {
            Event::Statistics(_) => {}
            event => return event,
        }
    }
}

pub(crate) async fn wait_until_publishing(events: &mut mpsc::Receiver<Event>) {
    match next(events).await {
        Event::Publishing { .. } => {}
        other => panic!("{other:?}"),
    }
}

/// Sends frames at the speed of their own clock.
pub(crate) async fn send_in_real_time(ingest: &Ingest, frames: &[Frame]) {
    let start = tokio::time::Instant::now();
    for frame in frames {
        tokio::time::sleep_until(start + frame.at().since(MediaTime::ZERO)).await;
        ingest.send(frame.clone()).unwrap();
    }
}

/// Four seconds of moving picture and tone, encoded now: H.264 baseline at 30 fps with an IDR a second, AAC at 48 kHz.
pub(crate) fn frames(directory: &Path) -> Vec<Frame> {
    let (video, audio) = (directory.join("in.h264"), directory.join("in.aac"));
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-t",
            "4",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1280x720:rate=30",
        ])
        .args([
            "-t",
            "4",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
        ])
        .args([
            "-map",
            "0:v",
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-tune",
            "zerolatency",
            "-preset",
        ])
        .args([
            "ultrafast",
            "-b:v",
            "6M",
            "-g",
            "30",
            "-pix_fmt",
            "yuv420p",
            "-x264-params",
            "aud=1",
            "-f",
            "h264",
        ])
        .arg(&video)
        .args([
            "-map", "1:a", "-c:a", "aac", "-ac", "2", "-b:a", "128k", "-f", "adts",
        ])
        .arg(&audio)
        .status()
        .unwrap();
    assert!(status.success());

    let mut frames = video_frames(&std::fs::read(video).unwrap());
    frames.extend(audio_frames(&std::fs::read(audio).unwrap()));
    // A stable sort keeps each header before its first frame.
    frames.sort_by_key(Frame::at);
    frames
}

fn video_frames(annex_b: &[u8]) -> Vec<Frame> {
    let nals = nals(annex_b);
    let of_type = |wanted| nals.iter().find(|nal| nal[0] & 0x1f == wanted).unwrap().clone();
    let configuration = DecoderConfiguration {
        sps: of_type(7),
        pps: vec![of_type(8)],
        width: 1280,
        height: 720,
        high: None,
    };
    let header = Frame::VideoHeader {
        at: MediaTime::ZERO,
        configuration,
    };
    let units = nals
        .split(|nal| nal[0] & 0x1f == 9)
        .filter(|unit| !unit.is_empty())
        .enumerate();
    let pictures = units.map(|(index, unit)| Frame::Video {
        at: MediaTime::millis((index as u64 * 1000 + 15) / 30),
        composition_offset_ms: 0,
        idr: unit.iter().any(|nal| nal[0] & 0x1f == 5),
        nals: unit.to_vec(),
    });
    std::iter::once(header).chain(pictures).collect()
}

/// Cuts an Annex B byte stream (ISO 14496-10 annex B) at its start codes.
fn nals(annex_b: &[u8]) -> Vec<Bytes> {
    let starts: Vec<_> = (0..annex_b.len() - 2)
        .filter(|&at| annex_b[at..at + 3] == [0, 0, 1])
        .collect();
    let ends = starts.iter().skip(1).copied().chain([annex_b.len()]);
    let cut = |(start, end): (&usize, usize)| {
        let nal = &annex_b[start + 3..end];
        // A NAL unit never ends with a zero byte; the fourth byte of the next start code does.
        let length = nal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        Bytes::copy_from_slice(&nal[..length])
    };
    starts.iter().zip(ends).map(cut).collect()
}

fn audio_frames(mut adts: &[u8]) -> Vec<Frame> {
    let configuration = Bytes::from_static(&[0x11, 0x90]);
    let mut frames = vec![Frame::AudioHeader {
        at: MediaTime::ZERO,
        configuration,
    }];
    while !adts.is_empty() {
        let length = usize::from(adts[3] & 3) << 11 | usize::from(adts[4]) << 3 | usize::from(adts[5]) >> 5;
        let samples = (frames.len() as u64 - 1) * 1024;
        frames.push(Frame::Audio {
            at: MediaTime::millis((samples * 1000 + 24_000) / 48_000),
            payload: Bytes::copy_from_slice(&adts[7..length]),
        });
        adts = &adts[length..];
    }
    frames
}

/// A packet: stream (`video` or `audio`), DTS in milliseconds, SHA-256 of its data.
pub(crate) type Packet = (String, i64, String);

/// The packets of a file as ffprobe sees them, in the order of each stream.
pub(crate) fn packets(file: &Path) -> Vec<Packet> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_packets",
            "-show_data_hash",
            "SHA256",
            "-show_entries",
        ])
        .args(["packet=codec_type,dts_time,data_hash", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let packet = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        let milliseconds = (fields[1].parse::<f64>().unwrap() * 1000.0).round() as i64;
        (
            fields[0].to_owned(),
            milliseconds,
            fields[2].trim_start_matches("SHA256:").to_owned(),
        )
    };
    let mut packets: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(packet)
        .collect();
    packets.sort_by(|a, b| a.0.cmp(&b.0));
    packets
}

/// The packets that should arrive for these frames.
pub(crate) fn expected(frames: &[Frame]) -> Vec<Packet> {
    let mut packets = Vec::new();
    for frame in frames {
        let (stream, data) = match frame {
            Frame::Video { nals, .. } => {
                let with_length = |nal: &Bytes| [&(nal.len() as u32).to_be_bytes()[..], &nal[..]].concat();
                ("video", nals.iter().flat_map(with_length).collect::<Vec<u8>>())
            }
            Frame::Audio { payload, .. } => ("audio", payload.to_vec()),
            Frame::VideoHeader { .. } | Frame::AudioHeader { .. } => continue,
        };
        packets.push((stream.to_owned(), frame.at().as_millis() as i64, hash(&data)));
    }
    packets.sort_by(|a, b| a.0.cmp(&b.0));
    packets
}

fn hash(data: &[u8]) -> String {
    Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Compares packets, and shows the first that differs rather than all of them.
pub(crate) fn assert_same(found: &[Packet], expected: &[Packet]) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "packet {index}");
    }
    assert_eq!(found.len(), expected.len(), "packets after {:?}", found.last());
}

/// Decodes everything and fails on the first complaint.
pub(crate) fn assert_decodes(file: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-err_detect", "explode", "-i"])
        .arg(file)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
