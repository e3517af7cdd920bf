//! The audio side of the stage: from packets to steps of the transcoder, and from AAC frames to the publication.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Frame;
use super::audio::{SampleClock, SilentTrack, Source, Step};
use super::interleave::Interleaver;
use super::reorder::{Item, Reorder};
use super::timeline::{Nanos, Timeline};
use crate::Deadline;
use crate::rtp::{RtpPacket, Track};
use crate::units::MediaTime;

/// AAC frames kept until the first IDR picture: five seconds.
const KEPT: usize = 240;

/// The published audio.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a session has one")]
pub(super) enum Sound {
    Camera(Microphone),
    Silent(SilentTrack),
}

/// The camera's audio.
#[derive(Debug)]
pub(super) struct Microphone {
    reorder: Reorder,
    clock: SampleClock,
    lost: u64,
    /// Frames that wait for a publication, and when they are heard.
    kept: VecDeque<(Nanos, Bytes)>,
    /// When the publication that runs has begun, on the video's clock.
    zero: Option<Nanos>,
    last: MediaTime,
}

impl Sound {
    /// The audio from `source`, which waits for a missing packet for `loss_wait`.
    pub(super) fn new(source: &Source, loss_wait: Duration) -> Self {
        match source {
            Source::Camera { codec, aac } => Self::Camera(Microphone {
                reorder: Reorder::new(loss_wait),
                clock: SampleClock::new(*codec, aac),
                lost: 0,
                kept: VecDeque::new(),
                zero: None,
                last: MediaTime::ZERO,
            }),
            Source::Silent => Self::Silent(SilentTrack::default()),
        }
    }

    /// Takes a packet of the camera.
    pub(super) fn packet(&mut self, now: Instant, packet: RtpPacket, timeline: &mut Timeline) {
        if let Self::Camera(microphone) = self {
            timeline.packet(now, Track::Audio, packet.timestamp);
            microphone.reorder.push(now, packet);
        }
    }

    /// Hands on the packets that are in order.
    pub(super) fn advance(&mut self, now: Instant, timeline: &mut Timeline) {
        if let Self::Camera(microphone) = self {
            microphone.advance(now, timeline);
        }
    }

    /// The video has reached `at`: what is missing of the camera's audio by then is filled.
    pub(super) fn fill_to(&mut self, now: Instant, at: Nanos) {
        if let Self::Camera(microphone) = self {
            microphone.clock.fill_to(now, at);
        }
    }

    /// The next thing to ask of the transcoder.
    pub(super) fn pop(&mut self) -> Option<Step> {
        match self {
            Self::Camera(microphone) => microphone.clock.pop(),
            Self::Silent(_) => None,
        }
    }

    /// Takes frames from the transcoder.
    pub(super) fn encoded(&mut self, now: Instant, frames: Vec<Bytes>, interleaver: &mut Interleaver) {
        if let Self::Camera(microphone) = self {
            microphone.encoded(now, frames, interleaver);
        }
    }

    /// A publication begins, with the picture at `zero` on the video's clock.
    pub(super) fn begin(&mut self, now: Instant, zero: Nanos, interleaver: &mut Interleaver) {
        if let Self::Camera(microphone) = self {
            microphone.zero = Some(zero);
            for (heard, payload) in std::mem::take(&mut microphone.kept) {
                microphone.publish(now, zero, heard, payload, interleaver);
            }
        }
    }

    /// The publication is over.
    pub(super) fn end(&mut self) {
        match self {
            Self::Camera(microphone) => {
                microphone.zero = None;
                microphone.last = MediaTime::ZERO;
            }
            Self::Silent(track) => *track = SilentTrack::default(),
        }
    }

    /// A picture is published at `at`: the silent track goes on until then.
    pub(super) fn accompany(&mut self, now: Instant, at: MediaTime, interleaver: &mut Interleaver) {
        if let Self::Silent(track) = self {
            while let Some((at, payload)) = track.next_through(at) {
                interleaver.push_audio(now, Frame::Audio { at, payload }, at);
            }
            // Whatever follows is later than this picture, which so never waits.
            interleaver.audio_through(at);
        }
    }

    /// When [`Self::advance`] is due although no packet came.
    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Camera(microphone) => microphone.reorder.deadline(),
            Self::Silent(_) => None,
        }
    }

    /// Packets that never came.
    pub(super) fn lost(&self) -> u64 {
        match self {
            Self::Camera(microphone) => microphone.lost,
            Self::Silent(_) => 0,
        }
    }

    /// Samples (48 kHz) that were filled in.
    pub(super) fn filled(&self) -> u64 {
        match self {
            Self::Camera(microphone) => microphone.clock.filled(),
            Self::Silent(_) => 0,
        }
    }
}

impl Microphone {
    fn advance(&mut self, now: Instant, timeline: &mut Timeline) {
        while let Some(item) = self.reorder.pop(now) {
            match item {
                Item::Gap { packets } => {
                    self.lost += packets;
                    self.clock.loss();
                }
                Item::Packet(packet) => {
                    // Without video there is no clock to place it on, and nothing to publish it with.
                    if let Some(at) = timeline.audio(now, packet.timestamp, self.zero.is_some()) {
                        self.clock.packet(now, at, packet.payload);
                    }
                }
            }
        }
    }

    fn encoded(&mut self, now: Instant, frames: Vec<Bytes>, interleaver: &mut Interleaver) {
        for payload in frames {
            let Some(heard) = self.clock.next_frame() else {
                return;
            };
            if let Some(zero) = self.zero {
                self.publish(now, zero, heard, payload, interleaver);
            } else {
                self.kept.push_back((heard, payload));
                if self.kept.len() > KEPT {
                    self.kept.pop_front();
                }
            }
        }
    }

    fn publish(
        &mut self,
        now: Instant,
        zero: Nanos,
        heard: Nanos,
        payload: Bytes,
        interleaver: &mut Interleaver,
    ) {
        let since = heard.saturating_sub(zero);
        // Sound from before the first picture has no place in the publication.
        let Ok(millis) = u64::try_from(since.saturating_add(500_000).div_euclid(1_000_000)) else {
            return;
        };
        let at = MediaTime::millis(millis).max(self.last);
        self.last = at;
        // 1024 samples are 21.3 ms; the one that follows is rounded down at worst.
        let next = MediaTime::millis(millis + 21);
        interleaver.push_audio(now, Frame::Audio { at, payload }, next);
    }
}
