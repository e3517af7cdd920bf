//! `watch` on a private dbus-daemon that has the shipped policy, beside a daemon that says what the test wants.
#![expect(clippy::unwrap_used, reason = "a test that is surprised has failed")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use appliance::bus::appliance::{NAME, PATH, refresh};
use appliance::place::Place;
use appliance::watch::watch;
use tempfile::TempDir;
use test_bus::Bus;
use tokio::time::timeout;
use zbus::{Connection, connection, interface};

const DAEMON: &str = "org.spotstream.Daemon1";
const NOBODY: u32 = 65_534;
const LIMIT: Duration = Duration::from_secs(60);

fn bus() -> Bus {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist/usr/share/dbus-1/system.d/org.spotstream.Appliance1.conf");
    // A daemon that is the test's.
    let daemon = format!(
        r#"<policy user="root"><allow own="{DAEMON}"/><allow send_destination="{DAEMON}"/></policy>"#
    );
    Bus::with_policy(&policy, &daemon)
}

/// What somebody who is not root gets.
async fn as_nobody(bus: &Bus, words: &[&str]) -> (bool, String) {
    let send = [
        "dbus-send",
        "--system",
        "--print-reply",
        "--dest=org.spotstream.Appliance1",
        PATH,
    ];
    let done = bus.run_as(NOBODY, None, &[&send, words].concat()).await;
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(text).unwrap())
}
struct Daemon {
    state: String,
    reason: String,
}

#[interface(name = "org.spotstream.Daemon1")]
impl Daemon {
    #[zbus(property)]
    fn state(&self) -> String {
        self.state.clone()
    }
    #[zbus(property)]
    fn reason(&self) -> String {
        self.reason.clone()
    }
    #[zbus(property)]
    fn payload_guid(&self) -> String {
        "5f0c".to_owned()
    }
}

async fn call(client: &Connection, method: &str) -> zbus::Result<String> {
    let reply = client
        .call_method(Some(NAME), PATH, Some(NAME), method, &())
        .await?;
    reply.body().deserialize()
}

/// Asks until the report says so: each question is answered by the loop that brings the news.
async fn report_says(client: &Connection, sentence: &str) -> String {
    let asked = timeout(LIMIT, async {
        loop {
            match call(client, "Report").await {
                Ok(report) if report.contains(sentence) => return report,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    let report = asked.await.unwrap_or_default();
    assert!(report.contains(sentence), "the report never said: {sentence}");
    report
}

/// Looks until the screen shows it: the console is printed by a thread of its own.
async fn screen_shows(place: &Place, sentence: &str) {
    let shown = timeout(LIMIT, async {
        while !place.text("/dev/tty1").unwrap().contains(sentence) {
            tokio::task::yield_now().await;
        }
    });
    assert!(shown.await.is_ok(), "the screen never showed: {sentence}");
}

fn machine() -> (TempDir, Place) {
    let root = tempfile::tempdir().unwrap();
    for folder in ["run/spotstream", "dev", "var/lib/spotstream-appliance"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(
        root.path().join("run/spotstream/boot"),
        "SLOT=A\nLAST_SLOT=B\nLAST_STAGE=initrd\n",
    )
    .unwrap();
    fs::write(root.path().join("dev/tty1"), "").unwrap();
    let place = Place::below(root.path());
    (root, place)
}

#[tokio::test]
async fn the_box_says_how_it_is_as_soon_as_it_changes() {
    let bus = bus();
    let (_root, place) = machine();
    let watching = tokio::spawn(watch(place.clone(), Some(bus.address().to_owned())));
    let client = bus.connect().await;
    report_says(&client, "starting: the stream's program does not run yet").await;

    let daemon = Daemon {
        state: "WaitingForRobot".to_owned(),
        reason: "looking for the robot".to_owned(),
    };
    let path = "/org/spotstream/Daemon1";
    let serving = connection::Builder::address(bus.address())
        .serve_at(path, daemon)
        .name(DAEMON)
        .build()
        .await
        .unwrap();
    report_says(&client, "WaitingForRobot: looking for the robot").await;

    let object = serving
        .object_server()
        .interface::<_, Daemon>(path)
        .await
        .unwrap();
    {
        let mut daemon = object.get_mut().await;
        daemon.state = "Fault".to_owned();
        daemon.reason = "Twitch has refused the stream key".to_owned();
        daemon.reason_changed(object.signal_emitter()).await.unwrap();
        daemon.state_changed(object.signal_emitter()).await.unwrap();
    }
    let report = report_says(&client, "Fault: Twitch has refused the stream key").await;
    assert!(
        report.contains("slot B was left for slot A"),
        "the last start is told: {report}"
    );
    assert!(report.contains("GUID 5f0c"), "{report}");
    screen_shows(&place, "Fault: Twitch has refused the stream key").await;
    let doctor: serde_json::Value = serde_json::from_str(&call(&client, "Doctor").await.unwrap()).unwrap();
    let stream = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "stream")
        .unwrap();
    assert_eq!(stream["verdict"], "problem");

    fs::write(
        place.at("/run/spotstream/import.json"),
        r#"{"what":"applied","source":"stick","file":"spotstream.toml"}"#,
    )
    .unwrap();
    refresh(&client).await.unwrap();
    report_says(&client, "'spotstream.toml' on the USB stick was applied").await;

    drop(object);
    serving.graceful_shutdown().await;
    report_says(&client, "starting: the stream's program does not run yet").await;
    watching.abort();
}

#[tokio::test]
async fn the_status_is_for_all_and_the_rest_is_not() {
    let bus = bus();
    let (_root, place) = machine();
    let watching = tokio::spawn(watch(place, Some(bus.address().to_owned())));
    let client = bus.connect().await;
    report_says(&client, "STREAM").await;
    for method in ["Doctor", "Report", "Refresh"] {
        let (is_done, said) = as_nobody(&bus, &[&format!("{NAME}.{method}")]).await;
        assert!(!is_done && said.contains("AccessDenied"), "{method}: {said}");
    }
    let interface = format!("string:{NAME}");
    let question = ["org.freedesktop.DBus.Properties.Get", &interface, "string:Slot"];
    let (is_done, said) = as_nobody(&bus, &question).await;
    assert!(is_done && said.contains("\"A\""), "{said}");
    watching.abort();
}
