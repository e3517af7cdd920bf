//! What the transcoder is asked to do, so that the audio's clock is its own sample count and never runs away from
//! the video's; or the silent track, which needs no codec at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timeline::Nanos;
use crate::units::MediaTime;

/// Samples per second of everything that is published.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in an AAC-LC frame (ISO 14496-3 section 4.5.1.1).
pub const SAMPLES_PER_FRAME: u32 = 1024;

/// AudioSpecificConfig of AAC-LC, 48 kHz, two channels (ISO 14496-3 section 1.6.2.1).
const SILENT_CONFIGURATION: &[u8] = &[0x11, 0x90];
/// A raw_data_block of two silent channels: one channel pair element with nothing in any band, and the end element.
const SILENT_FRAME: &[u8] = &[0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C];

/// Audio that has drifted this far from the video is corrected by inserting or leaving out samples.
const TOLERANCE: Nanos = 15_000_000;
/// Behind a loss even a short packet's worth is filled, where the ear expects it.
const LOSS_TOLERANCE: Nanos = 2_400_000;
/// Concealment fades out within this time; what is longer is silence from there on.
const CONCEALED: u32 = SAMPLE_RATE / 1000 * 60;
/// Audio that stops for this long is filled.
const STALL: Duration = Duration::from_secs(1);
/// After a DTX packet the encoder has said that it will be silent, so filling begins earlier.
const QUIET: Duration = Duration::from_millis(100);
/// A step of the transcoder is at most this long.
const MOST_PER_STEP: u32 = SAMPLE_RATE;
/// Filling never makes up for more than this at once; a clock that is further off was set anew.
const MOST_FILLED: Nanos = 10 * SECOND;
const SECOND: Nanos = 1_000_000_000;

/// What the camera sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Opus (RFC 7587) with this many channels, 1 or 2.
    Opus {
        /// Channels of the decoded sound.
        channels: u8,
    },
    /// G.711 mu-law, 8 kHz, one channel (RFC 3551 section 4.5.14).
    Pcmu,
    /// G.711 A-law, 8 kHz, one channel (RFC 3551 section 4.5.14).
    Pcma,
}

impl Codec {
    /// Ticks per second of its RTP timestamps.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus { .. } => 48_000,
            Self::Pcmu | Self::Pcma => 8000,
        }
    }

    /// Channels of the decoded sound.
    pub fn channels(self) -> u8 {
        match self {
            Self::Opus { channels } => channels.clamp(1, 2),
            Self::Pcmu | Self::Pcma => 1,
        }
    }

    /// Samples per channel in `payload` at 48 kHz, from 2.5 to 120 ms; `None` when it is not a packet of this codec.
    pub fn samples(self, payload: &[u8]) -> Option<u32> {
        let samples = match self {
            Self::Opus { .. } => opus_samples(payload)?,
            Self::Pcmu | Self::Pcma => u32::try_from(payload.len()).ok()?.checked_mul(6)?,
        };
        (1..=SAMPLE_RATE / 1000 * 120)
            .contains(&samples)
            .then_some(samples)
    }

    /// Whether `payload` announces silence: a frame of at most one byte behind the TOC (RFC 6716 section 3.1,
    /// libopus DTX).
    fn is_dtx(self, payload: &[u8]) -> bool {
        matches!(self, Self::Opus { .. }) && payload.len() <= 2
    }
}

/// Table of contents of an Opus packet (RFC 6716 section 3.1, 3.2).
fn opus_samples(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880].get(usize::from(config & 3)),
        config @ 12..=15 => [480, 960].get(usize::from(config & 1)),
        config => [120, 240, 480, 960].get(usize::from(config & 3)),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3F),
    };
    frame.map(|frame| frame * frames)
}

