//! One WebRTC session with the Spot CAM.
//!
//! ```text
//! signalling -> peer (ICE, DTLS, SRTP: the `webrtc` crate) -> tap -> session -> Event
//! ```
//! `link` ties the sockets to the robot's side. The H.264 depacketizer, the jitter buffer and the track objects of the
//! stack are not used: packets leave it as they come out of SRTP, and core does the rest.

mod link;
mod peer;
mod session;
mod tap;

use std::path::PathBuf;
use std::sync::Arc;

use spotstream_core::rtp::{RtpPacket, SenderReport, Track};
use spotstream_core::secret::Secret;
use spotstream_core::session::offer::Offer;
use spotstream_core::session::{health, offer};
use spotstream_core::units::Bitrate;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::pins::PinStore;
use super::signalling::{self, SignallingHost};

pub use super::bind::Bind;

/// What a session needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the camera may be, tried in order.
    pub hosts: Vec<SignallingHost>,
    /// The robot's token.
    pub token: Secret,
    /// From where the camera is reached.
    pub bind: Bind,
    /// The bitrate that the camera is told we can take.
    pub ceiling: Bitrate,
    /// Where the offer is saved for the record, secrets cut.
    pub offer_log: Option<PathBuf>,
}

/// What happens in a session, in order. [`Event::Closed`] is the last.
#[derive(Debug)]
pub enum Event {
    /// The camera's media can come.
    Connected(Connected),
    /// A packet, as it arrived: not yet in order.
    Rtp(Track, RtpPacket),
    /// A sender report.
    SenderReport(Track, SenderReport),
    /// No video for three seconds.
    Stalled,
    /// Video again.
    Resumed,
    /// The session is over. [`Camera::close`] and dropping the handle do not bring this event.
    Closed(Error),
}

/// What is known of the camera once it is connected.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The address that worked.
    pub host: SignallingHost,
    /// What was offered: codecs and parameter sets.
    pub offer: Offer,
}

/// Why a session did not begin, or why it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No address to try.
    #[error("no address of the camera is configured")]
    NoHost,
    /// No offer, or our answer was not taken.
    #[error(transparent)]
    Signalling(#[from] signalling::Error),
    /// The offer is of no use.
    #[error(transparent)]
    Offer(#[from] offer::Error),
    /// The camera's pins cannot be used.
    #[error("failed to prepare TLS for the camera")]
    Tls(#[from] rustls::Error),
    /// The kernel knows no way to the camera.
    #[error("failed to find the local address that faces the camera at '{0}'")]
    Link(SignallingHost, #[source] std::io::Error),
    /// The WebRTC stack refused something.
    #[error(transparent)]
    Peer(#[from] peer::Error),
    /// Our answer was taken, but no path for media was found.
    #[error("failed to connect to the camera's media at '{0}': no path was found within {1} s")]
    NoPath(SignallingHost, u64),
    /// The path was lost: the cable, the robot's network or the camera is gone.
    #[error("the connection to the camera was lost")]
    Lost,
    /// The camera ended the session.
    #[error("the camera ended the session")]
    Ended,
    /// The path is up and no video came.
    #[error("the camera connected and sent no video")]
    NoVideo,
    /// The path is up and video came no more.
    #[error("the camera stopped sending video")]
    VideoEnded,
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoHost => "no-camera-host",
            Self::Signalling(error) => error.kind(),
            Self::Offer(error) => error.kind(),
            Self::Tls(_) => "tls-setup",
            Self::Link(..) => "no-route-to-camera",
            Self::Peer(_) => "webrtc",
            Self::NoPath(..) => "no-media-path",
            Self::Lost => "camera-lost",
            Self::Ended => "camera-ended",
            Self::NoVideo => "no-video",
            Self::VideoEnded => "video-ended",
        }
    }

    /// Whether a new session may succeed without anything being changed first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Signalling(error) => error.is_retryable(),
            Self::Offer(error) => error.is_retryable(),
            Self::NoHost | Self::Tls(_) => false,
            Self::Link(..)
            | Self::Peer(_)
            | Self::NoPath(..)
            | Self::Lost
            | Self::Ended
            | Self::NoVideo
            | Self::VideoEnded => true,
        }
    }
}

impl From<health::Ailment> for Error {
    fn from(ailment: health::Ailment) -> Self {
        match ailment {
            health::Ailment::NoVideo => Self::NoVideo,
            health::Ailment::VideoEnded => Self::VideoEnded,
        }
    }
}

/// A running session. Dropping it ends the session.
#[derive(Debug)]
pub struct Camera {
    requests: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts a session. It tries the hosts in order, and ends with [`Event::Closed`] when none works or when the one that
/// did is gone; trying again is the caller's decision.
pub fn start(plan: Plan, pins: Arc<PinStore>, events: mpsc::Sender<Event>) -> Camera {
    let (requests, receiver) = mpsc::channel(1);
    let task = tokio::spawn(session::run(plan, pins, events, receiver));
    Camera { requests, task }
}

impl Camera {
    /// Asks the camera for a key frame, by PLI and then by FIR, until one comes. Before video flows this changes
    /// nothing: the first key frame is asked for anyway.
    pub fn request_key_frame(&self) {
        // One waiting request says all that two would.
        let _ = self.requests.try_send(());
    }

    /// Ends the session and waits until the camera has been told.
    pub async fn close(self) {
        drop(self.requests);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the camera's session ended badly");
        }
    }
}
