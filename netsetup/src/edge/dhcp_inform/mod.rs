//! Asks the DHCP server which captive portal it names (RFC 8910 section 2.1), by DHCPINFORM (RFC 2131 section 4.4.3).
//!
//! NetworkManager 1.52 does not ask for it, and tells nobody when it comes unasked.
//!
//! A raw socket for UDP, because port 68 is NetworkManager's, and we have CAP_NET_RAW alone. The kernel finds the way
//! and the neighbour, as for all who speak from our address. What it hears was let in by the firewall as answers of DHCP
//! are. NetworkManager holds a socket for what its server sends to port 68, and drops what it did not ask for, so no
//! "port unreachable" goes back there. Another server that answers our broadcast gets one.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use netsetup_core::engine::Lease;
use netsetup_core::names::InterfaceName;
use rustls::crypto::ring::default_provider;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

mod message;

use message::Question;

/// How long a server may think each time: it is asked itself, then everybody on the wire is.
const TRY: Duration = Duration::from_millis(700);
/// Bytes of a packet that we read, more than any server sends unasked (RFC 2132 section 9.10).
const LONGEST: usize = 4096;

/// Why nobody tells.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CAP_NET_RAW is missing.
    #[error("failed to ask the DHCP server on '{interface}': this needs the capability CAP_NET_RAW")]
    NotPermitted {
        /// The interface.
        interface: InterfaceName,
    },
    /// No server answers.
    #[error("failed to ask the DHCP server on '{interface}': none answers")]
    Silent {
        /// The interface.
        interface: InterfaceName,
    },
    /// What the kernel says.
    #[error("failed to ask the DHCP server on '{interface}'")]
    Socket {
        /// The interface.
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
            Self::NotPermitted { .. } => "dhcp-inform-not-permitted",
            Self::Silent { .. } => "dhcp-inform-silent",
            Self::Socket { .. } => "dhcp-inform-socket",
        }
    }

    /// Whether it may go better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Socket { .. } => true,
            Self::NotPermitted { .. } => false,
        }
    }

    fn from_kernel(interface: &InterfaceName, source: io::Error) -> Self {
        let interface = interface.clone();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { interface },
            _ => Self::Socket { interface, source },
        }
    }
}

/// The URI that the server names, as a stranger wrote it: of the portal's API, or before RFC 8910 of its page. None when
/// the server names none, or says that there is no portal.
///
/// Takes at most 1.4 s. `address` is ours on `interface`, by `lease`.
///
/// # Errors
/// When no server answers, CAP_NET_RAW is missing, or the kernel does not send.
pub async fn portal(
    interface: &InterfaceName,
    address: Ipv4Addr,
    lease: &Lease,
) -> Result<Option<String>, Error> {
    let failed = |source| Error::from_kernel(interface, source);
    let mut transaction = [0; 4];
    default_provider()
        .secure_random
        .fill(&mut transaction)
        .map_err(|_| failed(io::Error::other("no random number")))?;
    let question = Question {
        transaction,
        address,
        client: lease.client,
    };
    let socket = open(interface, &question).map_err(failed)?;
    let mut outcome = Error::Silent {
        interface: interface.clone(),
    };
    for server in [lease.server, Ipv4Addr::BROADCAST] {
        if let Err(source) = socket.send_to(&question.packet(server), (server, 0)).await {
            outcome = failed(source);
            continue;
        }
        if let Ok(answer) = timeout(TRY, hear(&socket, &question)).await {
            return answer.map_err(failed);
        }
    }
    Err(outcome)
}

/// A raw socket with the methods of a UDP socket, as tokio has none of its own.
fn open(interface: &InterfaceName, question: &Question) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::UDP))?;
    socket.attach_filter(&question.filter())?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    // Not bound to our address: an answer to everybody is one too.
    socket.set_header_included_v4(true)?;
    socket.set_broadcast(true)?;
    UdpSocket::from_std(socket.into())
}

async fn hear(socket: &UdpSocket, question: &Question) -> io::Result<Option<String>> {
    let mut packet = [0; LONGEST];
    loop {
        let length = socket.recv(&mut packet).await?;
        if let Some(said) = packet.get(..length).and_then(|packet| question.answer(packet)) {
            return Ok(said);
        }
    }
}
