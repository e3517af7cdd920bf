//! Whether a session delivers, and what to tell the camera: key frame requests and the bitrate we can take.
//!
//! Spot CAM refreshes its picture block by block and sends no key frame unless it is asked to, so the machine asks
//! from the first packet on, and again whenever somebody downstream lost the thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Deadline;
use crate::units::Bitrate;

/// A camera that sends key frames by itself starts with one; it is given this time before it is asked.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time between two requests while no key frame comes (RFC 4585 section 6.3.1 leaves it to the receiver).
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A request that follows a key frame sooner than this waits until then: what is lost in bursts is asked for once.
const SPACING: Duration = Duration::from_millis(300);

/// How often the ceiling is repeated, as Google's congestion control does.
const ESTIMATE_EVERY: Duration = Duration::from_secs(1);

/// Without a packet for this long the picture stands still and somebody should know.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Without a packet for this long the session is given up.
const DEAD_AFTER: Duration = Duration::from_secs(8);

/// The time from the connection to the first packet. The camera may take several seconds to show a picture.
const FIRST_PACKET: Duration = Duration::from_secs(15);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The transport is up.
    Connected,
    /// A video packet with a payload arrived; `idr` when it holds part of an IDR picture.
    Video {
        /// See [`carries_idr`].
        idr: bool,
    },
    /// Somebody downstream cannot go on without a key frame.
    KeyFrameNeeded,
    /// Time has passed.
    Tick,
}

/// What to do or to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask the camera for a key frame.
    Ask(KeyFrameRequest),
    /// Tell the camera how much we can take.
    Estimate(Bitrate),
    /// No video for three seconds.
    Stalled,
    /// Video again.
    Resumed,
    /// The session is of no use any more.
    Dead(Ailment),
}

/// The two ways to ask for a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrameRequest {
    /// Picture Loss Indication, RFC 4585 section 6.3.1.
    Pli,
    /// Full Intra Request, RFC 5104 section 4.3.1, with its number.
    Fir(u8),
}

/// What a session died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// It connected and no video ever came.
    NoVideo,
    /// Video came, and then no more.
    VideoEnded,
}

/// The machine; one for a session.
#[derive(Debug)]
pub struct Health {
    ceiling: Bitrate,
    connected: Option<Instant>,
    next_estimate: Option<Instant>,
    last_video: Option<Instant>,
    stalled: bool,
    dead: bool,
    next_request: Option<Instant>,
    last_idr: Option<Instant>,
    asked_before: bool,
    fir_number: u8,
    outputs: VecDeque<Output>,
}

