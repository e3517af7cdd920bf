//! Who has an address on an interface: ARP probes (RFC 826, RFC 5227), and whoever answers them.
//!
//! Needs CAP_NET_RAW alone, and no address on the interface: a probe's sender address is 0.0.0.0, so that nobody's
//! ARP cache learns one that we may never take.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use netsetup_core::names::{InterfaceName, MacAddress};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::debug;

/// ETH_P_ARP (linux/if_ether.h).
const ETHERTYPE_ARP: u16 = 0x0806;
/// ARPHRD_ETHER (linux/if_arp.h): cables and WiFi alike.
const ETHERNET: u16 = 1;
/// PACKET_OTHERHOST (linux/if_packet.h): for another hardware address, or for a VLAN that nobody here is in.
const FOR_ANOTHER: u8 = 3;
/// AF_PACKET (linux/socket.h), as wide as an address has it.
const FAMILY: libc::sa_family_t = 17;
const BROADCAST: [u8; 6] = [0xff; 6];
/// Bytes of an ARP packet for IPv4 over Ethernet.
const LENGTH: usize = 28;
/// How many addresses the kernel compares a sender with; of more, all ARP packets wake us.
const MOST_IN_FILTER: usize = 512;

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is none of this name.
    #[error("failed to find the interface '{interface}'")]
    NoSuchInterface {
        /// Its name.
        interface: InterfaceName,
    },
    /// It has no Ethernet addresses: a tunnel, for instance.
    #[error("failed to ask on '{interface}': it is not an Ethernet interface")]
    NotEthernet {
        /// Its name.
        interface: InterfaceName,
    },
    /// CAP_NET_RAW is missing.
    #[error("failed to open an ARP socket on '{interface}': this needs the capability CAP_NET_RAW")]
    NotPermitted {
        /// Its name.
        interface: InterfaceName,
    },
    /// The interface is switched off. Once it is on again, the same prober goes on.
    #[error("failed to ask on '{interface}': the interface is down")]
    Down {
        /// Its name.
        interface: InterfaceName,
    },
    /// The interface was taken away. A new one of its name needs a new prober.
    #[error("failed to ask on '{interface}': the interface is gone")]
    Gone {
        /// Its name.
        interface: InterfaceName,
    },
    /// What the kernel says.
    #[error("failed to ask on '{interface}'")]
    Socket {
        /// Its name.
        interface: InterfaceName,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchInterface { .. } => "arp-no-such-interface",
            Self::NotEthernet { .. } => "arp-not-ethernet",
            Self::NotPermitted { .. } => "arp-not-permitted",
            Self::Down { .. } => "arp-interface-down",
            Self::Gone { .. } => "arp-interface-gone",
            Self::Socket { .. } => "arp-socket",
        }
    }

    /// Whether it may go better when the interface is there again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoSuchInterface { .. } | Self::Down { .. } | Self::Gone { .. } | Self::Socket { .. } => {
                true
            }
            Self::NotEthernet { .. } | Self::NotPermitted { .. } => false,
        }
    }
}

/// Asks on one interface, and hears who answers.
#[derive(Debug)]
pub struct Prober {
    interface: InterfaceName,
    index: u32,
    socket: AsyncFd<Socket>,
    asked: BTreeSet<Ipv4Addr>,
}

