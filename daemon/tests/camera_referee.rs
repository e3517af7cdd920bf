//! The camera session against aiortc, a WebRTC stack that shares nothing with ours.
#![cfg(feature = "referees")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is surprised has failed"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use spotstream_core::rtp::{RtpPacket, Track};
use spotstream_core::secret::Secret;
use spotstream_core::session::health::carries_idr;
use spotstream_core::units::Bitrate;
use spotstreamd::edge::camera::{self, Bind, Camera, Connected, Error, Event, Plan};
use spotstreamd::edge::pins::PinStore;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// The Python that has aiortc.
const PYTHON: &str = "SPOTSTREAM_REFEREE_PYTHON";

/// The camera's process; it ends with this value.
struct Referee {
    process: Child,
    stdin: Option<ChildStdin>,
    log: Arc<Mutex<Vec<Value>>>,
    port: u16,
}

impl Referee {
    fn start(arguments: &[&str]) -> Self {
        let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/referees/aiortc_camera.py");
        let mut process = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python with aiortc");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let first = lines
            .next()
            .expect("the camera says where it listens")
            .expect("text");
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let port = u16::try_from(first["port"].as_u64().expect("a port")).expect("16 bits");
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock()
                    .expect("no panic")
                    .push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        let stdin = process.stdin.take();
        Self {
            process,
            stdin,
            log,
            port,
        }
    }

    fn heard(&self, kind: &str) -> Vec<Value> {
        let log = self.log.lock().expect("no panic");
        log.iter()
            .filter(|entry| entry["kind"] == kind)
            .cloned()
            .collect()
    }

    fn answer(&self) -> String {
        let log = self.log.lock().expect("no panic");
        let answered = log
            .iter()
            .find(|entry| entry["event"] == "answered")
            .expect("an answer");
        answered["sdp"].as_str().expect("text").to_owned()
    }
}

impl Drop for Referee {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Session {
    camera: Camera,
    events: mpsc::Receiver<Event>,
    _folder: tempfile::TempDir,
}

/// What came in some time.
#[derive(Default)]
struct Take {
    packets: BTreeMap<Track, Vec<RtpPacket>>,
    reports: BTreeMap<Track, usize>,
}

impl Session {
    fn start(port: u16, token: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (sender, events) = mpsc::channel(64);
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let plan = Plan {
            hosts: vec![nobody.into(), SocketAddr::from(([127, 0, 0, 1], port)).into()],
            token: Secret::new(token),
            bind: Bind {
                interface: Some("lo".to_owned()),
                address: None,
            },
            ceiling: Bitrate::kbps(2500),
            offer_log: Some(folder.path().join("offer.sdp")),
        };
        let pins = Arc::new(PinStore::new(folder.path().join("pins.toml")));
        Self {
            camera: camera::start(plan, pins, sender),
            events,
            _folder: folder,
        }
    }

    async fn connected(&mut self) -> Connected {
        match timeout(Duration::from_secs(15), self.events.recv())
            .await
            .expect("in time")
        {
            Some(Event::Connected(connected)) => connected,
            other => panic!("{other:?}"),
        }
    }

    async fn record(&mut self, span: Duration) -> Take {
        let end = Instant::now() + span;
        let mut take = Take::default();
        while let Ok(event) = timeout_at(end, self.events.recv()).await {
            match event.expect("the session goes on") {
                Event::Rtp(track, packet) => take.packets.entry(track).or_default().push(packet),
                Event::SenderReport(track, _) => *take.reports.entry(track).or_default() += 1,
                other => panic!("{other:?}"),
            }
        }
        take
    }
}

impl Take {
    fn of(&self, track: Track) -> &[RtpPacket] {
        self.packets.get(&track).map_or(&[], Vec::as_slice)
    }

    fn idr_at(&self) -> Vec<usize> {
        let carries = |(index, packet): (usize, &RtpPacket)| carries_idr(&packet.payload).then_some(index);
        self.of(Track::Video)
            .iter()
            .enumerate()
            .filter_map(carries)
            .collect()
    }

