//! One clock for both tracks, from RTP timestamps and sender reports (RFC 3550 sections 5.1, 6.4.1).
//!
//! The video's RTP clock is the clock of the publication: video timestamps are exact and never corrected. Audio is
//! placed on it by one offset. Until both tracks have a sender report the offset comes from arrival times (the
//! fastest packet of each track); from then on from the reports. Corrections are slewed, so that no jump is heard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::{SenderReport, Track};

/// Nanoseconds on the video's clock; zero is the timestamp of its first packet.
pub type Nanos = i64;

/// Ticks per second of RTP video (RFC 6184 section 8.2.1).
pub const VIDEO_RATE: u32 = 90_000;

/// The offset between the tracks moves at most this much per second.
const SLEW_PER_SECOND: Duration = Duration::from_millis(5);
/// A timestamp this far from where arrival puts it is a clock that was set anew.
const JUMP: Nanos = 3_000_000_000;
/// Sender reports that contradict arrival by more than this are not about one wall clock.
const BELIEVABLE: Nanos = 1_000_000_000;
/// The fastest packet is looked for in this many seconds.
const WINDOW: Duration = Duration::from_secs(4);
const SECOND: i64 = 1_000_000_000;

/// RTP timestamps of one track without the wrap at 2^32, beginning at 0.
#[derive(Debug)]
struct TrackClock {
    rate: u32,
    /// The newest timestamp, and its extension.
    newest: Option<(u32, i64)>,
    /// When the packet with the newest timestamp arrived.
    arrived: Option<Instant>,
    report: Option<(u64, i64)>,
    /// Arrival minus timestamp, the smallest of each part of the window, with when the part began.
    transit: VecDeque<(Instant, Nanos)>,
}

impl TrackClock {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            newest: None,
            arrived: None,
            report: None,
            transit: VecDeque::new(),
        }
    }

    fn extend(&self, timestamp: u32) -> i64 {
        self.newest.map_or(0, |(newest, ticks)| {
            ticks.saturating_add(i64::from(timestamp.wrapping_sub(newest).cast_signed()))
        })
    }

    fn arrived_ticks(&self, timestamp: u32) -> i64 {
        self.newest
            .map_or(0, |(_, newest)| self.extend(timestamp).min(newest))
    }

    fn nanos(&self, ticks: i64) -> Nanos {
        let nanos = i128::from(ticks) * i128::from(SECOND) / i128::from(self.rate);
        i64::try_from(nanos).unwrap_or(Nanos::MAX)
    }

    /// Takes note of a packet; true when the sender's clock was set anew.
    fn packet(&mut self, now: Instant, since_start: Nanos, timestamp: u32) -> bool {
        let mut ticks = self.extend(timestamp);
        let mut jumped = false;
        if let (Some((newest, last)), Some(arrived)) = (self.newest, self.arrived) {
            let elapsed = nanos_between(arrived, now);
            let step = self.nanos(ticks.saturating_sub(last));
            if step.saturating_sub(elapsed).saturating_abs() > JUMP {
                // The clock goes on where arrival says, with the new timestamps.
                let expected = i128::from(elapsed) * i128::from(self.rate) / i128::from(SECOND);
                ticks = last
                    .saturating_add(i64::try_from(expected).unwrap_or(0))
                    .saturating_add(1);
                jumped = newest != timestamp;
                self.report = None;
                self.transit.clear();
            }
        }
        if self.newest.is_none_or(|(_, newest)| ticks > newest) {
            self.newest = Some((timestamp, ticks));
            self.arrived = Some(now);
        }
        self.note_transit(now, since_start.saturating_sub(self.nanos(ticks)));
        jumped
    }

    fn note_transit(&mut self, now: Instant, transit: Nanos) {
        let part = WINDOW / 4;
        match self.transit.back_mut() {
            Some((began, least)) if now.saturating_duration_since(*began) < part => {
                *least = transit.min(*least);
            }
            Some(_) | None => self.transit.push_back((now, transit)),
        }
        if self.transit.len() > 4 {
            self.transit.pop_front();
        }
    }

    fn fastest(&self) -> Option<Nanos> {
        self.transit.iter().map(|(_, transit)| *transit).min()
    }
}