impl Prober {
    /// Opens a socket for ARP on `interface`. It hears nothing until somebody is asked for.
    ///
    /// # Errors
    /// When there is no such Ethernet interface, or CAP_NET_RAW is missing.
    pub fn open(interface: &InterfaceName) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::from_kernel(interface, source);
        let index = if_nametoindex(interface.as_str()).map_err(|errno| failed(errno.into()))?;
        // Without a protocol the socket hears nothing, so nothing slips in before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), None).map_err(failed)?;
        let asked = BTreeSet::new();
        socket.attach_filter(&filter(&asked)).map_err(failed)?;
        socket.bind(&everybody(index)).map_err(failed)?;
        #[expect(unsafe_code, reason = "no crate in the tree gives tokio a packet socket")]
        // SAFETY: a `Socket` owns its descriptor, gives always the same, and stays inside until both are dropped.
        let socket = unsafe {
            // An interface that goes down is an error without anything to read.
            AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR)
        }
        .map_err(|error| failed(error.into()))?;
        let prober = Self {
            interface: interface.clone(),
            index,
            socket,
            asked,
        };
        prober.own_address()?;
        Ok(prober)
    }

    /// Asks everybody on the wire once who has these addresses. From now on [`Self::next`] tells of them too.
    ///
    /// A probe that finds no room in the send queue is lost, as it may be on the wire.
    ///
    /// # Errors
    /// When the interface is down or gone.
    pub fn ask(&mut self, addresses: &[Ipv4Addr]) -> Result<(), Error> {
        let own = self.own_address()?;
        let known = self.asked.len();
        self.asked.extend(addresses);
        if self.asked.len() != known {
            self.socket
                .get_ref()
                .attach_filter(&filter(&self.asked))
                .map_err(|source| self.failed(source))?;
        }
        let everybody = everybody(self.index);
        for &address in addresses {
            let sent = self.socket.get_ref().send_to(&probe(own, address), &everybody);
            match sent.map_err(|source| (source.raw_os_error(), source)) {
                Ok(_) => {}
                Err((Some(libc::ENOBUFS | libc::EAGAIN), _)) => debug!(%address, "a probe found no room"),
                Err((_, source)) => return Err(self.failed(source)),
            }
        }
        Ok(())
    }

    /// The next sign of an address that was asked for, and the hardware address that it came from: an answer, or
    /// whatever else another host says by ARP under that address. Our own packets are not among them.
    ///
    /// Cancel-safe: what is not waited for is told at the next call.
    ///
    /// # Errors
    /// When the interface goes down or away, once each time.
    pub async fn next(&mut self) -> Result<(Ipv4Addr, MacAddress), Error> {
        loop {
            let received = self
                .socket
                .async_io(Interest::READABLE | Interest::ERROR, |socket| {
                    let mut packet = [0; LENGTH];
                    let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut packet)?;
                    let packet = packet.get(..length).unwrap_or(&packet);
                    let for_another = from.is_some_and(|from| from.pkttype() == FOR_ANOTHER);
                    Ok(sender(packet).filter(|_| !for_another))
                })
                .await;
            let sender = received.map_err(|source| self.failed(source))?;
            let Some((address, mac)) = sender else { continue };
            if self.asked.contains(&address) && mac != self.own_address()? {
                return Ok((address, mac));
            }
        }
    }

    /// What we are called on the wire now; a person may have changed it since the socket was opened.
    fn own_address(&self) -> Result<MacAddress, Error> {
        let own = self
            .socket
            .get_ref()
            .local_addr()
            .map_err(|source| Error::from_kernel(&self.interface, source))?;
        let interface = self.interface.clone();
        match link_layer(own) {
            Some((ETHERNET, mac)) => Ok(mac),
            // What the kernel says once it has cut the socket off (packet_notifier in net/packet/af_packet.c).
            Some((0, _)) => Err(Error::Gone { interface }),
            _ => Err(Error::NotEthernet { interface }),
        }
    }

    /// Tells an interface that is down from one that is gone: the kernel calls both ENETDOWN.
    fn failed(&self, source: io::Error) -> Error {
        match self.own_address() {
            Err(gone @ Error::Gone { .. }) => gone,
            _ => Error::from_kernel(&self.interface, source),
        }
    }
}

impl Error {
    fn from_kernel(interface: &InterfaceName, source: io::Error) -> Self {
        let interface = interface.clone();
        match source.raw_os_error() {
            Some(libc::ENODEV) => Self::NoSuchInterface { interface },
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { interface },
            Some(libc::ENETDOWN) => Self::Down { interface },
            Some(libc::ENXIO) => Self::Gone { interface },
            _ => Self::Socket { interface, source },
        }
    }
}

/// Everybody on the wire behind an interface, for ARP (`struct sockaddr_ll`, packet(7)).
#[expect(
    unsafe_code,
    reason = "no crate in the tree makes addresses for packet sockets"
)]
fn everybody(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the addresses that the storage is for, and all zeroes is a valid one.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = FAMILY;
    address.sll_protocol = ETHERTYPE_ARP.to_be();
    address.sll_ifindex = index.cast_signed();
    let [a, b, c, d, e, f] = BROADCAST;
    address.sll_halen = 6;
    address.sll_addr = [a, b, c, d, e, f, 0, 0];
    let length = size_of::<libc::sockaddr_ll>();
    // SAFETY: family and length are those of the `sockaddr_ll` that was just written.
    unsafe { SockAddr::new(storage, libc::socklen_t::try_from(length).unwrap_or(0)) }
}

