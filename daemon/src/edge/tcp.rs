//! TCP connections: which interface they leave by, how long they may stall, and what the kernel knows of them.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How many unsent bytes the kernel takes before a socket stops being writable: about 45 ms at 6 Mb/s.
///
/// Without it Linux grows the send buffer to about 4 MB, which hides 8 s of latency from whoever paces the stream.
const NOTSENT_LOWAT: u32 = 32 * 1024;

/// How long sent data may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(8);

/// Opens a connection, through `interface` alone when one is given.
///
/// # Errors
/// What the kernel says, or `TimedOut` after `limit`.
pub async fn connect(address: SocketAddr, interface: Option<&str>, limit: Duration) -> io::Result<TcpStream> {
    let socket = socket_to(address, interface)?;
    match timeout(limit, socket.connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer in {} s", limit.as_secs()),
        )),
    }
}

/// A socket for a connection to `address` that sends at once, and through `interface` alone when one is given.
///
/// # Errors
/// What the kernel says.
pub fn socket_to(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Prepares a connection for live media: a short send queue, and a dead peer is noticed in seconds.
///
/// # Errors
/// What the kernel says.
pub fn tune_for_live(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// What the kernel knows of a connection (`struct tcp_info`, linux/tcp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// The smoothed round-trip time.
    pub round_trip: Duration,
    /// Bytes in the send queue that were never sent.
    pub unsent_bytes: u32,
    /// Segments that were sent and not acknowledged yet.
    pub unacknowledged_segments: u32,
    /// Bytes that the peer has acknowledged (RFC 4898 tcpEStatsAppHCThruOctetsAcked).
    pub acknowledged_bytes: u64,
}

/// Asks the kernel about a connection.
///
/// # Errors
/// What the kernel says.
pub fn inspect(socket: &impl AsFd) -> io::Result<Kernel> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or(0);
    #[expect(unsafe_code, reason = "no crate in the tree wraps TCP_INFO")]
    // SAFETY: the kernel writes at most `length` bytes into `info`; every bit pattern, zeroes included, is a
    // valid `tcp_info`, so what an older kernel leaves unwritten reads as 0.
    let info = unsafe {
        let result = libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        info.assume_init()
    };
    Ok(Kernel {
        round_trip: Duration::from_micros(u64::from(info.tcpi_rtt)),
        unsent_bytes: info.tcpi_notsent_bytes,
        acknowledged_bytes: info.tcpi_bytes_acked,
        unacknowledged_segments: info.tcpi_unacked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_peer_that_does_not_read_shows_as_unsent_bytes_and_a_socket_that_is_not_writable() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = connect(listener.local_addr().unwrap(), None, Duration::from_secs(5))
            .await
            .unwrap();
        tune_for_live(&stream).unwrap();
        let _peer = listener.accept().await.unwrap();
        let before = inspect(&stream).unwrap();
        assert_eq!(before.unsent_bytes, 0);

        let block = vec![0; 256 * 1024];
        while timeout(Duration::from_millis(300), stream.writable())
            .await
            .is_ok()
        {
            let _ = stream.try_write(&block);
        }
        assert!(inspect(&stream).unwrap().acknowledged_bytes > before.acknowledged_bytes);
        let unsent = inspect(&stream).unwrap().unsent_bytes;
        assert!(unsent >= NOTSENT_LOWAT, "{unsent} bytes");
        assert!(unsent < 1024 * 1024, "{unsent} bytes");
    }

    #[tokio::test]
    async fn an_interface_that_does_not_exist_is_an_error() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let result = connect(address, Some("nosuchif0"), Duration::from_secs(1)).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
