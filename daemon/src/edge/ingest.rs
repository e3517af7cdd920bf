//! One RTMP(S) publication: socket, TLS, handshake, chunk writer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use spotstream_core::ingest::directory::Target;
use spotstream_core::ingest::{chunk, command, flv};
use spotstream_core::media::Frame;
use spotstream_core::units::Bitrate;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod rtmp;
mod session;
mod wire;

use session::{End, Session};
use wire::Wire;

/// How many frames may wait for the task to look at them. It looks at once unless the machine is starved, so this is
/// seconds of media; what waits for the network is in `Pace`.
const FRAMES: usize = 256;

/// How long a publication may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How a publication is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to trust with RTMPS.
    pub tls: Arc<ClientConfig>,
    /// Leave by this interface alone (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// What the metadata says.
    pub description: flv::Description,
}

/// What became of it.
#[derive(Debug)]
pub enum Event {
    /// The server waits for media.
    Publishing {
        /// The name of the server.
        server: String,
    },
    /// How it is going, once a second.
    Statistics(Statistics),
    /// The server has acknowledged something since [`Ingest::listen`].
    Heard,
    /// More media comes than leaves: ask the camera for less.
    Choked,
    /// That is over.
    Relieved,
    /// The viewers see nothing before the next IDR.
    KeyFrameNeeded,
    /// A person must act: the server does not want this key, or has no such application. The publication is over.
    Refused(Error),
    /// The publication is over, for a reason that may pass.
    Closed(Error),
}

/// How a publication is going. Counts are since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes that have left the machine, RTMP's own included.
    pub bytes_sent: u64,
    /// Frames, pictures and audio, that were sent.
    pub frames_sent: u64,
    /// Pictures that were given up because the uplink was too slow.
    pub frames_dropped: u64,
    /// The media time between the newest frame and the oldest that has not left.
    pub queued: Duration,
    /// Bytes of frames that wait, in our queue, in TLS and unsent in the kernel.
    pub queued_bytes: u64,
    /// What has left in the last second.
    pub bitrate: Bitrate,
    /// The smoothed round-trip time to the server.
    pub round_trip: Option<Duration>,
}

/// The publication is not keeping up with looking at its frames: the machine is starved, or it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to hand over a frame")]
pub struct Full;

