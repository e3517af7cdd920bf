//! The sockets that systemd listens on for us (`sd_listen_fds(3)`): a port that only root may open, for who is not root.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, RawFd};

use nix::sys::socket::{SockaddrLike, SockaddrStorage, getsockname};

/// The listening TCP sockets that were passed under `name` (`FileDescriptorName=`). To be called once, before anything
/// else has taken them; none when nobody has passed any.
///
/// # Errors
/// When what was passed is not what it should be.
pub fn tcp_listeners(name: &str) -> io::Result<Vec<TcpListener>> {
    let passed = match sd_notify::listen_fds_with_names() {
        Ok(passed) => passed,
        // Nobody has passed any, or not to us.
        Err(_) => return Ok(Vec::new()),
    };
    passed
        .filter(|(_, given)| given == name)
        .map(|(socket, _)| listener(socket))
        .collect()
}

fn listener(socket: RawFd) -> io::Result<TcpListener> {
    let address: SockaddrStorage = getsockname(socket)?;
    let is_tcp = matches!(
        address.family(),
        Some(nix::sys::socket::AddressFamily::Inet | nix::sys::socket::AddressFamily::Inet6)
    );
    if !is_tcp {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "systemd has passed a socket that is not of TCP",
        ));
    }
    #[expect(
        unsafe_code,
        reason = "the standard library takes over no descriptor otherwise"
    )]
    // SAFETY: systemd opened it for this process alone, and nothing else here takes it.
    let listener = unsafe { TcpListener::from_raw_fd(socket) };
    listener.set_nonblocking(true)?;
    Ok(listener)
}
