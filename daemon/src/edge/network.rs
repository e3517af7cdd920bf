//! Notices from the kernel that the network has changed, so that waiting work is tried at once.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;
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
pub async fn watch(changes: mpsc::Sender<Changed>) {
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
