//! `spotstreamctl` and the D-Bus object on a private dbus-daemon that has the shipped policy. Needs root, because the
//! callers are three different users.
#![cfg(feature = "referees")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use futures_util::StreamExt;
use spotstream_core::units::Bitrate;
use spotstreamd::control::{Control, Refusal, Request, Status};
use spotstreamd::edge::dbus::{self, NAME, PATH};
use spotstreamd::edge::pins::{Fingerprint, Pin, Role};
use test_bus::{Accounts, Bus};
use tokio::sync::{mpsc, watch};
use zbus::{MatchRule, MessageStream, message};

const ROOT: u32 = 0;
const DAEMON: u32 = 61_001;
const MEMBER: u32 = 61_002;
const OUTSIDER: u32 = 61_003;

fn bus() -> Bus {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist/usr/share/dbus-1/system.d/org.spotstream.Daemon1.conf");
    let accounts = Accounts {
        users: &[("spotstream", DAEMON), ("member", MEMBER), ("outsider", OUTSIDER)],
        groups: &[("spotstream", DAEMON, "member")],
    };
    Bus::with_accounts(&policy, "", accounts)
}

/// `member` is in the daemon's group.
async fn run(bus: &Bus, user: u32, words: &[&str]) -> Output {
    bus.run_as(user, (user == MEMBER).then_some(DAEMON), words).await
}

async fn ctl(bus: &Bus, user: u32, arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = [env!("CARGO_BIN_EXE_spotstreamctl")];
    let output = run(bus, user, &[&program, arguments].concat()).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
fn live() -> Status {
    let mut status = Status::new("live", "", "the camera is live");
    status.screen = Some("mech_full".to_owned());
    status.stream_parameters.target_bitrate = Some(Bitrate::kbps(4000));
    status.statistics.frames_sent = 30;
    let pin = Pin {
        role: Role::Camera,
        name: "192.168.50.6".to_owned(),
        pinned: Some(Fingerprint::of(b"one")),
        refused: Some(Fingerprint::of(b"two")),
    };
    status.pins.push(pin);
    status
}

/// A run loop that does what it is asked, and knows one screen.
async fn obey(mut inbox: mpsc::Receiver<Request>) {
    while let Some(request) = inbox.recv().await {
        match request {
            Request::Start { reply } | Request::Stop { reply } => drop(reply.send(Ok(()))),
            Request::ListScreens { reply } => {
                drop(reply.send(Ok(vec!["mech".to_owned(), "mech_full".to_owned()])))
            }
            Request::SetScreen { name, reply } => {
                let sentence = "the camera has no such screen".to_owned();
                let refusal = Refusal {
                    kind: "no-such-screen",
                    sentence,
                    is_retryable: false,
                };
                drop(reply.send(if name == "mech" { Ok(()) } else { Err(refusal) }));
            }
            Request::SetCamera { change, reply } => drop(reply.send(Ok(change))),
            Request::AcceptPin { reply, .. } => drop(reply.send(Ok(1))),
        }
    }
}

/// Serves a bus, and waits until the name is there.
async fn serve(bus: &Bus) -> watch::Sender<Status> {
    let (control, publish, inbox) = Control::channel(live());
    tokio::spawn(obey(inbox));
    let watcher = bus.connect().await;
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .member("NameOwnerChanged")
        .arg(0, NAME)
        .build()
        .unwrap();
    let mut owners = MessageStream::for_match_rule(rule, &watcher, None).await.unwrap();
    tokio::spawn(dbus::serve(control, Some(bus.address().to_owned())));
    tokio::time::timeout(Duration::from_secs(10), owners.next())
        .await
        .expect("the name is taken");
    publish
}

#[tokio::test]
async fn everybody_may_read_the_status_and_only_root_and_the_group_may_steer() {
    let bus = bus();
    let _publish = serve(&bus).await;
    for user in [ROOT, MEMBER, OUTSIDER] {
        let (code, json, errors) = ctl(&bus, user, &["status", "--json"]).await;
        assert_eq!(code, Some(0), "{user}: {errors}");
        let status: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(status["state"], "live");
        assert_eq!(status["statistics"]["frames_sent"], 30);
        assert_eq!(status["stream_parameters"]["target_bitrate_bps"], 4_000_000);
        assert_eq!(status["pins"][0]["peer"], "camera");
    }
    for arguments in [
        &["start"][..],
        &["stop"],
        &["screen", "list"],
        &["screen", "set", "mech"],
        &["pin", "accept", "camera"],
        &["camera", "set", "--target-bitrate", "3M"],
    ] {
        for user in [ROOT, MEMBER] {
            let (code, _, errors) = ctl(&bus, user, arguments).await;
            assert_eq!(code, Some(0), "{user} {arguments:?}: {errors}");
        }
        let (code, _, errors) = ctl(&bus, OUTSIDER, arguments).await;
        assert_eq!(code, Some(4), "{arguments:?}: {errors}");
        assert!(errors.starts_with("not permitted"), "{errors}");
    }
}

#[tokio::test]
async fn only_root_and_the_daemon_s_user_may_take_the_name() {
    let bus = bus();
    let request = [
        "dbus-send",
        "--print-reply",
        "--system",
        "--dest=org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus.RequestName",
        &format!("string:{NAME}"),
        "uint32:0",
    ];
    for (user, may) in [(DAEMON, true), (ROOT, true), (MEMBER, false), (OUTSIDER, false)] {
        assert_eq!(run(&bus, user, &request).await.status.success(), may, "{user}");
    }
}

#[tokio::test]
async fn answers_and_refusals_reach_the_person() {
    let bus = bus();
    let _publish = serve(&bus).await;
    let (_, screens, _) = ctl(&bus, ROOT, &["screen", "list"]).await;
    assert_eq!(screens, "mech\nmech_full\n");
    let (code, _, errors) = ctl(&bus, ROOT, &["screen", "set", "nothing"]).await;
    assert_eq!(
        (code, errors.as_str()),
        (Some(1), "the camera has no such screen\n")
    );
    let (_, applied, _) = ctl(
        &bus,
        ROOT,
        &[
            "camera",
            "set",
            "--awb-mode",
            "shade",
            "--idr-interval",
            "60",
            "--json",
        ],
    )
    .await;
    let applied: serde_json::Value = serde_json::from_str(&applied).unwrap();
    assert_eq!(
        applied,
        serde_json::json!({"awb_mode": "shade", "idr_interval_frames": 60})
    );
    let (_, pins, _) = ctl(&bus, ROOT, &["pin", "list"]).await;
    assert!(pins.contains("spotstreamctl pin accept camera"), "{pins}");
    let (_, parameters, _) = ctl(&bus, OUTSIDER, &["camera", "get"]).await;
    assert_eq!(parameters, "target_bitrate_bps: 4000000\n");
}

#[tokio::test]
async fn without_a_daemon_or_a_bus_a_person_is_told_what_to_do() {
    let bus = bus();
    let (code, _, errors) = ctl(&bus, ROOT, &["status"]).await;
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("systemctl start spotstreamd"), "{errors}");
    let (code, _, errors) = ctl(&bus, ROOT, &["status", "--bus", "unix:path=/nonexistent"]).await;
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.starts_with("failed to reach the system bus"), "{errors}");
}

