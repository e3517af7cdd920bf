//! What the transmuxer is given and what it gives back.

use std::time::Duration;

use bytes::Bytes;

use super::Frame;
use super::audio::{Source, Step};
use super::gate::{AfterLoss, KeyFrameNeeded};
use crate::rtp::{RtpPacket, SenderReport, Track};
use crate::units::FrameRate;

/// How a session is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the audio comes from.
    pub audio: Source,
    /// SPS and PPS from the offer (RFC 6184 section 8.1, `sprop-parameter-sets`), as NAL units; may be empty.
    pub parameter_sets: Vec<Bytes>,
    /// What happens between a loss and the next IDR picture.
    pub after_loss: AfterLoss,
    /// How long a missing packet is waited for.
    pub loss_wait: Duration,
    /// How long a frame waits for the other track.
    pub hold: Duration,
}

impl Settings {
    /// The settings for `audio`, with everything else at its default.
    pub fn new(audio: Source) -> Self {
        Self {
            audio,
            parameter_sets: Vec::new(),
            after_loss: AfterLoss::default(),
            // A few retransmissions over the robot's WiFi.
            loss_wait: Duration::from_millis(150),
            hold: Duration::from_millis(80),
        }
    }
}

/// What goes in.
#[derive(Clone, Debug)]
pub enum Input {
    /// A packet, as it came from the network.
    Rtp(Track, RtpPacket),
    /// A sender report.
    SenderReport(Track, SenderReport),
    /// AAC frames that filled up while the last [`Output::Audio`] was carried out.
    Aac(Vec<Bytes>),
    /// A new publication begins: its clock is zero, it starts with headers and an IDR picture.
    Restart,
    /// A deadline has passed.
    Tick,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the transcoder; what it makes comes back as [`Input::Aac`].
    Audio(Step),
    /// To the ingest.
    Frame(Frame),
    /// The camera is to be asked for an IDR picture.
    KeyFrameNeeded(KeyFrameNeeded),
    /// What the picture is like; told when it is known and when it changes materially.
    Picture(Picture),
    /// The picture has another size than the publication began with. Nothing is published until [`Input::Restart`].
    SizeChanged {
        /// Width and height in pixels so far.
        from: (u32, u32),
        /// Width and height in pixels from now on.
        to: (u32, u32),
    },
    /// The camera sends what cannot be published. Nothing is published until [`Input::Restart`].
    Unsupported(Unsupported),
}

/// The picture as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Measured from timestamps; `None` until about half a second of video has come.
    pub frame_rate: Option<FrameRate>,
}

/// Why a stream cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Pictures are not shown in the order in which they are sent.
    #[error("the camera sends B pictures, whose decoding times RTP does not carry")]
    Reordered,
    /// The sequence parameter set cannot be read.
    #[error("the camera's sequence parameter set cannot be read")]
    ParameterSet,
}

impl Unsupported {
    /// A stable word for status and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reordered => "reordered-pictures",
            Self::ParameterSet => "unreadable-parameter-set",
        }
    }
}

/// Counts since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Video packets that arrived.
    pub video_packets: u64,
    /// Video packets that never came.
    pub video_lost: u64,
    /// Video packets that came twice or too late.
    pub video_late: u64,
    /// Audio packets that arrived.
    pub audio_packets: u64,
    /// Audio packets that never came.
    pub audio_lost: u64,
    /// Samples (48 kHz) that were filled in.
    pub audio_filled: u64,
    /// Whole access units.
    pub access_units: u64,
    /// Whole access units that were not published, because they could not be decoded or no publication ran.
    pub dropped: u64,
    /// Losses: one or more access units missing in a row.
    pub losses: u64,
    /// Whole IDR pictures.
    pub idrs: u64,
    /// Time between the last two IDR pictures.
    pub idr_interval: Option<Duration>,
}
