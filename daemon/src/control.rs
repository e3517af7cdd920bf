//! What the run loop and its operators say to each other: D-Bus today, other doors later.
//!
//! The run loop publishes a [`Status`] through a watch channel and answers each [`Request`]. Neither carries a secret.

use std::borrow::Cow;
use std::time::Duration;

use spotstream_core::robot::custody;
use spotstream_core::robot::stream_parameters::{Frames, StreamParameters};
use spotstream_core::units::{Bitrate, FrameRate};
use tokio::sync::{mpsc, oneshot, watch};

use crate::edge::pins::{Pin, Role};

/// What a person may know at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The stable word of the state, for programs.
    pub state: &'static str,
    /// The stable word of the reason, for programs; empty when all is well.
    pub reason_kind: Cow<'static, str>,
    /// Why it is so, as a sentence for people.
    pub reason: String,
    /// What was measured.
    pub statistics: Statistics,
    /// What the camera says it does; empty until it was asked.
    pub stream_parameters: StreamParameters,
    /// What the picture shows.
    pub screen: Option<String>,
    /// Our GUID in the robot's list of payloads, when we log in as a payload.
    pub payload_guid: Option<String>,
    /// The certificates that are trusted.
    pub pins: Vec<Pin>,
}

impl Status {
    /// A status that says only the state and why.
    pub fn new(
        state: &'static str,
        reason_kind: impl Into<Cow<'static, str>>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            state,
            reason_kind: reason_kind.into(),
            reason: reason.into(),
            statistics: Statistics::default(),
            stream_parameters: StreamParameters::default(),
            screen: None,
            payload_guid: None,
            pins: Vec::new(),
        }
    }
}

/// What was measured since the start of the daemon, or now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// How long the present publication has been running.
    pub live: Option<Duration>,
    /// The server that takes the stream.
    pub server: Option<String>,
    /// Width and height of the picture.
    pub picture: Option<(u32, u32)>,
    /// Pictures per second as measured.
    pub frame_rate: Option<FrameRate>,
    /// Video sent over the last second.
    pub video_bitrate: Option<Bitrate>,
    /// Pictures sent.
    pub frames_sent: u64,
    /// Pictures that the uplink was too slow for.
    pub frames_dropped: u64,
    /// Whole pictures that were not published, for want of a key frame or of a publication.
    pub frames_withheld: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// Key frames that were asked for.
    pub key_frame_requests: u64,
    /// Bytes given to the server's socket.
    pub bytes_sent: u64,
    /// Media that waits for the uplink.
    pub queue: Option<Duration>,
    /// The uplink's round trip time as TCP measures it.
    pub round_trip: Option<Duration>,
    /// Publications begun.
    pub publications: u64,
}

/// One number or word with a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A count.
    Count(u64),
    /// A measure.
    Real(f64),
    /// A word.
    Word(String),
}

impl Statistics {
    /// All that is known, each with a name that carries its unit.
    pub fn figures(&self) -> Vec<(&'static str, Figure)> {
        let mut figures = vec![
            ("frames_sent", Figure::Count(self.frames_sent)),
            ("frames_dropped", Figure::Count(self.frames_dropped)),
            ("frames_withheld", Figure::Count(self.frames_withheld)),
            ("packets_lost", Figure::Count(self.packets_lost)),
            ("key_frame_requests", Figure::Count(self.key_frame_requests)),
            ("bytes_sent", Figure::Count(self.bytes_sent)),
            ("publications", Figure::Count(self.publications)),
        ];
        let mut known = |name, figure: Option<Figure>| figures.extend(figure.map(|figure| (name, figure)));
        known(
            "live_seconds",
            self.live.map(|span| Figure::Count(span.as_secs())),
        );
        known("server", self.server.clone().map(Figure::Word));
        known(
            "picture_width",
            self.picture.map(|(width, _)| Figure::Count(width.into())),
        );
        known(
            "picture_height",
            self.picture.map(|(_, height)| Figure::Count(height.into())),
        );
        known(
            "frame_rate_hz",
            self.frame_rate.map(|rate| Figure::Real(rate.as_f64())),
        );
        known(
            "video_bitrate_bps",
            self.video_bitrate.map(|rate| Figure::Count(rate.as_bps())),
        );
        known(
            "queue_seconds",
            self.queue.map(|span| Figure::Real(span.as_secs_f64())),
        );
        known(
            "round_trip_seconds",
            self.round_trip.map(|span| Figure::Real(span.as_secs_f64())),
        );
        figures
    }
}