#[tokio::test]
async fn a_change_is_told_once_and_figures_once_a_second() {
    let bus = bus();
    let publish = serve(&bus).await;
    let listener = bus.connect().await;
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .path(PATH)
        .build()
        .unwrap();
    let mut signals = MessageStream::for_match_rule(rule, &listener, None)
        .await
        .unwrap();
    let start = tokio::time::Instant::now();
    for frames in 31..=50 {
        publish.send_modify(|status| status.statistics.frames_sent = frames);
        tokio::task::yield_now().await;
    }
    publish.send_modify(|status| status.state = "degraded");
    let (mut figures, mut states) = (Vec::new(), Vec::new());
    while figures.last() != Some(&50) || states.is_empty() {
        let signal = tokio::time::timeout(Duration::from_secs(10), signals.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let body = signal.body();
        let (_, changed, _): (
            String,
            std::collections::HashMap<String, zbus::OwnedVariant>,
            Vec<String>,
        ) = body.deserialize().unwrap();
        for (name, value) in changed {
            match name.as_str() {
                "State" => states.push(String::try_from(value).unwrap()),
                "Statistics" => {
                    let mut all: std::collections::HashMap<String, zbus::OwnedVariant> =
                        value.try_into().unwrap();
                    figures.push(u64::try_from(all.remove("frames_sent").unwrap()).unwrap());
                }
                other => panic!("{other} has not changed"),
            }
        }
    }
    assert_eq!(states, ["degraded"]);
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!(figures.len() <= seconds + 1, "{figures:?} in {seconds} s");
}

#[tokio::test]
async fn a_bus_that_is_absent_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (control, publish, _inbox) = Control::channel(live());
    let serving = tokio::spawn(dbus::serve(
        control,
        Some(format!("unix:path={}/none", folder.path().display())),
    ));
    tokio::task::yield_now().await;
    assert!(!serving.is_finished(), "no bus is no reason to end");
    drop(publish);
    tokio::time::timeout(Duration::from_secs(4), serving)
        .await
        .expect("the run loop has gone")
        .unwrap();
}

#[tokio::test]
async fn settings_are_checked_without_a_bus() {
    let bus = bus();
    let file = bus.folder().join("spotstream.toml");
    std::fs::write(&file, "[stream]\nkey = \"live_1_planted\"\naudio = \"loud\"\n").unwrap();
    let (code, text, errors) = ctl(&bus, ROOT, &["check-config", file.to_str().unwrap()]).await;
    assert_eq!((code, text.as_str()), (Some(5), ""));
    assert!(
        errors.contains("spotstream.toml:3: stream.audio: the value must be one of"),
        "{errors}"
    );
    assert!(!errors.contains("planted"));
}

#[tokio::test]
async fn settings_are_checked_for_every_program_at_once() {
    let bus = bus();
    let file = bus.folder().join("spotstream.toml");
    let text = "[wifi]\nssid = \"Lab\"\npassphrase = \"planted\"\n[stream]\nkey = \"live_1_planted\"\naudio = \"loud\"\nbandwidth_test = yes\n\
                [network]\nlayout = \"rare\"\n[zzz]\n";
    std::fs::write(&file, text).unwrap();
    let (code, _, errors) = ctl(&bus, ROOT, &["check-config", file.to_str().unwrap()]).await;
    assert_eq!(code, Some(5));
    let lines: Vec<_> = errors
        .lines()
        .filter_map(|line| line.split_once("spotstream.toml:"))
        .filter_map(|(_, rest)| rest.split(": ").next())
        .collect();
    assert_eq!(lines, ["3", "6", "7", "9", "10"], "{errors}");
    assert!(!errors.contains("planted"));

    std::fs::write(
        &file,
        "[stream]\nkey = \"live_1_planted\"\n[wifi]\nssid = \"Lab\"\n",
    )
    .unwrap();
    let (code, said, _) = ctl(&bus, ROOT, &["check-config", file.to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "stream.key = (set)",
        "wifi.ssid = \"Lab\"",
        "without a passphrase it is taken for an open network",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert_eq!(said.matches("robot.hosts = ").count(), 1, "{said}");
}
