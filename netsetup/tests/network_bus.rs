//! `org.spotstream.Network1` and its view on a private dbus-daemon that has the shipped policy. Needs root, because the
//! callers are different users.
#![cfg(feature = "fault-points")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use futures_util::StreamExt;
use netsetup::control::{Control, Request};
use netsetup::edge::dbus::{self, NAME, PATH};
use netsetup::{properties, view};
use netsetup_core::engine::Failure;
use netsetup_core::status::{Found, Internet, Reason, Robot, Status, Uplink};
use test_bus::{Accounts, Bus};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zbus::message::{self, Message};
use zbus::{MatchRule, MessageStream, OwnedVariant};

const ROOT: u32 = 0;
const NETSETUP: u32 = 61_011;
const MEMBER: u32 = 61_012;
const OUTSIDER: u32 = 61_013;
/// The group `spotstream`.
const GROUP: u32 = 61_014;

const SOON: Duration = Duration::from_secs(10);

fn bus() -> Bus {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist/usr/share/dbus-1/system.d/org.spotstream.Network1.conf");
    let monitoring = r#"<policy user="root"><allow send_destination="org.freedesktop.DBus"
        send_interface="org.freedesktop.DBus.Monitoring"/></policy>"#;
    let accounts = Accounts {
        users: &[("netsetup", NETSETUP), ("member", MEMBER), ("outsider", OUTSIDER)],
        groups: &[("spotstream", GROUP, "member")],
    };
    Bus::with_accounts(&policy, monitoring, accounts)
}

/// Runs `dbus-send` as a user.
async fn send(bus: &Bus, user: u32, destination: &str, method: &str, arguments: &[&str]) -> Output {
    let destination_word = format!("--dest={destination}");
    let path = if destination == NAME { PATH } else { "/" };
    let send = [
        "dbus-send",
        "--system",
        "--print-reply",
        &destination_word,
        path,
        method,
    ];
    bus.run_as(
        user,
        (user == MEMBER).then_some(GROUP),
        &[&send, arguments].concat(),
    )
    .await
}
fn ready() -> Status {
    Status {
        robot: Robot {
            interface: Some("eth0".to_owned()),
            mac: Some("dc:a6:32:00:00:01".to_owned()),
            carrier: true,
            layout: Some(Found::Payload),
            address: Some([192, 168, 50, 3].into()),
            own_address: Some("192.168.50.21/24".parse().unwrap()),
            ready: true,
            reason: None,
        },
        uplink: Uplink {
            interface: Some("wlan1".to_owned()),
            mac: Some("00:c0:ca:b1:a2:b3".to_owned()),
            ssid: Some("campus".to_owned()),
            address: Some("10.3.4.5/16".parse().unwrap()),
            gateway: Some([10, 3, 0, 1].into()),
            ready: true,
            reason: None,
        },
        internet: Internet::Yes,
        reason: None,
        notes: vec!["the WiFi is weak".to_owned()],
    }
}

fn unplugged() -> Status {
    let mut status = ready();
    status.robot.carrier = false;
    status.robot.ready = false;
    status.robot.own_address = None;
    status.robot.reason = Some(Reason::new("no-cable", "there is no cable to the robot"));
    status
}

/// A netsetup that has one thing to put right, then none, and then cannot.
async fn obey(mut inbox: mpsc::Receiver<Request>) {
    let mut answers = [
        Ok(vec!["add rule 100".to_owned()]),
        Ok(Vec::new()),
        Err(Failure {
            kind: "network-manager-gone",
            sentence: "NetworkManager does not run".to_owned(),
            is_retryable: true,
        }),
    ]
    .into_iter();
    while let Some(Request::Apply { reply }) = inbox.recv().await {
        reply.send(answers.next().unwrap()).unwrap();
    }
}

