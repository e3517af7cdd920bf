//! What systemd hears, over a real notification socket. The socket's name is in the environment, so the daemon's half
//! runs in a process of its own: this test, called again.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use spotstream_service::notify::Notify;

const SPEAKER: &str = "SPOTSTREAM_TEST_SPEAKS";

/// What the child does: everything a daemon says in its life, the status twice.
#[test]
fn speak() {
    if std::env::var_os(SPEAKER).is_none() {
        return;
    }
    let mut notify = Notify::from_env();
    assert_eq!(notify.interval(), Some(Duration::from_secs(15)));
    notify.ready();
    notify.status("live\nto twitch");
    notify.status("live\nto twitch");
    notify.ping();
    notify.stopping();
}

#[test]
fn ready_status_watchdog_and_stopping_are_heard_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let ear = UnixDatagram::bind(&path).unwrap();
    ear.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "speak"])
        .env(SPEAKER, "1")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "30000000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    let mut heard = Vec::new();
    let mut letter = [0; 256];
    while let Ok(length) = ear.recv(&mut letter) {
        heard.push(String::from_utf8_lossy(&letter[..length]).trim().to_owned());
    }
    assert_eq!(
        heard,
        ["READY=1", "STATUS=live to twitch", "WATCHDOG=1", "STOPPING=1"]
    );
}

#[test]
fn without_systemd_nothing_is_said_and_nothing_fails() {
    let mut notify = Notify::from_env();
    notify.ready();
    notify.ping();
    assert_eq!(notify.interval(), None);
}
