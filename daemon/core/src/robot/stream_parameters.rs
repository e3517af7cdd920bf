//! The camera's encoder settings: what they are, what we want of them, and what the camera made of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units::{Bitrate, FrameRate};

/// A number of frames, as the camera counts its intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frames(pub i64);

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames", self.0)
    }
}

/// White balance. `Off` is a value like any other and not the absence of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the camera names it")]
pub enum AwbMode {
    Off,
    Auto,
    Incandescent,
    Fluorescent,
    WarmFluorescent,
    Daylight,
    Cloudy,
    Twilight,
    Shade,
    Dark,
}

impl AwbMode {
    /// Every mode, by its number on the wire.
    pub const ALL: [Self; 10] = [
        Self::Off,
        Self::Auto,
        Self::Incandescent,
        Self::Fluorescent,
        Self::WarmFluorescent,
        Self::Daylight,
        Self::Cloudy,
        Self::Twilight,
        Self::Shade,
        Self::Dark,
    ];

    /// Its name in settings and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Incandescent => "incandescent",
            Self::Fluorescent => "fluorescent",
            Self::WarmFluorescent => "warm_fluorescent",
            Self::Daylight => "daylight",
            Self::Cloudy => "cloudy",
            Self::Twilight => "twilight",
            Self::Shade => "shade",
            Self::Dark => "dark",
        }
    }
}

impl fmt::Display for AwbMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no white balance mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the camera has no white balance mode '{0}'; it has {names}", names = names())]
pub struct UnknownAwbMode(String);

fn names() -> String {
    AwbMode::ALL.map(AwbMode::name).join(", ")
}

impl FromStr for AwbMode {
    type Err = UnknownAwbMode;

    fn from_str(text: &str) -> Result<Self, UnknownAwbMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| UnknownAwbMode(text.to_owned()))
    }
}

/// The encoder settings that we touch. A field that is `None` is not sent, and the camera leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamParameters {
    /// The rate that the encoder aims at, which it treats as its maximum.
    pub target_bitrate: Option<Bitrate>,
    /// How many frames an intra refresh takes to go once over the picture, block by block.
    pub refresh_interval: Option<Frames>,
    /// How many frames there are from one IDR to the next; 0 means that none ever comes.
    pub idr_interval: Option<Frames>,
    /// White balance.
    pub awb: Option<AwbMode>,
}

impl StreamParameters {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the user wants of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `None` leaves the camera's own.
    pub target_bitrate: Option<Bitrate>,
    /// `None` leaves the camera's own.
    pub refresh_interval: Option<Frames>,
    /// `None` leaves the camera's own.
    pub awb: Option<AwbMode>,
    /// The time from one IDR to the next. Twitch asks for 2 s.
    pub key_frame_every: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            target_bitrate: None,
            refresh_interval: None,
            awb: None,
            key_frame_every: Duration::from_secs(2),
        }
    }
}

/// What the camera is taken to send until its frames have been counted.
pub const UNMEASURED: FrameRate = FrameRate::millihertz(30_000);

impl Wanted {
    /// What to ask of a camera that sends `rate`.
    ///
    /// `asked` is the IDR interval asked for so far. It stays while it is within a twentieth of the right one: a
    /// measured rate is never still, and each change of it would reconfigure the encoder.
    pub fn parameters(&self, rate: FrameRate, asked: Option<Frames>) -> StreamParameters {
        let right = i64::from(rate.frames_in(self.key_frame_every));
        let idr_interval = match asked {
            Some(Frames(asked)) if (asked - right).saturating_mul(20).abs() <= right => asked,
            Some(_) | None => right,
        };
        StreamParameters {
            target_bitrate: self.target_bitrate,
            refresh_interval: self.refresh_interval,
            idr_interval: Some(Frames(idr_interval)),
            awb: self.awb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_comes_every_two_seconds_at_any_rate() {
        let wanted = Wanted::default();
        for (rate, frames) in [(30_000, 60), (29_970, 60), (15_000, 30), (7_500, 15)] {
            let parameters = wanted.parameters(FrameRate::millihertz(rate), None);
            assert_eq!(parameters.idr_interval, Some(Frames(frames)), "{rate}");
        }
    }

    #[test]
    fn a_rate_that_trembles_does_not_reconfigure_the_encoder() {
        let wanted = Wanted::default();
        for rate in 29_000..31_000 {
            let parameters = wanted.parameters(FrameRate::millihertz(rate), Some(Frames(60)));
            assert_eq!(parameters.idr_interval, Some(Frames(60)), "{rate}");
        }
        let halved = wanted.parameters(FrameRate::millihertz(15_000), Some(Frames(60)));
        assert_eq!(halved.idr_interval, Some(Frames(30)));
    }

    #[test]
    fn what_the_user_leaves_open_is_not_asked_for() {
        let parameters = Wanted::default().parameters(UNMEASURED, None);
        assert_eq!(
            (
                parameters.target_bitrate,
                parameters.refresh_interval,
                parameters.awb
            ),
            (None, None, None)
        );
    }

    #[test]
    fn every_white_balance_mode_has_a_name_that_reads_back() {
        for mode in AwbMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        let error = "sunny".parse::<AwbMode>().unwrap_err().to_string();
        assert!(
            error.contains("'sunny'") && error.contains("warm_fluorescent"),
            "{error}"
        );
    }
}
