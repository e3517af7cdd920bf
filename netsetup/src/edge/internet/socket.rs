//! Sockets that leave by one interface alone.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use netsetup_core::names::InterfaceName;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Connects to `address` through `interface`.
///
/// # Errors
/// What the kernel says.
pub(super) async fn connect(interface: &InterfaceName, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.connect(address).await
}

/// A UDP socket that talks to `server` through `interface`, and to nobody else. The kernel picks its port at random.
///
/// # Errors
/// What the kernel says.
pub(super) fn talk_to(interface: &InterfaceName, server: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.connect(&SocketAddr::from((server, port)).into())?;
    UdpSocket::from_std(socket.into())
}
