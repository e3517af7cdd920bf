//! What comes off the WebRTC stack: packets and reports of the camera's two streams.

use bytes::Bytes;

/// Which of the camera's two streams a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// H.264, 90 kHz.
    Video,
    /// Opus at 48 kHz, or PCMU/PCMA at 8 kHz.
    Audio,
}

/// One RTP packet (RFC 3550 section 5.1) after SRTP; header extensions and padding are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Sequence number, modulo 2^16.
    pub sequence: u16,
    /// Timestamp in ticks of the track's clock, modulo 2^32.
    pub timestamp: u32,
    /// The marker bit: the last packet of an access unit (RFC 6184 section 5.1).
    pub marker: bool,
    /// The payload.
    pub payload: Bytes,
}

/// What a sender report says about the two clocks of a track (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Wall clock of the sender, NTP format: seconds since 1900 in the upper, fraction in the lower 32 bits.
    pub ntp: u64,
    /// The same instant in ticks of the track's clock.
    pub rtp_timestamp: u32,
}