impl Health {
    /// For a session that may bring at most `ceiling`.
    pub fn new(ceiling: Bitrate) -> Self {
        Self {
            ceiling,
            connected: None,
            next_estimate: None,
            last_video: None,
            stalled: false,
            dead: false,
            next_request: None,
            last_idr: None,
            asked_before: false,
            fir_number: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected => {
                self.connected.get_or_insert(now);
                self.next_estimate.get_or_insert(now);
            }
            Input::Video { idr } => self.video(now, idr),
            Input::KeyFrameNeeded => self.key_frame_needed(now),
            Input::Tick => {}
        }
        self.pass_time(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back.
    pub fn deadline(&self) -> Deadline {
        if self.dead {
            return None;
        }
        let silence = match self.last_video {
            Some(last) if self.stalled => Some((last + DEAD_AFTER, "give up a silent camera")),
            Some(last) => Some((last + STALLED_AFTER, "notice a silent camera")),
            None => self
                .connected
                .map(|at| (at + FIRST_PACKET, "wait for the first packet")),
        };
        let estimate = self.next_estimate.map(|at| (at, "repeat the bitrate ceiling"));
        let request = self.next_request.map(|at| (at, "ask for a key frame"));
        [silence, estimate, request]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    fn video(&mut self, now: Instant, idr: bool) {
        if self.last_video.replace(now).is_none() && !idr {
            self.next_request = Some(now + PATIENCE);
        }
        if std::mem::take(&mut self.stalled) {
            self.outputs.push_back(Output::Resumed);
        }
        if idr {
            self.last_idr = Some(now);
            self.next_request = None;
            self.asked_before = false;
        }
    }

    fn key_frame_needed(&mut self, now: Instant) {
        // Without a packet there is no SSRC to ask; the first one starts the asking.
        if self.next_request.is_some() || self.last_video.is_none() {
            return;
        }
        let earliest = self.last_idr.map_or(now, |last| last + SPACING);
        self.next_request = Some(earliest.max(now));
    }

    fn pass_time(&mut self, now: Instant) {
        if self.dead {
            return;
        }
        let ailment = match (self.last_video, self.connected) {
            (Some(last), _) if now >= last + DEAD_AFTER => Some(Ailment::VideoEnded),
            (None, Some(at)) if now >= at + FIRST_PACKET => Some(Ailment::NoVideo),
            _ => None,
        };
        if let Some(ailment) = ailment {
            self.dead = true;
            self.outputs.push_back(Output::Dead(ailment));
            return;
        }
        if !self.stalled && self.last_video.is_some_and(|last| now >= last + STALLED_AFTER) {
            self.stalled = true;
            self.outputs.push_back(Output::Stalled);
        }
        if self.next_estimate.is_some_and(|at| now >= at) {
            self.next_estimate = Some(now + ESTIMATE_EVERY);
            self.outputs.push_back(Output::Estimate(self.ceiling));
        }
        if self.next_request.is_some_and(|at| now >= at) {
            self.next_request = Some(now + ASK_AGAIN);
            let request = self.request();
            self.outputs.push_back(Output::Ask(request));
        }
    }

    /// PLI first, then FIR and PLI in turn: senders differ in which one they obey.
    fn request(&mut self) -> KeyFrameRequest {
        self.asked_before = !self.asked_before;
        if self.asked_before {
            KeyFrameRequest::Pli
        } else {
            self.fir_number = self.fir_number.wrapping_add(1);
            KeyFrameRequest::Fir(self.fir_number)
        }
    }
}

/// Whether an H.264 RTP payload holds part of an IDR picture (RFC 6184 section 5.2): a NAL unit of type 5 by itself,
/// in a STAP-A, or in any fragment of an FU-A.
pub fn carries_idr(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    match payload {
        [header, ..] if header & 0x1f == IDR => true,
        [header, fragment, ..] if header & 0x1f == 28 => fragment & 0x1f == IDR,
        [header, rest @ ..] if header & 0x1f == 24 => {
            let mut rest = rest;
            while let Some((size, after)) = rest.split_first_chunk::<2>() {
                let size = usize::from(u16::from_be_bytes(*size));
                let Some((nal, after)) = after.split_at_checked(size) else {
                    return false;
                };
                if nal.first().is_some_and(|header| header & 0x1f == IDR) {
                    return true;
                }
                rest = after;
            }
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
    fn zero() -> Instant {
        Instant::now()
    }

    struct World {
        start: Instant,
        now: Instant,
        health: Health,
        said: Vec<(u128, Output)>,
    }

    impl World {
        fn connected() -> Self {
            let start = zero();
            let health = Health::new(Bitrate::kbps(6000));
            let mut world = Self {
                start,
                now: start,
                health,
                said: Vec::new(),
            };
            world.tell(Input::Connected);
            world
        }

        fn tell(&mut self, input: Input) {
            self.health.handle(self.now, input);
            let at = (self.now - self.start).as_millis();
            while let Some(output) = self.health.poll() {
                self.said.push((at, output));
            }
        }

        /// Lets time pass, waking the machine when it wants to be woken, with video every 33 ms if there is any.
        fn pass(&mut self, span: Duration, video: bool) {
            let end = self.now + span;
            while self.now < end {
                let frame = self.now + Duration::from_millis(33);
                let wake = self.health.deadline().map_or(end, |(at, _)| at.max(self.now));
                let is_frame = video && frame <= wake;
                self.now = if is_frame { frame } else { wake }.min(end);
                self.tell(if is_frame {
                    Input::Video { idr: false }
                } else {
                    Input::Tick
                });
            }
        }

        fn requests(&self) -> Vec<(u128, KeyFrameRequest)> {
            let request = |(at, output): &(u128, Output)| match output {
                Output::Ask(request) => Some((*at, *request)),
                Output::Estimate(_) | Output::Stalled | Output::Resumed | Output::Dead(_) => None,
            };
            self.said.iter().filter_map(request).collect()
        }
    }

    #[test]
    fn a_key_frame_is_asked_for_by_pli_then_fir_every_two_seconds_until_it_comes() {
        let mut world = World::connected();
        world.tell(Input::Video { idr: false });
        world.pass(Duration::from_secs(5), true);
        let asked = world.requests();
        assert_eq!(
            asked,
            [
                (50, KeyFrameRequest::Pli),
                (2050, KeyFrameRequest::Fir(1)),
                (4050, KeyFrameRequest::Pli)
            ]
        );
        world.tell(Input::Video { idr: true });
        world.pass(Duration::from_secs(10), true);
        assert_eq!(world.requests().len(), 3, "quiet once it has come");
    }

    #[test]
    fn a_camera_that_starts_with_a_key_frame_is_not_asked() {
        let mut world = World::connected();
        world.tell(Input::Video { idr: false });
        world.pass(Duration::from_millis(40), false);
        world.tell(Input::Video { idr: true });
        world.pass(Duration::from_secs(5), true);
        assert!(world.requests().is_empty());
    }

    #[test]
    fn many_wishes_are_one_request() {
        let mut world = World::connected();
        world.tell(Input::KeyFrameNeeded);
        world.tell(Input::Video { idr: true });
        world.tell(Input::KeyFrameNeeded);
        world.tell(Input::KeyFrameNeeded);
        world.pass(Duration::from_secs(1), true);
        assert_eq!(world.requests(), [(300, KeyFrameRequest::Pli)]);
    }

    #[test]
    fn the_ceiling_is_repeated_each_second() {
        let mut world = World::connected();
        world.tell(Input::Video { idr: true });
        world.pass(Duration::from_millis(3500), true);
        let estimates: Vec<u128> = world
            .said
            .iter()
            .filter(|(_, output)| matches!(output, Output::Estimate(_)))
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(estimates, [0, 1000, 2000, 3000]);
    }

    #[test]
    fn silence_is_told_after_three_seconds_and_ends_the_session_after_eight() {
        let mut world = World::connected();
        world.tell(Input::Video { idr: true });
        world.pass(Duration::from_secs(4), false);
        world.tell(Input::Video { idr: false });
        world.pass(Duration::from_secs(20), false);
        let told: Vec<_> = world
            .said
            .iter()
            .filter(|(_, output)| !matches!(output, Output::Estimate(_)))
            .collect();
        let expected = [
            (3000, Output::Stalled),
            (4000, Output::Resumed),
            (7000, Output::Stalled),
            (12000, Output::Dead(Ailment::VideoEnded)),
        ];
        assert_eq!(told, expected.iter().collect::<Vec<_>>());
        assert_eq!(world.health.deadline(), None);
    }

    #[test]
    fn a_camera_that_never_sends_is_given_up() {
        let mut world = World::connected();
        world.pass(Duration::from_secs(30), false);
        assert_eq!(world.said.last(), Some(&(15_000, Output::Dead(Ailment::NoVideo))));
    }

    #[test]
    fn an_idr_picture_is_seen_in_every_packetization() {
        for idr in [
            &[0x65, 1][..],
            &[0x7c, 0x85],
            &[0x7c, 0x05],
            &[0x78, 0, 1, 0x67, 0, 1, 0x65],
        ] {
            assert!(carries_idr(idr), "{idr:x?}");
        }
        for other in [
            &[][..],
            &[0x67],
            &[0x41],
            &[0x7c],
            &[0x7c, 0x81],
            &[0x78, 0, 9, 0x65],
            &[0x78, 0, 1, 0x67],
        ] {
            assert!(!carries_idr(other), "{other:x?}");
        }
    }

    proptest! {
        #[test]
        fn the_machine_never_wants_to_be_woken_twice_at_one_instant(
            inputs in proptest::collection::vec((0_u64..4000, 0_u8..4), 0..60),
        ) {
            let mut world = World::connected();
            for (wait, input) in inputs {
                world.now += Duration::from_millis(wait);
                world.tell(match input {
                    0 => Input::Video { idr: false },
                    1 => Input::Video { idr: true },
                    2 => Input::KeyFrameNeeded,
                    _ => Input::Tick,
                });
                if let Some((at, why)) = world.health.deadline() {
                    prop_assert!(at > world.now, "{why}");
                }
            }
        }
    }
}
