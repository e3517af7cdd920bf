//! From RTP packets to frames that can be published, without decoding a picture.
//!
//! ```text
//! Rtp(video) -> reorder -> h264 (depacketizer, access units) -> gate -+
//!                                                                     +-> interleave -> Frame
//! Rtp(audio) -> reorder -> audio (decode, conceal, fill) -> transcoder +
//! ```
//! [`transmux::Transmuxer`] is the machine of the whole stage; the transcoder is the caller's.

use bytes::Bytes;

use crate::units::MediaTime;

pub mod audio;
mod exchange;
mod frame_rate;
pub mod gate;
pub mod h264;
pub mod interleave;
pub mod reorder;
mod sound;
pub mod timeline;
pub mod transmux;

/// What is published, in the order in which it is published. Timestamps of one track never fall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The decoder configuration that holds for all video from here on.
    VideoHeader {
        /// When the first picture with this configuration is shown.
        at: MediaTime,
        /// The parameter sets and what they say.
        configuration: h264::DecoderConfiguration,
    },
    /// One access unit.
    Video {
        /// Decoding time.
        at: MediaTime,
        /// Composition minus decoding time, in milliseconds; 0 unless pictures are reordered.
        composition_offset_ms: u32,
        /// Whether it is an IDR picture, from which a decoder can start.
        idr: bool,
        /// The NAL units without start codes or lengths, as the camera made them.
        nals: Vec<Bytes>,
    },
    /// The AudioSpecificConfig (ISO 14496-3 section 1.6.2.1) that holds for all audio from here on.
    AudioHeader {
        /// When it starts to hold.
        at: MediaTime,
        /// The configuration's bytes.
        configuration: Bytes,
    },
    /// One AAC-LC frame of 1024 samples (raw_data_block, no ADTS header).
    Audio {
        /// When its first sample is heard.
        at: MediaTime,
        /// The frame's bytes.
        payload: Bytes,
    },
}

impl Frame {
    /// Whether it is a picture.
    pub fn is_picture(&self) -> bool {
        matches!(self, Self::Video { .. })
    }

    /// The time at which the frame is decoded.
    pub fn at(&self) -> MediaTime {
        match self {
            Self::VideoHeader { at, .. }
            | Self::Video { at, .. }
            | Self::AudioHeader { at, .. }
            | Self::Audio { at, .. } => *at,
        }
    }
}

/// Where virtual time begins in tests.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other constructor; tests only add to it"
)]
fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