/// Why a publication is over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no server to try.
    #[error("failed to publish: no server is given")]
    NoTarget,
    /// The name of the server has no address.
    #[error("failed to find the address of '{host}'")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No TCP connection.
    #[error("failed to connect to '{host}' at {address}")]
    Connect {
        /// The name.
        host: String,
        /// The address tried last.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No TLS.
    #[error("failed to set up TLS with '{host}'")]
    Tls {
        /// The name.
        host: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("failed to keep the connection")]
    Lost(#[source] io::Error),
    /// The server does not speak RTMP.
    #[error("failed to speak RTMP with the server")]
    Rtmp(#[from] rtmp::Error),
    /// The server's chunks cannot be read.
    #[error("failed to read what the server sends")]
    Chunk(#[from] chunk::Error),
    /// The server said no, or nothing.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A frame for which FLV has no room.
    #[error("failed to publish a frame")]
    Frame(#[from] flv::Error),
    /// The uplink does not move.
    #[error("failed to send anything for 6 s")]
    Stalled,
    /// The uplink is too slow even for the audio.
    #[error("failed to keep up: 10 s of media wait to be sent")]
    Hopeless,
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoTarget => "ingest-no-server",
            Self::Resolve { .. } => "ingest-name",
            Self::Connect { .. } => "ingest-connect",
            Self::Tls { .. } => "ingest-tls",
            Self::Lost(_) => "ingest-lost",
            Self::Rtmp(_) | Self::Chunk(_) => "ingest-protocol",
            Self::Command(error) => error.kind(),
            Self::Frame(_) => "frame",
            Self::Stalled => "ingest-stalled",
            Self::Hopeless => "ingest-too-slow",
        }
    }

    /// Whether the same try may succeed a few seconds later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoTarget => false,
            Self::Command(error) => error.is_retryable(),
            // A wrong clock makes certificates invalid, and clocks are set once the network is up.
            Self::Tls { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Lost(_)
            | Self::Rtmp(_)
            | Self::Chunk(_)
            | Self::Frame(_)
            | Self::Stalled
            | Self::Hopeless => true,
        }
    }
}

/// A running publication. Dropping it ends it without a goodbye.
#[derive(Debug)]
pub struct Ingest {
    frames: mpsc::Sender<Frame>,
    listen: mpsc::Sender<()>,
    close: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Ingest {
    /// Hands a frame over; it never waits.
    ///
    /// Frames before [`Event::Publishing`] are not sent. A publication begins with the headers that come after it and
    /// the first IDR after them.
    ///
    /// # Errors
    /// When the publication does not look at its frames, or is over.
    pub fn send(&self, frame: Frame) -> Result<(), Full> {
        self.frames.try_send(frame).map_err(|_| Full)
    }

    /// Asks for [`Event::Heard`]; there is none while nothing is acknowledged.
    pub fn listen(&self) {
        // One waiting request says all that two would.
        let _ = self.listen.try_send(());
    }

    /// Tells the server that it is over and closes the connection; takes 3 s at most. There is no event.
    pub async fn close(mut self) {
        if let Some(close) = self.close.take() {
            // An error means that the task has ended, which is what we want.
            let _ = close.send(());
        }
        if timeout(CLOSE_LIMIT, &mut self.task).await.is_err() {
            tracing::debug!("the server was slow to take our goodbye");
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes to the first of `targets` that takes a connection.
///
/// The last event is [`Event::Refused`] or [`Event::Closed`]. Names are looked up anew each time.
pub fn start(targets: Vec<Target>, plan: Plan, events: mpsc::Sender<Event>) -> Ingest {
    let (frames, frame_receiver) = mpsc::channel(FRAMES);
    let (listen, listen_receiver) = mpsc::channel(1);
    let (close, close_receiver) = oneshot::channel();
    let work = Work {
        frames: frame_receiver,
        listen: listen_receiver,
        close: close_receiver,
        events,
        plan,
    };
    Ingest {
        frames,
        listen,
        close: Some(close),
        task: tokio::spawn(work.run(targets)),
    }
}

/// What outlives a connection.
struct Work {
    frames: mpsc::Receiver<Frame>,
    listen: mpsc::Receiver<()>,
    close: oneshot::Receiver<()>,
    events: mpsc::Sender<Event>,
    plan: Plan,
}

impl Work {
    async fn run(mut self, targets: Vec<Target>) {
        let event = match self.publish(&targets).await {
            End::Closed => return,
            End::Failed(error) if error.is_retryable() => Event::Closed(error),
            End::Failed(error) => Event::Refused(error),
        };
        // The receiver may be gone, and then nobody wants to know.
        let _ = self.events.send(event).await;
    }

    /// Tries the targets in order. A server that was reached and refuses or fails is the last: another one of the
    /// same service would say the same, and the caller has its own delays.
    async fn publish(&mut self, targets: &[Target]) -> End {
        let mut last = Error::NoTarget;
        for target in targets {
            let wire = tokio::select! {
                wire = Wire::open(target, &self.plan) => wire,
                () = discard(&mut self.frames) => return End::Closed,
                _ = &mut self.close => return End::Closed,
            };
            match wire {
                Ok(wire) => return Session::new(wire, target.clone(), self).run().await,
                Err(error) => {
                    tracing::info!(server = %target.name, kind = error.kind(), %error, "failed to reach a server");
                    last = error;
                }
            }
        }
        End::Failed(last)
    }
}

/// Takes frames while there is no connection to send them on; returns when there will be no more.
async fn discard(frames: &mut mpsc::Receiver<Frame>) {
    while frames.recv().await.is_some() {}
}
