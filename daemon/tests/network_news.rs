//! News of the networks: netsetup's own while it runs, the kernel's notices while it does not. In a network namespace
//! of the test's own, with a bus of its own. Needs root.
#![cfg(feature = "referees")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use netsetup::control::Control;
use netsetup::view::Status;
use nix::sched::{CloneFlags, unshare};
use spotstreamd::edge::network::{NEWS, News, watch};
use test_bus::Bus;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
/// Longer than the kernel takes to tell.
const A_WHILE: Duration = Duration::from_millis(300);

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

async fn next(news: &mut mpsc::Receiver<News>) -> News {
    timeout(SOON, news.recv()).await.unwrap().unwrap()
}

async fn assert_quiet(news: &mut mpsc::Receiver<News>) {
    let unexpected = timeout(A_WHILE, news.recv()).await;
    assert!(unexpected.is_err(), "{unexpected:?}");
}

fn told(note: &str) -> News {
    News::Status(Some(Box::new(status(note))))
}

fn status(note: &str) -> Status {
    Status {
        notes: vec![note.to_owned()],
        ..Status::default()
    }
}

async fn the_kernel_s_notices_are_told_only_while_netsetup_does_not_run() {
    let bus = Bus::open();
    let (sender, mut news) = mpsc::channel(NEWS);
    let (seen, last) = tokio::sync::watch::channel(None);
    let watching = tokio::spawn(watch(Some(bus.address().to_owned()), sender, seen));
    assert_eq!(next(&mut news).await, News::Status(None));
    ip("link set lo up");
    assert_eq!(next(&mut news).await, News::Changed);
    while timeout(A_WHILE, news.recv()).await.is_ok() {}

    let (control, publish, _inbox) = Control::channel(status("first"));
    let serving = tokio::spawn(netsetup::edge::dbus::serve(
        control,
        Some(bus.address().to_owned()),
    ));
    assert_eq!(next(&mut news).await, told("first"));
    ip("address add 192.0.2.1/32 dev lo");
    assert_quiet(&mut news).await;
    // Each change is told, also those that another one follows at once.
    for note in ["second", "third", "fourth"] {
        publish.send_replace(status(note));
        assert_eq!(next(&mut news).await, told(note));
        assert_eq!(*last.borrow(), Some(status(note)));
    }

    drop(publish);
    timeout(SOON, serving).await.unwrap().unwrap();
    assert_eq!(next(&mut news).await, News::Status(None));
    assert_eq!(*last.borrow(), None);
    ip("address add 192.0.2.2/32 dev lo");
    assert_eq!(next(&mut news).await, News::Changed);

    drop(news);
    timeout(SOON, watching).await.unwrap().unwrap();
}

#[test]
fn netsetup_is_believed_while_it_runs_and_the_kernel_while_it_does_not() {
    // A thread of its own, because the namespace is the thread's.
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(the_kernel_s_notices_are_told_only_while_netsetup_does_not_run());
    });
    thread.join().unwrap();
}