struct Served {
    publish: watch::Sender<Status>,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves a bus, and waits until the name is there.
    async fn start(bus: &Bus, status: Status) -> Self {
        let (control, publish, inbox) = Control::channel(status);
        tokio::spawn(obey(inbox));
        let watcher = bus.connect().await;
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .member("NameOwnerChanged")
            .arg(0, NAME)
            .build()
            .unwrap();
        let mut owners = MessageStream::for_match_rule(rule, &watcher, None).await.unwrap();
        let task = tokio::spawn(dbus::serve(control, Some(bus.address().to_owned())));
        timeout(SOON, owners.next()).await.expect("the name is taken");
        Self { publish, task }
    }

    /// Gives the name back.
    async fn stop(self) {
        drop(self.publish);
        timeout(SOON, self.task).await.unwrap().unwrap();
    }
}

async fn next(news: &mut mpsc::Receiver<Option<Status>>) -> Option<Status> {
    timeout(SOON, news.recv()).await.expect("news").expect("a watch")
}

/// Everything that is said on the bus (dbus-daemon's BecomeMonitor).
async fn listen_in(bus: &Bus) -> MessageStream {
    let monitor = bus.connect().await;
    monitor
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus.Monitoring"),
            "BecomeMonitor",
            &(Vec::<String>::new(), 0_u32),
        )
        .await
        .unwrap();
    MessageStream::from(monitor)
}

fn is_call(message: &Message, member: &str) -> bool {
    let header = message.header();
    message.message_type() == message::Type::MethodCall
        && header.member().is_some_and(|name| name.as_str() == member)
}

#[tokio::test]
async fn everybody_may_read_and_only_root_and_the_group_may_have_it_put_right() {
    let bus = bus();
    let _served = Served::start(&bus, ready()).await;
    for user in [ROOT, MEMBER, OUTSIDER] {
        let output = send(
            &bus,
            user,
            NAME,
            "org.freedesktop.DBus.Properties.GetAll",
            &[&format!("string:{NAME}")],
        )
        .await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("192.168.50.21/24"),
            "{user}: {text}"
        );
    }
    let apply = format!("{NAME}.Apply");
    let refused = send(&bus, OUTSIDER, NAME, &apply, &[]).await;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("AccessDenied"));
    let first = send(&bus, MEMBER, NAME, &apply, &[]).await;
    assert!(String::from_utf8_lossy(&first.stdout).contains("add rule 100"));
    let second = send(&bus, ROOT, NAME, &apply, &[]).await;
    assert!(second.status.success() && !String::from_utf8_lossy(&second.stdout).contains("string"));
    let third = send(&bus, ROOT, NAME, &apply, &[]).await;
    let words = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(
        words.contains("org.spotstream.Network1.Error.NotNow: NetworkManager does not run"),
        "{words}"
    );
}

#[tokio::test]
async fn only_root_and_netsetup_s_user_may_take_the_name() {
    let bus = bus();
    for (user, may) in [(NETSETUP, true), (ROOT, true), (MEMBER, false), (OUTSIDER, false)] {
        let output = send(
            &bus,
            user,
            "org.freedesktop.DBus",
            "org.freedesktop.DBus.RequestName",
            &[&format!("string:{NAME}"), "uint32:0"],
        )
        .await;
        assert_eq!(output.status.success(), may, "{user}");
    }
}

#[tokio::test]
async fn the_properties_are_the_status_and_the_version() {
    let bus = bus();
    let _served = Served::start(&bus, ready()).await;
    let reply = bus
        .connect()
        .await
        .call_method(
            Some(NAME),
            PATH,
            Some("org.freedesktop.DBus.Properties"),
            "GetAll",
            &(NAME,),
        )
        .await
        .unwrap();
    let body = reply.body();
    let mut all: HashMap<String, OwnedVariant> = body.deserialize().unwrap();
    assert_eq!(
        String::try_from(all.remove("Version").unwrap()).unwrap(),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(properties::read(&all), ready());
    let mut names: Vec<&str> = all.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, properties::of(&ready()).into_keys().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_has_changed_together_is_told_together_and_nothing_else_is() {
    let bus = bus();
    let served = Served::start(&bus, ready()).await;
    let listener = bus.connect().await;
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .path(PATH)
        .build()
        .unwrap();
    let mut signals = MessageStream::for_match_rule(rule, &listener, None)
        .await
        .unwrap();
    served.publish.send_replace(unplugged());
    let signal = timeout(SOON, signals.next()).await.unwrap().unwrap().unwrap();
    let body = signal.body();
    let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize().unwrap();
    let mut names: Vec<&str> = changed.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "OwnAddress",
            "RobotCarrier",
            "RobotReady",
            "RobotReason",
            "RobotReasonKind"
        ]
    );
}