/// What the transcoder does next. Each step makes exactly `samples` samples per channel at 48 kHz, whatever the
/// payload turns out to be; AAC frames come back as they fill up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Decode the packet and keep its last `samples` samples; conceal them when it cannot be decoded.
    Decode {
        /// The packet.
        payload: Bytes,
        /// How many samples to keep.
        samples: u32,
    },
    /// Invent what a lost packet may have held.
    Conceal {
        /// How many samples.
        samples: u32,
    },
    /// Silence.
    Silence {
        /// How many samples.
        samples: u32,
    },
}

impl Step {
    /// The samples per channel that the step makes.
    pub fn samples(&self) -> u32 {
        match self {
            Self::Decode { samples, .. } | Self::Conceal { samples } | Self::Silence { samples } => *samples,
        }
    }
}

/// How the transcoder's output is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacStream {
    /// Its AudioSpecificConfig.
    pub configuration: Bytes,
    /// Samples by which the encoder's output lags its input (ISO 14496-24 calls them priming).
    pub priming_samples: u32,
}

/// Where the published audio comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The camera's sound, transcoded by the caller.
    Camera {
        /// What the camera sends.
        codec: Codec,
        /// What the transcoder makes of it.
        aac: AacStream,
    },
    /// A silent track.
    Silent,
}

impl Source {
    /// Ticks per second of the RTP timestamps, as long as there are any.
    pub fn clock_rate(&self) -> u32 {
        match self {
            Self::Camera { codec, .. } => codec.clock_rate(),
            Self::Silent => SAMPLE_RATE,
        }
    }

    /// The AudioSpecificConfig to publish.
    pub fn configuration(&self) -> Bytes {
        match self {
            Self::Camera { aac, .. } => aac.configuration.clone(),
            Self::Silent => Bytes::from_static(SILENT_CONFIGURATION),
        }
    }
}

/// Keeps the sample count of the camera's audio on the common clock.
#[derive(Debug)]
pub struct SampleClock {
    codec: Codec,
    priming: i64,
    /// When the first sample was heard.
    origin: Option<Nanos>,
    /// Samples asked for since then.
    asked: i64,
    /// AAC frames received.
    frames: i64,
    heard: Option<Instant>,
    quiet: Duration,
    lost: bool,
    steps: VecDeque<Step>,
    filled: u64,
}

impl SampleClock {
    /// For audio of `codec` that becomes `aac`.
    pub fn new(codec: Codec, aac: &AacStream) -> Self {
        Self {
            codec,
            priming: i64::from(aac.priming_samples),
            origin: None,
            asked: 0,
            frames: 0,
            heard: None,
            quiet: STALL,
            lost: false,
            steps: VecDeque::new(),
            filled: 0,
        }
    }

    /// A packet is missing in front of the next one.
    pub fn loss(&mut self) {
        self.lost = true;
    }

    /// Takes the next packet, whose first sample is heard at `at`. False when it is not a packet of the codec.
    pub fn packet(&mut self, now: Instant, at: Nanos, payload: Bytes) -> bool {
        let Some(samples) = self.codec.samples(&payload) else {
            self.lost = true;
            return false;
        };
        self.heard = Some(now);
        self.quiet = if self.codec.is_dtx(&payload) { QUIET } else { STALL };
        let drift = at.saturating_sub(self.end_or(at));
        let tolerance = if std::mem::take(&mut self.lost) {
            LOSS_TOLERANCE
        } else {
            TOLERANCE
        };
        let mut keep = samples;
        if drift > tolerance {
            self.fill(samples_in(drift.min(MOST_FILLED)), true);
        } else if drift < -TOLERANCE {
            keep =
                u32::try_from(i64::from(samples) - samples_in(-drift).min(i64::from(samples))).unwrap_or(0);
        }
        if keep > 0 {
            self.ask(Step::Decode {
                payload,
                samples: keep,
            });
        }
        true
    }

