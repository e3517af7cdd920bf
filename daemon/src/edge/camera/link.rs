//! The sockets of a session: tied to the link to the robot, and read in gulps.

use std::fmt::{self, Debug};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::time::Sleep;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use crate::edge::bind::Bind;

/// Room in the kernel for the packets of one large key frame while the daemon is busy, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How long arriving packets may gather before they are looked at.
///
/// A camera sends a frame as some twenty packets, a few dozen microseconds apart: just enough for a reader to fall
/// asleep after each one. Waking up costs more than a packet does.
const GATHER: Duration = Duration::from_millis(4);

/// Tokio, with every UDP socket of the session tied to the robot-side interface.
///
/// The WebRTC stack opens its sockets itself; wrapping them is the one place where it lets us at them.
#[derive(Debug)]
pub(super) struct LinkRuntime {
    bind: Bind,
    tokio: TokioRuntime,
}

impl LinkRuntime {
    pub(super) fn new(bind: Bind) -> Self {
        Self {
            bind,
            tokio: TokioRuntime,
        }
    }
}

impl Runtime for LinkRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.tokio.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.bind.apply(&socket)?;
        // The kernel caps this at net.core.rmem_max and does not fail.
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        let inner = self.tokio.wrap_udp_socket(socket)?;
        let pace = Mutex::new(Pace {
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            state: Reading::Waiting,
        });
        Ok(Arc::new(GatheringSocket { inner, pace }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.tokio.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        _remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        // ICE over TCP would go around the interface that the UDP sockets are tied to.
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve_host<'a>(
        &'a self,
        _host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        // Only STUN and TURN servers have names, and none is configured.
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn now(&self) -> Instant {
        self.tokio.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.tokio.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.tokio.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }

    fn name(&self) -> &'static str {
        "tokio on the robot's link"
    }
}

/// A socket that is read at most once every [`GATHER`], and then until it is empty.
struct GatheringSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    pace: Mutex<Pace>,
}

struct Pace {
    pause: Pin<Box<Sleep>>,
    state: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The kernel tells when the next packet is there.
    Waiting,
    /// There may be more.
    Draining,
    /// Empty a moment ago; more may gather until the pause is over.
    Pausing,
}

impl Debug for GatheringSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AsyncUdpSocket for GatheringSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.inner.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.state == Reading::Draining {
            // Without a waker: the next packet is not to wake anybody before the pause is over.
            match self
                .inner
                .poll_recv(&mut Context::from_waker(Waker::noop()), bufs, meta)
            {
                Poll::Ready(result) => return Poll::Ready(result),
                Poll::Pending => {
                    pace.pause.as_mut().reset((Instant::now() + GATHER).into());
                    pace.state = Reading::Pausing;
                }
            }
        }
        if pace.state == Reading::Pausing {
            ready!(pace.pause.as_mut().poll(cx));
            pace.state = Reading::Waiting;
        }
        let result = ready!(self.inner.poll_recv(cx, bufs, meta));
        pace.state = Reading::Draining;
        Poll::Ready(result)
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_gather_and_none_is_left_behind() {
        let runtime = LinkRuntime::new(Bind::default());
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let address = receiver.local_addr().unwrap();
        let receiver = runtime.wrap_udp_socket(receiver).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sending = std::thread::spawn(move || {
            for round in 0_u8..20 {
                for packet in 0_u8..10 {
                    sender.send_to(&[round, packet], address).unwrap();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for expected in (0_u8..20).flat_map(|round| (0_u8..10).map(move |packet| [round, packet])) {
            let mut buffer = [0; 8];
            let limit = Duration::from_secs(5);
            let (length, _) = tokio::time::timeout(limit, receiver.recv_from(&mut buffer))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(buffer[..length], expected);
        }
        sending.join().unwrap();
    }
}
