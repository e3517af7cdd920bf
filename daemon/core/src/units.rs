//! Numbers that know their unit.

use std::fmt;
use std::time::Duration;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u64);

impl Bitrate {
    /// From bits per second.
    pub const fn bps(value: u64) -> Self {
        Self(value)
    }

    /// From kilobits (1000 bits) per second.
    pub const fn kbps(value: u64) -> Self {
        Self(value.saturating_mul(1000))
    }

    /// In bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// In kilobits per second, as FLV metadata has it.
    #[expect(clippy::cast_precision_loss, reason = "a bitrate above 2^53 b/s is not one")]
    pub fn as_kbps_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kb/s", self.0 / 1000)
    }
}

/// Pictures per second, kept in thousandths so that 29.97 is a value like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameRate(u32);

impl FrameRate {
    /// From thousandths of a frame per second.
    pub const fn millihertz(value: u32) -> Self {
        Self(value)
    }

    /// In thousandths of a frame per second.
    pub const fn as_millihertz(self) -> u32 {
        self.0
    }

    /// In frames per second, as FLV metadata has it.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The number of frames nearest to `span`, at least 1.
    pub fn frames_in(self, span: Duration) -> u32 {
        let thousandths = u128::from(self.0) * span.as_millis();
        u32::try_from((thousandths + 500_000) / 1_000_000)
            .unwrap_or(u32::MAX)
            .max(1)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} fps", self.as_f64())
    }
}

/// Milliseconds since the first frame of a publication: the time base of RTMP and FLV.
///
/// It is 64 bits wide here; the RTMP chunk writer takes it modulo 2^32 (RTMP 1.0 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The first frame.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    pub const fn millis(value: u64) -> Self {
        Self(value)
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_of_frames_are_rounded_to_the_nearest_frame() {
        let two = Duration::from_secs(2);
        assert_eq!(FrameRate::millihertz(30_000).frames_in(two), 60);
        assert_eq!(FrameRate::millihertz(29_970).frames_in(two), 60);
        assert_eq!(FrameRate::millihertz(15_000).frames_in(two), 30);
        assert_eq!(FrameRate::millihertz(1).frames_in(two), 1);
    }
}
