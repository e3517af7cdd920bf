//! Audio and video merged by decoding time, with a bounded hold.
//!
//! A frame comes out at once when nothing earlier can still come from the other track; otherwise it waits for the
//! other track, but never longer than the hold.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Frame;
use crate::Deadline;
use crate::units::MediaTime;

/// One queue per track.
#[derive(Debug)]
pub struct Interleaver {
    hold: Duration,
    video: Lane,
    audio: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    frames: VecDeque<(Instant, Frame)>,
    /// Nothing of this track comes before this any more.
    complete_before: MediaTime,
}

impl Lane {
    fn front(&self) -> Option<(Instant, MediaTime)> {
        self.frames.front().map(|(since, frame)| (*since, frame.at()))
    }
}

impl Interleaver {
    /// Holds a frame at most this long.
    pub fn new(hold: Duration) -> Self {
        Self {
            hold,
            video: Lane::default(),
            audio: Lane::default(),
        }
    }

    /// Takes a video frame or header; `next` is the earliest time of the one that follows.
    pub fn push_video(&mut self, now: Instant, frame: Frame, next: MediaTime) {
        self.video.frames.push_back((now, frame));
        self.video.complete_before = self.video.complete_before.max(next);
    }

    /// Takes an audio frame or header; `next` is the earliest time of the one that follows.
    pub fn push_audio(&mut self, now: Instant, frame: Frame, next: MediaTime) {
        self.audio.frames.push_back((now, frame));
        self.audio.complete_before = self.audio.complete_before.max(next);
    }

    /// Nothing earlier than `at` comes from the audio track any more.
    pub fn audio_through(&mut self, at: MediaTime) {
        self.audio.complete_before = self.audio.complete_before.max(at);
    }

    /// Forgets everything: a new publication begins.
    pub fn clear(&mut self) {
        *self = Self::new(self.hold);
    }

    /// The next frame that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Frame> {
        let (lane, other) = match (self.video.front(), self.audio.front()) {
            // Equal times: video first, because a player starts on it.
            (Some((_, video)), Some((_, audio))) if audio < video => return take(&mut self.audio),
            (Some(_), Some(_)) => return take(&mut self.video),
            (Some(_), None) => (&mut self.video, self.audio.complete_before),
            (None, Some(_)) => (&mut self.audio, self.video.complete_before),
            (None, None) => return None,
        };
        let (since, at) = lane.front()?;
        if at <= other || now >= since + self.hold {
            take(lane)
        } else {
            None
        }
    }

    /// When the frame in front has been held long enough.
    pub fn deadline(&self) -> Deadline {
        let front = self.video.front().or_else(|| self.audio.front())?;
        Some((
            front.0 + self.hold,
            "a frame has waited long enough for the other track",
        ))
    }
}

fn take(lane: &mut Lane) -> Option<Frame> {
    lane.frames.pop_front().map(|(_, frame)| frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::epoch;
    use bytes::Bytes;

    const HOLD: Duration = Duration::from_millis(80);

    fn at(ms: u64) -> MediaTime {
        MediaTime::millis(ms)
    }

    fn video(ms: u64) -> Frame {
        Frame::Video {
            at: at(ms),
            composition_offset_ms: 0,
            idr: false,
            nals: vec![],
        }
    }

    fn audio(ms: u64) -> Frame {
        Frame::Audio {
            at: at(ms),
            payload: Bytes::new(),
        }
    }

    fn drain(interleaver: &mut Interleaver, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| interleaver.pop(now))
            .map(|frame| {
                let track = if matches!(frame, Frame::Video { .. }) {
                    'v'
                } else {
                    'a'
                };
                format!("{track}{}", frame.at().as_millis())
            })
            .collect()
    }

    #[test]
    fn frames_come_out_by_decoding_time() {
        let now = epoch();
        let mut interleaver = Interleaver::new(HOLD);
        interleaver.push_video(now, video(33), at(34));
        assert_eq!(
            drain(&mut interleaver, now),
            [""; 0],
            "audio before 33 may still come"
        );
        interleaver.push_audio(now, audio(0), at(21));
        assert_eq!(drain(&mut interleaver, now), ["a0"]);
        interleaver.push_audio(now, audio(21), at(43));
        assert_eq!(drain(&mut interleaver, now), ["a21", "v33"]);
        interleaver.push_audio(now, audio(43), at(64));
        assert_eq!(drain(&mut interleaver, now), [""; 0]);
    }

    #[test]
    fn video_does_not_wait_longer_than_the_hold_for_audio_that_does_not_come() {
        let now = epoch();
        let mut interleaver = Interleaver::new(HOLD);
        interleaver.push_video(now, video(33), at(34));
        assert_eq!(interleaver.deadline().unwrap().0, now + HOLD);
        assert_eq!(drain(&mut interleaver, now + HOLD), ["v33"]);
        assert_eq!(interleaver.deadline(), None);
    }

    #[test]
    fn video_that_audio_has_passed_does_not_wait() {
        let now = epoch();
        let mut interleaver = Interleaver::new(HOLD);
        interleaver.push_audio(now, audio(0), at(100));
        interleaver.push_video(now, video(0), at(1));
        interleaver.push_video(now, video(66), at(67));
        assert_eq!(drain(&mut interleaver, now), ["v0", "a0", "v66"]);
    }
}