/// The common clock of a session.
#[derive(Debug)]
pub struct Timeline {
    start: Option<Instant>,
    video: TrackClock,
    audio: TrackClock,
    /// Added to the audio's time since its first packet to get video time.
    offset: Option<Nanos>,
    moved: Option<Instant>,
}

impl Timeline {
    /// For an audio track of `audio_rate` ticks per second (0 is read as 1).
    pub fn new(audio_rate: u32) -> Self {
        Self {
            start: None,
            video: TrackClock::new(VIDEO_RATE),
            audio: TrackClock::new(audio_rate.max(1)),
            offset: None,
            moved: None,
        }
    }

    /// Takes note of a packet at its arrival, before it is put in order.
    pub fn packet(&mut self, now: Instant, track: Track, timestamp: u32) {
        let since_start = nanos_between(*self.start.get_or_insert(now), now);
        let jumped = self.track_mut(track).packet(now, since_start, timestamp);
        if jumped {
            self.offset = None;
        }
    }

    /// Takes note of a sender report. Reports before the first packet of the track, and those without a wall clock
    /// (NTP 0, RFC 3550 section 6.4.1), say nothing.
    pub fn report(&mut self, track: Track, report: SenderReport) {
        let clock = self.track_mut(track);
        if clock.newest.is_none() || report.ntp == 0 {
            return;
        }
        let ticks = clock.extend(report.rtp_timestamp);
        clock.report = Some((report.ntp, ticks));
    }

    /// Video timestamp without the wrap, in 90 kHz ticks since the first packet.
    ///
    /// A unit that was waiting while the clock was set anew is not later than what has arrived since.
    pub fn video_ticks(&self, timestamp: u32) -> i64 {
        self.video.arrived_ticks(timestamp)
    }

    /// Video timestamp as time.
    pub fn video(&self, ticks: i64) -> Nanos {
        self.video.nanos(ticks)
    }

    /// When an audio packet is heard, on the video's clock; `None` until both tracks have been seen.
    ///
    /// `settled` says that a publication is running, so that corrections are slewed and not set.
    pub fn audio(&mut self, now: Instant, timestamp: u32, settled: bool) -> Option<Nanos> {
        self.correct(now, settled)?;
        let ticks = self.audio.arrived_ticks(timestamp);
        Some(self.audio.nanos(ticks).saturating_add(self.offset?))
    }

    fn correct(&mut self, now: Instant, settled: bool) -> Option<()> {
        let target = self.target()?;
        let elapsed = self
            .moved
            .map_or(Duration::ZERO, |moved| now.saturating_duration_since(moved));
        self.moved = Some(now);
        let most =
            i64::try_from(elapsed.as_nanos() * SLEW_PER_SECOND.as_nanos() / 1_000_000_000).unwrap_or(0);
        self.offset = Some(match self.offset {
            Some(offset) if settled => {
                offset.saturating_add(target.saturating_sub(offset).clamp(-most, most))
            }
            Some(_) | None => target,
        });
        Some(())
    }

    fn target(&self) -> Option<Nanos> {
        let by_arrival = self.audio.fastest()?.saturating_sub(self.video.fastest()?);
        let (Some((audio_ntp, audio)), Some((video_ntp, video))) = (self.audio.report, self.video.report)
        else {
            return Some(by_arrival);
        };
        // 32.32 fixed point; the difference survives the NTP era change of 2036.
        let apart = (i128::from(audio_ntp.wrapping_sub(video_ntp).cast_signed()) * i128::from(SECOND)) >> 32;
        let apart = i64::try_from(apart).unwrap_or(Nanos::MAX);
        let by_report = apart
            .saturating_sub(self.audio.nanos(audio))
            .saturating_add(self.video.nanos(video));
        let believable = by_report.saturating_sub(by_arrival).saturating_abs() <= BELIEVABLE;
        Some(if believable { by_report } else { by_arrival })
    }