    /// Fills what has not come although the video has reached `at`.
    pub fn fill_to(&mut self, now: Instant, at: Nanos) {
        let heard = *self.heard.get_or_insert(now);
        let end = self.end_or(at);
        if now.saturating_duration_since(heard) < self.quiet {
            return;
        }
        // Far enough ahead that the AAC frames which come of it cover the video's present.
        let lead = nanos_of(self.priming + i64::from(SAMPLES_PER_FRAME));
        let missing = at.saturating_add(lead).saturating_sub(end);
        if missing > 0 {
            self.fill(samples_in(missing.min(MOST_FILLED)), false);
        }
    }

    /// The next thing to ask of the transcoder.
    pub fn pop(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When the next AAC frame that the transcoder hands back is heard.
    pub fn next_frame(&mut self) -> Option<Nanos> {
        let sample = self.frames * i64::from(SAMPLES_PER_FRAME) - self.priming;
        let origin = self.origin?;
        self.frames += 1;
        Some(origin.saturating_add(nanos_of(sample)))
    }

    /// Samples that were not the camera's.
    pub fn filled(&self) -> u64 {
        self.filled
    }

    fn end_or(&mut self, at: Nanos) -> Nanos {
        self.origin.get_or_insert(at).saturating_add(nanos_of(self.asked))
    }

    fn fill(&mut self, samples: i64, conceal: bool) {
        let mut left = u32::try_from(samples).unwrap_or(0);
        self.filled += u64::from(left);
        if conceal && left > 0 {
            let samples = left.min(CONCEALED);
            left -= samples;
            self.ask(Step::Conceal { samples });
        }
        while left > 0 {
            let samples = left.min(MOST_PER_STEP);
            left -= samples;
            self.ask(Step::Silence { samples });
        }
    }

    fn ask(&mut self, step: Step) {
        self.asked += i64::from(step.samples());
        self.steps.push_back(step);
    }
}

/// The silent track: frames in lockstep with the video.
#[derive(Debug, Default)]
pub struct SilentTrack {
    frames: u64,
}

impl SilentTrack {
    /// The next frame, if it is heard no later than `through`.
    pub fn next_through(&mut self, through: MediaTime) -> Option<(MediaTime, Bytes)> {
        let samples = self.frames * u64::from(SAMPLES_PER_FRAME);
        let rate = u64::from(SAMPLE_RATE);
        let at = MediaTime::millis((samples * 1000 + rate / 2) / rate);
        if at > through {
            return None;
        }
        self.frames += 1;
        Some((at, Bytes::from_static(SILENT_FRAME)))
    }
}

fn nanos_of(samples: i64) -> Nanos {
    samples.saturating_mul(62_500) / 3
}

fn samples_in(nanos: Nanos) -> i64 {
    nanos.saturating_mul(3) / 62_500
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::epoch;

    const MS: Nanos = 1_000_000;
    /// CELT, fullband, 20 ms, one frame.
    const TWENTY_MS: &[u8] = &[0xF8, 1, 2, 3];

    fn clock() -> SampleClock {
        let aac = AacStream {
            configuration: Bytes::new(),
            priming_samples: 1024,
        };
        SampleClock::new(Codec::Opus { channels: 2 }, &aac)
    }

    fn steps(clock: &mut SampleClock) -> Vec<(char, u32)> {
        std::iter::from_fn(|| clock.pop())
            .map(|step| match step {
                Step::Decode { samples, .. } => ('d', samples),
                Step::Conceal { samples } => ('c', samples),
                Step::Silence { samples } => ('s', samples),
            })
            .collect()
    }

    fn packet(clock: &mut SampleClock, now: Instant, at_ms: i64) -> Vec<(char, u32)> {
        assert!(clock.packet(now, at_ms * MS, Bytes::from_static(TWENTY_MS)));
        steps(clock)
    }

    #[test]
    fn an_opus_packet_says_how_long_it_is() {
        let opus = Codec::Opus { channels: 2 };
        assert_eq!(opus.samples(&[0xF8]), Some(960));
        assert_eq!(opus.samples(&[0xE0]), Some(120));
        assert_eq!(opus.samples(&[0x19, 0]), Some(5760));
        assert_eq!(opus.samples(&[0xFB, 3]), Some(2880));
        assert_eq!(opus.samples(&[0xFB, 63]), None);
        assert_eq!(opus.samples(&[0xFB, 0]), None);
        assert_eq!(opus.samples(&[0xFB]), None);
        assert_eq!(opus.samples(&[]), None);
        assert_eq!(Codec::Pcmu.samples(&[0; 160]), Some(960));
    }

    #[test]
    fn a_lost_packet_is_concealed_for_exactly_its_length() {
        let now = epoch();
        let mut clock = clock();
        assert_eq!(packet(&mut clock, now, 0), [('d', 960)]);
        clock.loss();
        assert_eq!(packet(&mut clock, now, 40), [('c', 960), ('d', 960)]);
        assert_eq!(packet(&mut clock, now, 60), [('d', 960)]);
    }

    #[test]
    fn a_pause_is_filled_when_sound_comes_back() {
        let now = epoch();
        let mut clock = clock();
        packet(&mut clock, now, 0);
        assert_eq!(
            packet(&mut clock, now, 420),
            [('c', 2880), ('s', 16_320), ('d', 960)]
        );
    }

    #[test]
    fn drift_is_left_alone_until_it_can_be_noticed_and_then_taken_out() {
        let now = epoch();
        let mut clock = clock();
        packet(&mut clock, now, 0);
        assert_eq!(packet(&mut clock, now, 10), [('d', 960)]);
        assert_eq!(
            packet(&mut clock, now, 20),
            [('d', 0); 0],
            "20 ms ahead: one packet is left out"
        );
        assert_eq!(packet(&mut clock, now, 40), [('d', 960)]);
    }

    #[test]
    fn audio_that_stops_is_filled_after_a_second_and_after_dtx_at_once() {
        let start = epoch();
        let mut clock = clock();
        packet(&mut clock, start, 0);
        clock.fill_to(start + Duration::from_millis(999), 999 * MS);
        assert_eq!(steps(&mut clock), []);
        clock.fill_to(start + STALL, 1000 * MS);
        let filled: u32 = steps(&mut clock).iter().map(|step| step.1).sum();
        assert!(
            (48_000 - 960 + 2046..=48_000 - 960 + 2048).contains(&filled),
            "{filled}"
        );
        clock.fill_to(start + STALL + Duration::from_millis(33), 1033 * MS);
        let filled: u32 = steps(&mut clock).iter().map(|step| step.1).sum();
        assert!((33 * 48 - 1..=33 * 48 + 1).contains(&filled), "{filled}");

        let now = start + STALL + Duration::from_millis(50);
        assert!(clock.packet(now, 1090 * MS, Bytes::from_static(&[0xF8])));
        steps(&mut clock);
        clock.fill_to(now + QUIET, 1200 * MS);
        assert_eq!(steps(&mut clock).first().map(|step| step.0), Some('s'));
    }

    #[test]
    fn the_encoders_delay_is_taken_off_the_timestamps() {
        let now = epoch();
        let mut clock = clock();
        assert_eq!(clock.next_frame(), None);
        packet(&mut clock, now, 1000);
        assert_eq!(clock.next_frame(), Some(1000 * MS - 21_333_333));
        assert_eq!(clock.next_frame(), Some(1000 * MS));
        assert_eq!(clock.next_frame(), Some(1000 * MS + 21_333_333));
    }

    #[test]
    fn silent_frames_keep_exact_time_for_ever() {
        let mut track = SilentTrack::default();
        let frames: Vec<_> =
            std::iter::from_fn(|| track.next_through(MediaTime::millis(3_600_000))).collect();
        assert_eq!(frames.len(), 168_751);
        assert_eq!(frames[3].0, MediaTime::millis(64));
        assert_eq!(frames[168_750].0, MediaTime::millis(3_600_000));
    }
}
