//! The kernel's notices, in a network namespace of the test's own. Needs root.
#![cfg(feature = "referees")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use spotstreamd::edge::network::{Changed, notices};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

fn ip(arguments: &str) {
    assert!(
        Command::new("ip")
            .args(arguments.split(' '))
            .status()
            .unwrap()
            .success(),
        "ip {arguments}"
    );
}

/// Runs on a thread of its own, because the namespace is the thread's.
fn in_a_namespace(test: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
    });
    thread.join().unwrap();
}

#[test]
fn a_link_an_address_and_a_route_are_told_and_nothing_else_is() {
    in_a_namespace(async {
        let (changes, mut news) = mpsc::channel(1);
        tokio::spawn(notices(changes));
        tokio::task::yield_now().await;
        assert!(news.try_recv().is_err(), "nothing has changed");
        for change in [
            "link set lo up",
            "address add 192.0.2.1/32 dev lo",
            "route add 198.51.100.0/24 dev lo",
        ] {
            ip(change);
            assert_eq!(timeout(SOON, news.recv()).await, Ok(Some(Changed)), "{change}");
            // One change may be several notices: those of this one must not stand for the next.
            while timeout(Duration::from_millis(200), news.recv()).await.is_ok() {}
        }
    });
}

#[test]
fn the_watch_ends_with_its_receiver() {
    in_a_namespace(async {
        let (changes, news) = mpsc::channel(1);
        let watching = tokio::spawn(notices(changes));
        tokio::task::yield_now().await;
        drop(news);
        timeout(SOON, watching).await.unwrap().unwrap();
    });
}
