//! The bytes of one connection: TCP with or without TLS, and how many of them have really left.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls_pki_types::ServerName;
use spotstream_core::ingest::directory::Target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Error, Plan};
use crate::edge::tcp;

/// How long a name may take to be resolved.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// How long one address may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long TLS may take.
const TLS_LIMIT: Duration = Duration::from_secs(10);
/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;
/// How much TLS may hold that the kernel has not taken yet; it would take 64 KiB otherwise.
const TLS_BUFFER: usize = 32 * 1024;
/// How much is read at once. A server has little to say to a publisher.
const READ_SIZE: usize = 4096;

/// An open connection with its outgoing bytes.
pub(super) struct Wire {
    stream: Stream,
    out: VecDeque<Vec<u8>>,
    /// How much of the first buffer is written.
    offset: usize,
    /// Bytes that were ever queued, and that were ever written to the stream.
    queued: u64,
    written: u64,
    /// `written` and the socket's own count when TLS held nothing last.
    clear: (u64, u64),
    received: u64,
    /// What the kernel said last.
    kernel: tcp::Kernel,
}

enum Stream {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
}

/// What happened on the wire.
pub(super) enum Progress {
    /// These bytes came.
    Read(Vec<u8>),
    /// Some bytes went.
    Wrote,
    /// The server has closed its side.
    Closed,
}

impl Wire {
    /// Connects to the first address of the target that answers.
    pub(super) async fn open(target: &Target, plan: &Plan) -> Result<Self, Error> {
        let stream = connect(target, plan).await?;
        let lost = |source| Error::Connect {
            host: target.host.clone(),
            address: stream.1,
            source,
        };
        tcp::tune_for_live(&stream.0).map_err(lost)?;
        let stream = Counted {
            stream: stream.0,
            written: 0,
        };
        let stream = if target.tls {
            secure(target, plan, stream).await?
        } else {
            Stream::Plain(stream)
        };
        let mut wire = Self {
            stream,
            out: VecDeque::new(),
            offset: 0,
            queued: 0,
            written: 0,
            clear: (0, 0),
            received: 0,
            kernel: tcp::Kernel::default(),
        };
        wire.clear = (0, wire.socket().written);
        Ok(wire)
    }

    /// Queues bytes; gives back the offset at which they end.
    pub(super) fn queue(&mut self, bytes: Vec<u8>) -> u64 {
        self.queued += bytes.len() as u64;
        if !bytes.is_empty() {
            self.out.push_back(bytes);
        }
        self.queued
    }

    /// Bytes that are queued here and were not taken by TLS or the kernel.
    pub(super) fn waiting(&self) -> u64 {
        self.queued - self.written
    }

    /// Bytes queued here that have left the machine, as far as is known.
    pub(super) fn sent(&self) -> u64 {
        self.written
            .saturating_sub(self.in_tls() + u64::from(self.kernel.unsent_bytes))
    }

    /// Bytes that were ever queued.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes that ever came from the server.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether nothing waits here or in TLS.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && !self.stream.wants_write()
    }

    /// Asks the kernel how the connection is doing.
    pub(super) fn inspect(&mut self) -> tcp::Kernel {
        // A socket that cannot be asked has failed, and reading from it says so.
        self.kernel = tcp::inspect(&self.socket().stream).unwrap_or(self.kernel);
        self.kernel
    }

    /// Writes what is queued and reads what comes. Dropping the future loses nothing.
    pub(super) async fn progress(&mut self) -> io::Result<Progress> {
        poll_fn(|context| self.poll_progress(context)).await
    }

    /// Says that no more bytes will come. What the server still says can be read.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|context| match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        })
        .await
    }

    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        if let Poll::Ready(result) = self.poll_write(context) {
            return Poll::Ready(result.map(|()| Progress::Wrote));
        }
        let mut bytes = [0; READ_SIZE];
        let mut buffer = ReadBuf::new(&mut bytes);
        let result = match &mut self.stream {
            Stream::Plain(stream) => ready!(Pin::new(stream).poll_read(context, &mut buffer)),
            Stream::Tls(stream) => ready!(Pin::new(stream).poll_read(context, &mut buffer)),
        };
        let read = buffer.filled();
        self.received += read.len() as u64;
        Poll::Ready(match result {
            Ok(()) if read.is_empty() => Ok(Progress::Closed),
            Ok(()) => Ok(Progress::Read(read.to_vec())),
            // Servers that just drop the connection leave TLS without its goodbye. For us that is the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Progress::Closed),
            Err(error) => Err(error),
        })
    }

    /// Ready when some bytes went; pending when none can, or there are none.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(first) = self.out.front() else {
            return self.poll_flush(context);
        };
        let rest = first.get(self.offset..).unwrap_or_default();
        let count = match &mut self.stream {
            Stream::Plain(stream) => ready!(Pin::new(stream).poll_write(context, rest)),
            Stream::Tls(stream) => ready!(Pin::new(stream).poll_write(context, rest)),
        }?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.offset += count;
        self.written += count as u64;
        if self.offset >= first.len() {
            self.out.pop_front();
            self.offset = 0;
        }
        self.note_clear();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tls(stream) if stream.get_ref().1.wants_write() => {
                let result = ready!(Pin::new(stream).poll_flush(context));
                self.note_clear();
                Poll::Ready(result)
            }
            Stream::Tls(_) | Stream::Plain(_) => Poll::Pending,
        }
    }

    fn note_clear(&mut self) {
        if !self.stream.wants_write() {
            self.clear = (self.written, self.socket().written);
        }
    }

    /// Bytes that TLS has taken and the kernel has not. Records add less than a hundredth, which is not counted.
    fn in_tls(&self) -> u64 {
        let (written, socket) = self.clear;
        (self.written - written).saturating_sub(self.socket().written - socket)
    }

    fn socket(&self) -> &Counted {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Stream {
    fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }
}

async fn connect(target: &Target, plan: &Plan) -> Result<(TcpStream, SocketAddr), Error> {
    let host = &target.host;
    let unknown = |source| Error::Resolve {
        host: host.clone(),
        source,
    };
    let addresses = match timeout(RESOLVE_LIMIT, lookup_host((host.as_str(), target.port))).await {
        Ok(addresses) => addresses.map_err(unknown)?,
        Err(_) => return Err(unknown(io::ErrorKind::TimedOut.into())),
    };
    let mut last = unknown(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses.take(MOST_ADDRESSES) {
        match tcp::connect(address, plan.interface.as_deref(), CONNECT_LIMIT).await {
            Ok(stream) => return Ok((stream, address)),
            Err(source) => {
                last = Error::Connect {
                    host: host.clone(),
                    address,
                    source,
                }
            }
        }
    }
    Err(last)
}

async fn secure(target: &Target, plan: &Plan, stream: Counted) -> Result<Stream, Error> {
    let failed = |source| Error::Tls {
        host: target.host.clone(),
        source,
    };
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connecting = TlsConnector::from(plan.tls.clone()).connect(name, stream);
    match timeout(TLS_LIMIT, connecting).await {
        Ok(connected) => {
            let mut stream = connected.map_err(failed)?;
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
            Ok(Stream::Tls(Box::new(stream)))
        }
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// A socket that counts what the kernel takes, which TLS does not tell.
struct Counted {
    stream: TcpStream,
    written: u64,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.written += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.written += count as u64;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