#[tokio::test]
async fn a_bus_that_is_absent_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:path={}/none", folder.path().display());
    let (control, publish, _inbox) = Control::channel(Status::default());
    let serving = tokio::spawn(dbus::serve(control, Some(address.clone())));
    let (sender, mut news) = mpsc::channel(1);
    let watching = tokio::spawn(view::watch(Some(address.clone()), sender));
    assert_eq!(next(&mut news).await, None);
    assert!(!serving.is_finished() && !watching.is_finished());
    assert_eq!(
        view::read(Some(&address)).await.unwrap_err().kind(),
        "network-view-no-bus"
    );
    drop((publish, news));
    timeout(Duration::from_secs(4), serving).await.unwrap().unwrap();
    timeout(Duration::from_secs(4), watching).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_view_follows_each_change_and_asks_once_an_owner() {
    let bus = bus();
    let mut traffic = listen_in(&bus).await;
    assert_eq!(view::read(Some(bus.address())).await.unwrap(), None);

    let (sender, mut news) = mpsc::channel(1);
    let watching = tokio::spawn(view::watch(Some(bus.address().to_owned()), sender));
    assert_eq!(next(&mut news).await, None);

    for _ in 0..2 {
        let served = Served::start(&bus, ready()).await;
        assert_eq!(next(&mut news).await, Some(ready()));
        for count in 0..50 {
            let mut status = if count % 2 == 0 { unplugged() } else { ready() };
            status.notes = vec![format!("change {count}")];
            served.publish.send_replace(status.clone());
            assert_eq!(next(&mut news).await, Some(status));
        }
        served.stop().await;
        assert_eq!(next(&mut news).await, None, "the name has gone");
    }
    // A mark in the bus's own order: what the view has called before is before it.
    bus.connect()
        .await
        .call_method(
            Some("org.freedesktop.DBus"),
            "/",
            Some("org.freedesktop.DBus"),
            "GetId",
            &(),
        )
        .await
        .unwrap();
    let (mut asked, mut signals) = (0, 0);
    loop {
        let message = timeout(SOON, traffic.next()).await.unwrap().unwrap().unwrap();
        if is_call(&message, "GetId") {
            break;
        }
        asked += u32::from(is_call(&message, "GetAll") || is_call(&message, "Get"));
        signals += u32::from(
            message
                .header()
                .member()
                .is_some_and(|name| name == "PropertiesChanged"),
        );
    }
    assert_eq!(asked, 2, "once for each owner");
    assert!(signals >= 100, "{signals}");
    drop(news);
    timeout(SOON, watching).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stranger_s_signal_is_not_believed() {
    let bus = bus();
    let served = Served::start(&bus, ready()).await;
    let (sender, mut news) = mpsc::channel(1);
    tokio::spawn(view::watch(Some(bus.address().to_owned()), sender));
    assert_eq!(next(&mut news).await, Some(ready()));
    let stranger = bus.connect().await;
    let lie = HashMap::from([("RobotReady", zbus::Variant::from(false))]);
    stranger
        .emit_signal(
            None::<&str>,
            PATH,
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &(NAME, lie, Vec::<String>::new()),
        )
        .await
        .unwrap();
    // The bus keeps the order: what comes after the lie shows that the lie was heard and left out.
    stranger
        .call_method(
            Some("org.freedesktop.DBus"),
            "/",
            Some("org.freedesktop.DBus.Peer"),
            "Ping",
            &(),
        )
        .await
        .unwrap();
    let mut later = ready();
    later.notes.clear();
    served.publish.send_replace(later.clone());
    assert_eq!(next(&mut news).await, Some(later));
}
