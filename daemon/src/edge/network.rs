//! News of the networks: what netsetup says, and without netsetup the kernel's notices that something has changed.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use netsetup::view::{self, Status};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// How long a listener that the kernel has dropped is not opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// How much news may wait to be read.
pub const NEWS: usize = 16;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How the networks stand, from netsetup; nothing when it does not run.
    Status(Option<Box<Status>>),
    /// Something has changed, nobody knows what: netsetup does not run.
    Changed,
}

/// Sends news until the receiver is gone, from netsetup on the bus at `address` or the system bus; what netsetup says
/// last is in `seen`, too.
pub async fn watch(address: Option<String>, news: mpsc::Sender<News>, seen: watch::Sender<Option<Status>>) {
    let (told, mut statuses) = mpsc::channel(NEWS);
    let (changed, mut changes) = mpsc::channel(1);
    let watching = [
        tokio::spawn(view::watch(address, told)),
        tokio::spawn(notices(changed)),
    ];
    let mut is_told = false;
    loop {
        let item = tokio::select! {
            biased;
            Some(status) = statuses.recv() => {
                is_told = status.is_some();
                seen.send_replace(status.clone());
                News::Status(status.map(Box::new))
            }
            // Where netsetup runs, what has changed is of use when netsetup has seen to it.
            Some(Changed) = changes.recv() => {
                if is_told {
                    continue;
                }
                News::Changed
            }
            () = news.closed() => break,
        };
        if news.send(item).await.is_err() {
            break;
        }
    }
    for task in watching {
        task.abort();
    }
}

/// A link, an address or a route has come, gone or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed;

/// The kernel gives no notices here.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for changes of the network")]
pub struct Error(#[from] io::Error);

impl Error {
    /// The stable word for status and metrics.
    pub const fn kind(&self) -> &'static str {
        "network-notices"
    }

    /// A sandbox or kernel that refuses once refuses always.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// Sends [`Changed`] until the receiver is gone. Without permission, work waits for its own timers: a warning says so.
///
/// Notices come in bursts. While the receiver has not taken the last [`Changed`], those that follow are the same
/// news to it, so a channel of capacity 1 merges a burst without any delay.
pub async fn notices(changes: mpsc::Sender<Changed>) {
    while !changes.is_closed() {
        if let Err(error) = listen(&changes).await {
            warn!(
                kind = error.kind(),
                "{error}; a new network is noticed a few seconds later: {}", error.0
            );
            return;
        }
        // The kernel drops a listener that was too slow; what it missed is a change too.
        let _ = changes.try_send(Changed);
        let _ = tokio::time::timeout(REOPEN, changes.closed()).await;
    }
}

/// Until the kernel's end or the receiver's is closed.
async fn listen(changes: &mpsc::Sender<Changed>) -> Result<(), Error> {
    let (connection, _handle, mut messages) = new_multicast_connection(&GROUPS)?;
    let reader = tokio::spawn(connection);
    loop {
        tokio::select! {
            message = messages.next() => if message.is_none() { break },
            () = changes.closed() => break,
        }
        if changes.try_send(Changed).is_ok() {
            debug!("the network has changed");
        }
    }
    reader.abort();
    Ok(())
}