    /// Sequence numbers between the first and the last that never came.
    fn missing(&self, track: Track) -> usize {
        let packets = self.of(track);
        let Some(first) = packets.first() else { return 0 };
        let offsets: Vec<i32> = packets
            .iter()
            .map(|packet| i32::from(packet.sequence.wrapping_sub(first.sequence).cast_signed()))
            .collect();
        let span = offsets.iter().max().expect("one") - offsets.iter().min().expect("one") + 1;
        let mut distinct = offsets;
        distinct.sort_unstable();
        distinct.dedup();
        usize::try_from(span).expect("positive") - distinct.len()
    }
}

async fn seen(arguments: &[&str], span: Duration) -> (Referee, Connected, Take) {
    let referee = Referee::start(arguments);
    let mut session = Session::start(referee.port, "referee");
    let connected = session.connected().await;
    let take = session.record(span).await;
    session.camera.close().await;
    assert!(
        take.of(Track::Video).len() > 100,
        "{} video packets",
        take.of(Track::Video).len()
    );
    (referee, connected, take)
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_reports_and_feedback_pass_between_camera_and_daemon() {
    let referee = Referee::start(&[]);
    let mut session = Session::start(referee.port, "referee");
    let connected = session.connected().await;
    assert_eq!(
        connected.host.address().port(),
        referee.port,
        "the second host of the list"
    );

    let first = session.record(Duration::from_secs(4)).await;
    assert!(!first.idr_at().is_empty(), "a key frame at the start");
    assert!(
        first.of(Track::Audio).len() > 100,
        "{}",
        first.of(Track::Audio).len()
    );
    assert_eq!((first.missing(Track::Video), first.missing(Track::Audio)), (0, 0));
    assert!(first.reports.get(&Track::Video) >= Some(&2) && first.reports.get(&Track::Audio) >= Some(&2));
    let estimates = referee.heard("remb");
    assert!((3..=5).contains(&estimates.len()), "{estimates:?}");
    assert!(estimates.iter().all(|remb| remb["mine"] == true), "{estimates:?}");
    let bitrate = estimates[0]["bitrate"].as_f64().expect("a number");
    assert!((2_400_000.0..=2_500_000.0).contains(&bitrate), "{bitrate}");
    assert!(referee.heard("rr").len() >= 2);

    let quiet = session.record(Duration::from_secs(1)).await;
    assert!(quiet.idr_at().is_empty(), "no key frame while none is asked for");
    let before = referee.heard("pli").len();
    session.camera.request_key_frame();
    let asked = session.record(Duration::from_secs(1)).await;
    assert!(!asked.idr_at().is_empty(), "a key frame when one is asked for");
    assert_eq!(referee.heard("pli").len(), before + 1, "asked once");
    assert!(referee.heard("pli").iter().all(|pli| pli["mine"] == true));

    let answer = referee.answer();
    for wanted in [
        "a=setup:active",
        "goog-remb",
        "nack pli",
        "a=recvonly",
        "a=end-of-candidates",
    ] {
        assert!(answer.contains(wanted), "{wanted} in {answer}");
    }
    let candidates: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .collect();
    assert!(
        !candidates.is_empty() && candidates.iter().all(|line| line.contains(" 127.0.0.1 ")),
        "{candidates:?}"
    );
    let saved = std::fs::read_to_string(session._folder.path().join("offer.sdp")).expect("the saved offer");
    assert!(
        saved.contains("H264/90000") && saved.contains("a=ice-pwd:<cut>"),
        "{saved}"
    );
    session.camera.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_come_back() {
    for arguments in [&["--loss", "0.05"][..], &["--loss", "0.05", "--rtx"]] {
        let (referee, _, take) = seen(arguments, Duration::from_secs(5)).await;
        assert!(
            referee.heard("nack").len() > 5,
            "{arguments:?}: {} requests",
            referee.heard("nack").len()
        );
        // What was lost in the last moment had no time to come back.
        assert!(
            take.missing(Track::Video) <= 2,
            "{arguments:?}: {} missing",
            take.missing(Track::Video)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_offers_are_answered_too() {
    let cases: &[(&str, &[&str])] = &[
        ("sendrecv", &["--direction", "sendrecv"]),
        ("no audio", &["--audio", ""]),
        ("G.711", &["--audio", "pcmu"]),
        ("no declared SSRC", &["--cut", "a=ssrc"]),
        (
            "no declared SSRC and no extension that names the section",
            &["--cut", "a=ssrc", "--cut", "a=extmap"],
        ),
        ("ICE lite", &["--replace", "t=0 0", r"t=0 0\r\na=ice-lite"]),
        ("two videos", &["--videos", "2"]),
        ("no format parameters", &["--fmtp", ""]),
        (
            "packetization mode left out",
            &["--fmtp", "profile-level-id=42e01f"],
        ),
        (
            "main profile",
            &["--fmtp", "profile-level-id=4d001f;packetization-mode=1"],
        ),
        (
            "high profile",
            &["--fmtp", "packetization-mode=0;profile-level-id=640028"],
        ),
        (
            "camera opens DTLS",
            &["--replace", "a=setup:actpass", "a=setup:active"],
        ),
        (
            "candidates that are of no use",
            &[
                "--replace",
                "a=end-of-candidates",
                r"a=candidate:9 1 udp 1 8a9.local 9 typ host\r\na=candidate:8 1 tcp 1 127.0.0.1 9 typ host tcptype active\r\na=candidate:7 1 udp 1 fd00::6 9 typ host\r\na=end-of-candidates",
            ],
        ),
    ];
    for (name, arguments) in cases {
        println!("{name}");
        let (_, connected, take) = seen(arguments, Duration::from_secs(2)).await;
        assert!(!take.idr_at().is_empty(), "{name}: a key frame");
        assert_eq!(take.missing(Track::Video), 0, "{name}");
        assert_eq!(
            connected.offer.audio.is_some(),
            !take.of(Track::Audio).is_empty(),
            "{name}: audio"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_apart() {
    let referee = Referee::start(&[]);
    let mut session = Session::start(referee.port, "wrong");
    match session.events.recv().await {
        Some(Event::Closed(error @ Error::Signalling(_))) => assert_eq!(error.kind(), "unauthorized"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_events_nobody_reads_can_be_closed() {
    let referee = Referee::start(&[]);
    let mut session = Session::start(referee.port, "referee");
    session.connected().await;
    // Long enough for the channel of 64 events to be full.
    while session.events.len() < session.events.max_capacity() {
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(5), session.camera.close())
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_leaves_ends_the_session() {
    let mut referee = Referee::start(&[]);
    let mut session = Session::start(referee.port, "referee");
    session.connected().await;
    session.record(Duration::from_secs(1)).await;
    drop(referee.stdin.take());
    let start = Instant::now();
    loop {
        match timeout(Duration::from_secs(12), session.events.recv())
            .await
            .expect("in time")
        {
            Some(Event::Closed(error)) => {
                assert_eq!(error.kind(), "camera-ended");
                assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
                break;
            }
            Some(_) => {}
            None => panic!("no reason"),
        }
    }
}
