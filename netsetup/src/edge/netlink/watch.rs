//! Notices from the kernel that the network has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Duration;

use futures_util::FutureExt;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::Link;
use socket2::{SockFilter, SockRef};
use tokio::time::Instant;

use super::{Error, Kernel, links};

// linux/rtnetlink.h, `enum rtnetlink_groups`: LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV4_NETCONF.
const ROUTE_GROUPS: [u32; 6] = [1, 3, 5, 7, 8, 24];
// linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES.
const NFTABLES_GROUPS: [u32; 1] = [7];

/// A notice of change is followed by the next one no sooner than this. The first one of a burst is not held back.
const PAUSE: Duration = Duration::from_millis(20);

/// How many messages are read before a notice is given, so that a flood cannot keep it from us.
const AT_ONCE: usize = 1024;

/// The largest message of the kernel's own making (NLMSG_GOODSIZE, and room for a link with all its attributes).
const MESSAGE_BYTES: usize = 32 * 1024;

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A link, an address, a route, a rule or the firewall has come, gone or changed; or so much of it that the
    /// kernel could not tell it all.
    Changed,
    /// A host on this link does not answer ARP (NUD_FAILED). The same address may be somebody else's on another link.
    NeighbourFailed(InterfaceName, Ipv4Addr),
}

/// Listens. Nothing is read and nothing is lost between two calls of [`Watch::next`]: the kernel keeps it.
pub struct Watch {
    route: TokioSocket,
    nftables: TokioSocket,
    links: BTreeMap<u32, Link>,
    changed: bool,
    /// The kernel drops what it would tell until all it has told is read.
    overrun: bool,
    failed: BTreeSet<(InterfaceName, Ipv4Addr)>,
    not_before: Instant,
    route_message: Vec<u8>,
    nftables_message: Vec<u8>,
}

impl Watch {
    pub(super) async fn open(kernel: &Kernel) -> Result<Self, Error> {
        let route = listen(NETLINK_ROUTE, &ROUTE_GROUPS, Some(&only_failed_neighbours()))?;
        let nftables = listen(NETLINK_NETFILTER, &NFTABLES_GROUPS, None)?;
        let links = kernel.links().await?;
        Ok(Self {
            route,
            nftables,
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            changed: false,
            overrun: false,
            failed: BTreeSet::new(),
            not_before: Instant::now(),
            route_message: Vec::with_capacity(MESSAGE_BYTES),
            nftables_message: Vec::with_capacity(MESSAGE_BYTES),
        })
    }

    /// The next notice; all that was told until now is in it. Can be dropped at any time, and called again.
    ///
    /// Fails only where the kernel closes the socket, which it does not do by itself.
    pub async fn next(&mut self) -> Result<Notice, Error> {
        loop {
            if self.changed {
                tokio::time::sleep_until(self.not_before).await;
                self.read_what_is_there()?;
                self.changed = false;
                self.not_before = Instant::now() + PAUSE;
                return Ok(Notice::Changed);
            }
            if let Some((interface, address)) = self.failed.pop_first() {
                return Ok(Notice::NeighbourFailed(interface, address));
            }
            self.read().await?;
            self.read_what_is_there()?;
        }
    }

    fn read_what_is_there(&mut self) -> Result<(), Error> {
        for _ in 0..AT_ONCE {
            // Not held up by the runtime: "nothing" is the kernel's word.
            match tokio::task::unconstrained(self.read()).now_or_never() {
                Some(read) => read?,
                None => {
                    self.changed |= std::mem::take(&mut self.overrun);
                    break;
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Error> {
        self.route_message.clear();
        self.nftables_message.clear();
        let (read, is_route) = tokio::select! {
            read = self.route.recv(&mut self.route_message) => (read, true),
            read = self.nftables.recv(&mut self.nftables_message) => (read, false),
        };
        match read {
            Ok(_) if is_route => self.hear(),
            Ok(_) => self.changed = true,
            // We were too slow, do not know what we have missed, and will miss more.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.changed = true;
                self.overrun = true;
            }
            Err(source) => {
                return Err(Error::Socket {
                    doing: "listen for changes of the network".to_owned(),
                    source,
                });
            }
        }
        Ok(())
    }

    fn hear(&mut self) {
        // The kernel sends one message at a time here. One that we do not understand may be about anything.
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&self.route_message) else {
            self.changed = true;
            return;
        };
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            if let RouteNetlinkMessage::NewLink(link) = &message {
                self.changed |= self.is_news(link);
                return;
            }
            if let RouteNetlinkMessage::NewNeighbour(neighbour) = &message {
                self.failed.extend(self.failure(neighbour));
                return;
            }
            if let RouteNetlinkMessage::DelLink(link) = &message {
                self.links.remove(&link.header.index);
            }
        }
        self.changed = true;
    }

    /// Links are told of for many reasons that are none of ours: a scan, a power saving mode, a queue.
    fn is_news(&mut self, message: &LinkMessage) -> bool {
        let is_wireless_event = message
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, LinkAttribute::Wireless(_)));
        match links::read(message) {
            Some(_) if is_wireless_event => false,
            Some(link) => self.links.insert(link.index, link.clone()) != Some(link),
            None => false,
        }
    }

    fn failure(&self, message: &NeighbourMessage) -> Option<(InterfaceName, Ipv4Addr)> {
        let link = self.links.get(&message.header.ifindex)?;
        let address = message.attributes.iter().find_map(|attribute| {
            let NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) = attribute else {
                return None;
            };
            Some(*address)
        })?;
        Some((link.name.clone(), address))
    }
}

fn listen(family: isize, groups: &[u32], filter: Option<&[SockFilter]>) -> Result<TokioSocket, Error> {
    let open = || -> io::Result<TokioSocket> {
        let mut socket = TokioSocket::new(family)?;
        if let Some(filter) = filter {
            SockRef::from(&socket.socket_ref().as_fd()).attach_filter(filter)?;
        }
        let groups = groups.iter().fold(0, |all, group| all | 1 << (group - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(socket)
    };
    open().map_err(|source| {
        let doing = "listen for changes of the network".to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Error::NotPermitted { doing },
            _ => Error::Socket { doing, source },
        }
    })
}

/// Lets the kernel itself drop what it tells of neighbours, but for IPv4 hosts that do not answer: of those that do, it
/// tells something every few seconds, and each would wake us up.
///
/// A classic BPF program (Documentation/networking/filter.rst) over `struct nlmsghdr` and `struct ndmsg`. It reads
/// numbers as the network writes them, the messages have them as the machine does.
fn only_failed_neighbours() -> [SockFilter; 9] {
    const LOAD_U16: u16 = 0x28;
    const LOAD_U8: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const NLMSG_TYPE: u32 = 4;
    const NDM_FAMILY: u32 = 16;
    const NDM_STATE: u32 = 24;
    const RTM_NEWNEIGH: u16 = 28;
    const RTM_DELNEIGH: u16 = 29;
    const NUD_FAILED: u16 = 0x20;
    let swapped = |number: u16| u32::from(number.to_be());
    [
        SockFilter::new(LOAD_U16, 0, 0, NLMSG_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 5, 0, swapped(RTM_DELNEIGH)),
        SockFilter::new(JUMP_IF_EQUAL, 0, 5, swapped(RTM_NEWNEIGH)),
        SockFilter::new(LOAD_U8, 0, 0, NDM_FAMILY),
        SockFilter::new(JUMP_IF_EQUAL, 0, 2, 2),
        SockFilter::new(LOAD_U16, 0, 0, NDM_STATE),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, swapped(NUD_FAILED)),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}