    fn track_mut(&mut self, track: Track) -> &mut TrackClock {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

fn nanos_between(earlier: Instant, later: Instant) -> Nanos {
    i64::try_from(later.saturating_duration_since(earlier).as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::epoch;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn ntp(seconds: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive test value"
        )]
        let ntp = (seconds * 4_294_967_296.0) as u64;
        ntp
    }

    #[test]
    fn video_ticks_pass_the_wrap_in_both_directions() {
        let now = epoch();
        let mut timeline = Timeline::new(48_000);
        timeline.packet(now, Track::Video, u32::MAX - 10);
        timeline.packet(now + ms(33), Track::Video, 2989);
        assert_eq!(timeline.video_ticks(2989), 3000);
        assert_eq!(timeline.video_ticks(u32::MAX - 10), 0);
        assert_eq!(timeline.video_ticks(u32::MAX - 3010), -3000);
    }

    #[test]
    fn audio_is_placed_by_its_fastest_packet_until_reports_come() {
        let now = epoch();
        let mut timeline = Timeline::new(48_000);
        timeline.packet(now, Track::Video, 77);
        timeline.packet(now + ms(30), Track::Audio, 5000);
        assert_eq!(timeline.audio(now + ms(30), 5000, false), Some(30 * MS));
        timeline.packet(now + ms(40), Track::Audio, 5000 + 960);
        assert_eq!(timeline.audio(now + ms(40), 5000, false), Some(20 * MS));
    }

    #[test]
    fn reports_move_audio_by_five_milliseconds_a_second_and_never_further() {
        let start = epoch();
        let mut timeline = Timeline::new(48_000);
        timeline.packet(start, Track::Video, 0);
        timeline.packet(start, Track::Audio, 0);
        assert_eq!(timeline.audio(start, 0, true), Some(0));
        timeline.report(
            Track::Video,
            SenderReport {
                ntp: ntp(1000.0),
                rtp_timestamp: 0,
            },
        );
        timeline.report(
            Track::Audio,
            SenderReport {
                ntp: ntp(1000.02),
                rtp_timestamp: 0,
            },
        );
        for second in 1..=10u32 {
            let now = start + ms(1000) * second;
            timeline.packet(now, Track::Video, second * 90_000);
            timeline.packet(now, Track::Audio, second * 48_000);
            let at = timeline.audio(now, second * 48_000, true).unwrap() - i64::from(second) * SECOND;
            let expected = (i64::from(second) * 5 * MS).min(20 * MS);
            assert!((at - expected).abs() < 1000, "second {second}: {at}");
        }
    }

    #[test]
    fn reports_of_two_different_wall_clocks_are_not_believed() {
        let start = epoch();
        let mut timeline = Timeline::new(48_000);
        timeline.packet(start, Track::Video, 0);
        timeline.packet(start, Track::Audio, 0);
        timeline.report(
            Track::Video,
            SenderReport {
                ntp: ntp(1000.0),
                rtp_timestamp: 0,
            },
        );
        timeline.report(
            Track::Audio,
            SenderReport {
                ntp: ntp(5.0),
                rtp_timestamp: 0,
            },
        );
        assert_eq!(timeline.audio(start, 0, false), Some(0));
    }

    #[test]
    fn a_clock_that_is_set_anew_goes_on_from_where_it_was() {
        let start = epoch();
        let mut timeline = Timeline::new(48_000);
        timeline.packet(start, Track::Video, 1_000_000);
        timeline.packet(start + ms(40), Track::Video, 3_000_000_000);
        assert_eq!(timeline.video_ticks(3_000_000_000), 3601);
        timeline.packet(start + ms(80), Track::Video, 3_000_003_600);
        assert_eq!(timeline.video_ticks(3_000_003_600), 7201);
    }

    proptest! {
        #[test]
        fn arbitrary_timestamps_and_reports_never_panic(
            events in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<u64>(), 0u64..100_000), 0..60),
        ) {
            let mut now = epoch();
            let mut timeline = Timeline::new(8000);
            for (video, timestamp, wall, pause) in events {
                now += ms(pause);
                let track = if video { Track::Video } else { Track::Audio };
                timeline.packet(now, track, timestamp);
                timeline.report(track, SenderReport { ntp: wall, rtp_timestamp: timestamp });
                timeline.audio(now, timestamp, wall % 2 == 0);
                timeline.video(timeline.video_ticks(timestamp));
            }
        }
    }
}