/// All that is known of the camera's encoder, each with a name that carries its unit.
pub fn figures_of(parameters: &StreamParameters) -> Vec<(&'static str, Figure)> {
    let count = |Frames(frames): Frames| Figure::Count(u64::try_from(frames).unwrap_or(0));
    [
        (
            "target_bitrate_bps",
            parameters.target_bitrate.map(|rate| Figure::Count(rate.as_bps())),
        ),
        ("refresh_interval_frames", parameters.refresh_interval.map(count)),
        ("idr_interval_frames", parameters.idr_interval.map(count)),
        (
            "awb_mode",
            parameters.awb.map(|mode| Figure::Word(mode.name().to_owned())),
        ),
    ]
    .into_iter()
    .filter_map(|(name, figure)| Some((name, figure?)))
    .collect()
}

/// The answer to a request.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// What an operator wants.
#[derive(Debug)]
pub enum Request {
    /// Go live.
    Start {
        /// Answered when it is accepted, not when it is live.
        reply: Reply<()>,
    },
    /// Stop, and give the camera its settings back.
    Stop {
        /// Answered when it is accepted.
        reply: Reply<()>,
    },
    /// Which screens the camera has.
    ListScreens {
        /// Their names.
        reply: Reply<Vec<String>>,
    },
    /// Show another screen.
    SetScreen {
        /// Its name.
        name: String,
        /// Answered when the camera shows it.
        reply: Reply<()>,
    },
    /// Ask the camera for other stream parameters.
    SetCamera {
        /// What to change; never empty.
        change: StreamParameters,
        /// What the camera says it does now.
        reply: Reply<StreamParameters>,
    },
    /// Trust the certificate that was shown instead of the pinned one.
    AcceptPin {
        /// Whose.
        role: Role,
        /// How many pins were replaced.
        reply: Reply<u32>,
    },
}

impl Request {
    /// Answers that nothing will be done. An operator who has left wants no answer.
    pub fn refuse(self, refusal: Refusal) {
        match self {
            Self::Start { reply } | Self::Stop { reply } | Self::SetScreen { reply, .. } => {
                drop(reply.send(Err(refusal)));
            }
            Self::ListScreens { reply } => drop(reply.send(Err(refusal))),
            Self::SetCamera { reply, .. } => drop(reply.send(Err(refusal))),
            Self::AcceptPin { reply, .. } => drop(reply.send(Err(refusal))),
        }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// The stable word of the reason.
    pub kind: &'static str,
    /// Why, as a sentence for people.
    pub sentence: String,
    /// Whether the same request may succeed later.
    pub is_retryable: bool,
}

impl Refusal {
    /// There is no camera to ask.
    pub fn no_camera() -> Self {
        Self {
            kind: "no-camera",
            sentence: "the camera is not connected: try again when the robot has let us in".to_owned(),
            is_retryable: true,
        }
    }

    /// The camera did something else.
    pub fn not_taken(refusal: &custody::Refusal) -> Self {
        Self {
            kind: "not-taken",
            sentence: refusal.to_string(),
            is_retryable: false,
        }
    }

    /// The run loop is gone or going.
    pub fn stopping() -> Self {
        Self {
            kind: "stopping",
            sentence: "the daemon is stopping".to_owned(),
            is_retryable: true,
        }
    }
}

/// An operator's end: what is known, and a way to ask.
#[derive(Clone, Debug)]
pub struct Control {
    /// What is known.
    pub status: watch::Receiver<Status>,
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// Makes both ends; the run loop keeps the sender of the status and the receiver of the requests.
    pub fn channel(first: Status) -> (Self, watch::Sender<Status>, mpsc::Receiver<Request>) {
        let (publish, status) = watch::channel(first);
        let (requests, inbox) = mpsc::channel(8);
        (Self { status, requests }, publish, inbox)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the run loop refuses, or that it is no longer there.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| Refusal::stopping())?;
        answer.await.unwrap_or_else(|_| Err(Refusal::stopping()))
    }
}
