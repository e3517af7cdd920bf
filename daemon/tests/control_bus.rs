//! `spotstreamctl` and the D-Bus object on a private dbus-daemon that has the shipped policy. Needs root, because the
//! callers are three different users.
#![cfg(feature = "referees")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use spotstream_core::units::Bitrate;
use spotstreamd::control::{Control, Refusal, Request, Status};
use spotstreamd::edge::dbus::{self, NAME, PATH};
use spotstreamd::edge::pins::{Fingerprint, Pin, Role};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use zbus::{MatchRule, MessageStream, message};

const ROOT: u32 = 0;
const DAEMON: u32 = 61_001;
const MEMBER: u32 = 61_002;
const OUTSIDER: u32 = 61_003;

/// A dbus-daemon that knows the users above, in a mount namespace of its own.
struct Bus {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Bus {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let user = |name: &str, id: u32| format!("{name}:x:{id}:{id}::/:/bin/false\n");
        write(
            "passwd",
            &format!(
                "root:x:0:0::/:/bin/sh\n{}{}{}",
                user("spotstream", DAEMON),
                user("member", MEMBER),
                user("outsider", OUTSIDER)
            ),
        );
        write(
            "group",
            &format!("root:x:0:\nspotstream:x:{DAEMON}:member\nmember:x:{MEMBER}:\noutsider:x:{OUTSIDER}:\n"),
        );
        let policy = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("dist/usr/share/dbus-1/system.d/org.spotstream.Daemon1.conf");
        let socket = folder.path().join("bus");
        // The rules of Debian's system.conf: nobody may own or call anything unless a policy file allows it.
        write(
            "bus.conf",
            &format!(
                r#"<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
            <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
            <allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
            <allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
            <allow send_destination="org.freedesktop.DBus"/></policy><include>{}</include></busconfig>"#,
                socket.display(),
                policy.display()
            ),
        );
        let script = "mount --bind $0/passwd /etc/passwd && mount --bind $0/group /etc/group \
                      && exec dbus-daemon --nofork --nopidfile --config-file=$0/bus.conf --print-address=1";
        let mut process = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            process,
            address: address.trim().to_owned(),
            folder,
        }
    }

    async fn run(&self, user: u32, program: &str, arguments: &[&str]) -> Output {
        let groups = if user == MEMBER {
            format!("--groups={DAEMON}")
        } else {
            "--clear-groups".to_owned()
        };
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={user}"), format!("--regid={user}"), groups])
            .arg(program)
            .args(arguments);
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .current_dir(self.folder.path());
        tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap()
    }

    async fn ctl(&self, user: u32, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self
            .run(user, env!("CARGO_BIN_EXE_spotstreamctl"), arguments)
            .await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
    let watcher = zbus::connection::Builder::address(bus.address.as_str())
        .build()
        .await
        .unwrap();
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .member("NameOwnerChanged")
        .arg(0, NAME)
        .build()
        .unwrap();
    let mut owners = MessageStream::for_match_rule(rule, &watcher, None).await.unwrap();
    tokio::spawn(dbus::serve(control, Some(bus.address.clone())));
    tokio::time::timeout(Duration::from_secs(10), owners.next())
        .await
        .expect("the name is taken");
    publish
}

#[tokio::test]
async fn everybody_may_read_the_status_and_only_root_and_the_group_may_steer() {
    let bus = Bus::start();
    let _publish = serve(&bus).await;
    for user in [ROOT, MEMBER, OUTSIDER] {
        let (code, json, errors) = bus.ctl(user, &["status", "--json"]).await;
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
            let (code, _, errors) = bus.ctl(user, arguments).await;
            assert_eq!(code, Some(0), "{user} {arguments:?}: {errors}");
        }
        let (code, _, errors) = bus.ctl(OUTSIDER, arguments).await;
        assert_eq!(code, Some(4), "{arguments:?}: {errors}");
        assert!(errors.starts_with("not permitted"), "{errors}");
    }
}

#[tokio::test]
async fn only_root_and_the_daemon_s_user_may_take_the_name() {
    let bus = Bus::start();
    let request = [
        "--print-reply",
        "--system",
        "--dest=org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus.RequestName",
        &format!("string:{NAME}"),
        "uint32:0",
    ];
    for (user, may) in [(DAEMON, true), (ROOT, true), (MEMBER, false), (OUTSIDER, false)] {
        assert_eq!(
            bus.run(user, "dbus-send", &request).await.status.success(),
            may,
            "{user}"
        );
    }
}

#[tokio::test]
async fn answers_and_refusals_reach_the_person() {
    let bus = Bus::start();
    let _publish = serve(&bus).await;
    let (_, screens, _) = bus.ctl(ROOT, &["screen", "list"]).await;
    assert_eq!(screens, "mech\nmech_full\n");
    let (code, _, errors) = bus.ctl(ROOT, &["screen", "set", "nothing"]).await;
    assert_eq!(
        (code, errors.as_str()),
        (Some(1), "the camera has no such screen\n")
    );
    let (_, applied, _) = bus
        .ctl(
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
    let (_, pins, _) = bus.ctl(ROOT, &["pin", "list"]).await;
    assert!(pins.contains("spotstreamctl pin accept camera"), "{pins}");
    let (_, parameters, _) = bus.ctl(OUTSIDER, &["camera", "get"]).await;
    assert_eq!(parameters, "target_bitrate_bps: 4000000\n");
}

#[tokio::test]
async fn without_a_daemon_or_a_bus_a_person_is_told_what_to_do() {
    let bus = Bus::start();
    let (code, _, errors) = bus.ctl(ROOT, &["status"]).await;
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("systemctl start spotstreamd"), "{errors}");
    let (code, _, errors) = bus
        .ctl(ROOT, &["status", "--bus", "unix:path=/nonexistent"])
        .await;
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.starts_with("failed to reach the system bus"), "{errors}");
}

#[tokio::test]
async fn a_change_is_told_once_and_figures_once_a_second() {
    let bus = Bus::start();
    let publish = serve(&bus).await;
    let listener = zbus::connection::Builder::address(bus.address.as_str())
        .build()
        .await
        .unwrap();
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
    let bus = Bus::start();
    let file = bus.folder.path().join("spotstream.toml");
    std::fs::write(&file, "[stream]\nkey = \"live_1_planted\"\naudio = \"loud\"\n").unwrap();
    let (code, text, errors) = bus.ctl(ROOT, &["check-config", file.to_str().unwrap()]).await;
    assert_eq!((code, text.as_str()), (Some(5), ""));
    assert!(
        errors.contains("spotstream.toml:3: stream.audio: the value must be one of"),
        "{errors}"
    );
    assert!(!errors.contains("planted"));
}

#[tokio::test]
async fn settings_are_checked_for_every_program_at_once() {
    let bus = Bus::start();
    let file = bus.folder.path().join("spotstream.toml");
    let text = "[wifi]\nssid = \"Lab\"\npassphrase = \"planted\"\n[stream]\nkey = \"live_1_planted\"\naudio = \"loud\"\nbandwidth_test = yes\n\
                [network]\nlayout = \"rare\"\n[zzz]\n";
    std::fs::write(&file, text).unwrap();
    let (code, _, errors) = bus.ctl(ROOT, &["check-config", file.to_str().unwrap()]).await;
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
    let (code, said, _) = bus.ctl(ROOT, &["check-config", file.to_str().unwrap()]).await;
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