/// The kind of an interface (ARPHRD_*) and its hardware address, from the address that a packet socket is bound to.
fn link_layer(bound: SockAddr) -> Option<(u16, MacAddress)> {
    if bound.domain() != Domain::PACKET {
        return None;
    }
    let mut storage = bound.as_storage();
    #[expect(
        unsafe_code,
        reason = "no crate in the tree reads a short address of a packet socket"
    )]
    // SAFETY: the family says that it is a `sockaddr_ll`; what the kernel did not write is zero.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    (matches!(address.sll_halen, 6) || address.sll_hatype == 0)
        .then_some((address.sll_hatype, MacAddress([a, b, c, d, e, f])))
}

/// A probe for `address`: sender protocol address and target hardware address all zero (RFC 5227 section 2.1.1).
fn probe(MacAddress(own): MacAddress, address: Ipv4Addr) -> [u8; LENGTH] {
    let [a, b, c, d, e, f] = own;
    let [w, x, y, z] = address.octets();
    [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, 6 and 4 bytes long, a request
        a, b, c, d, e, f, 0, 0, 0, 0, // the sender
        0, 0, 0, 0, 0, 0, w, x, y, z, // the target
    ]
}

/// Who sent an ARP packet, be it a request or an answer. Whatever is not for IPv4 over Ethernet is nobody's.
fn sender(packet: &[u8]) -> Option<(Ipv4Addr, MacAddress)> {
    let [
        0,
        1,
        8,
        0,
        6,
        4,
        0,
        1 | 2,
        a,
        b,
        c,
        d,
        e,
        f,
        w,
        x,
        y,
        z,
        ref target @ ..,
    ] = *packet
    else {
        return None;
    };
    let mac = [a, b, c, d, e, f];
    let is_one_host = a & 1 == 0 && mac != [0; 6];
    (is_one_host && target.len() >= 10).then_some((Ipv4Addr::new(w, x, y, z), MacAddress(mac)))
}

/// What the kernel lets through to us, so that a busy network does not wake us: [`sender`] for one of `asked`.
fn filter(asked: &BTreeSet<Ipv4Addr>) -> Vec<SockFilter> {
    // Classic BPF: linux/bpf_common.h, and SKF_AD_OFF + SKF_AD_PKTTYPE of linux/filter.h.
    const BYTE: u16 = 0x30;
    const HALF: u16 = 0x28;
    const WORD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const PACKET_TYPE: u32 = 0xffff_f004;
    let load = |size, from| SockFilter::new(size, 0, 0, from);
    let skip_if = |value, yes, no| SockFilter::new(IF_EQUAL, yes, no, value);
    let drop = || SockFilter::new(RETURN, 0, 0, 0);
    let take = || SockFilter::new(RETURN, 0, 0, u32::MAX);

    let mut program = vec![load(BYTE, PACKET_TYPE), skip_if(FOR_ANOTHER.into(), 0, 1), drop()];
    program.extend([load(WORD, 0), skip_if(0x0001_0800, 1, 0), drop()]);
    program.extend([load(HALF, 4), skip_if(0x0604, 1, 0), drop()]);
    program.extend([load(HALF, 6), skip_if(1, 2, 0), skip_if(2, 1, 0), drop()]);
    program.push(load(WORD, 14));
    if asked.len() > MOST_IN_FILTER {
        program.push(take());
        return program;
    }
    for &address in asked {
        program.extend([skip_if(address.to_bits(), 0, 1), take()]);
    }
    program.push(drop());
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_probe_says_nothing_of_an_address_of_ours() {
        let probe = probe(OWN, Ipv4Addr::new(192, 168, 50, 3));
        assert_eq!(sender(&probe), Some((Ipv4Addr::UNSPECIFIED, OWN)));
        assert_eq!(probe[18..], [0, 0, 0, 0, 0, 0, 192, 168, 50, 3]);
    }

    #[test]
    fn a_sender_that_is_no_single_host_is_nobody() {
        let mut packet = probe(OWN, Ipv4Addr::LOCALHOST);
        packet[8] |= 1;
        assert_eq!(sender(&packet), None);
        packet[8..14].fill(0);
        assert_eq!(sender(&packet), None);
    }

    proptest! {
        #[test]
        fn whatever_is_received_is_read_without_a_panic(packet in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = sender(&packet);
        }

        #[test]
        fn a_packet_that_is_cut_or_bent_in_its_head_is_nobodys(
            operation in 1..=2_u8, cut in 0..LENGTH, at in 0..8_usize, flip in 1..=255_u8,
        ) {
            let mut packet = probe(OWN, Ipv4Addr::LOCALHOST);
            packet[7] = operation;
            prop_assert!(sender(&packet).is_some());
            prop_assert_eq!(sender(&packet[..cut]), None);
            packet[at] ^= flip;
            prop_assert!(sender(&packet).is_none() || at == 7);
        }
    }
}
