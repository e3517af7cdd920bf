//! The queue between media and socket, measured in media time: what waits, what is given up, and what is told.
//!
//! Under pressure the camera is asked for less first (that is the conductor's work, on [`Output::Choked`]). Only when
//! 900 ms of pictures wait are pictures given up, and then all up to the next IDR: a viewer sees a freeze, not smear.
//! Audio and headers are never given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Deadline;
use crate::media::Frame;
use crate::units::MediaTime;

/// From how much waiting media on the connection is choked.
const CHOKED_AT: Duration = Duration::from_millis(300);

/// A connection is relieved when no more than this has waited for [`RELIEVED_AFTER`].
const RELIEVED_AT: Duration = Duration::from_millis(100);
const RELIEVED_AFTER: Duration = Duration::from_secs(2);

/// From how much waiting video on pictures are given up (the threshold of OBS for P-frames).
const GIVE_UP_AT: Duration = Duration::from_millis(900);

/// How long there may be something to send and nothing of it is sent.
const STALLED_AFTER: Duration = Duration::from_secs(6);

/// How much media may wait before a new connection is the better one. Only audio gets that far.
const HOPELESS_AT: Duration = Duration::from_secs(10);

/// How long a camera may take to answer a wish for a key frame.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The server waits for media.
    Opened,
    /// There is a frame to be sent.
    Frame(Frame),
    /// The frame taken last ends at this offset of the connection's outgoing bytes.
    Written(u64),
    /// So many of the connection's outgoing bytes have left the machine, or are about to.
    Sent(u64),
    /// Nothing, but time has passed.
    Tick,
}

/// What others should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// More media comes than leaves.
    Choked,
    /// Media leaves as it comes, and has for a while.
    Relieved,
    /// Nothing can be shown before the next IDR.
    KeyFrameNeeded,
    /// Nothing was sent for 6 s although there was something to send.
    Stalled,
    /// 10 s of media wait.
    Hopeless,
}

/// How the queue is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The media time between the newest frame and the oldest that has not left.
    pub queued: Duration,
    /// Bytes of frames that were not taken yet.
    pub queued_bytes: usize,
    /// Frames that were taken to be sent.
    pub frames_sent: u64,
    /// Pictures that were given up.
    pub frames_dropped: u64,
}

/// The headers that have come before the IDR that begins the publication.
#[derive(Debug, Default)]
struct Headers {
    video: Option<Frame>,
    audio: Option<Frame>,
}

impl Headers {
    fn keep(&mut self, frame: Frame) {
        match frame {
            Frame::VideoHeader { .. } => self.video = Some(frame),
            Frame::AudioHeader { .. } => self.audio = Some(frame),
            Frame::Video { .. } | Frame::Audio { .. } => {}
        }
    }

    /// The headers as they begin a publication at `start`.
    fn take(&mut self, start: MediaTime) -> impl Iterator<Item = Frame> + use<> {
        let Self { video, audio } = std::mem::take(self);
        video.into_iter().chain(audio).map(move |mut header| {
            if let Frame::VideoHeader { at, .. } | Frame::AudioHeader { at, .. } = &mut header {
                *at = start;
            }
            header
        })
    }
}

/// What may enter the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// There is no publication yet: everything goes by.
    Closed,
    /// The publication begins with an IDR and the headers that came before it.
    First,
    /// Pictures were given up: audio goes on, pictures from the next IDR.
    AwaitingIdr,
    /// Everything.
    Open,
}

/// The queue of one publication.
#[derive(Debug)]
pub struct Pace {
    gate: Gate,
    headers: Headers,
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    /// Frames that were taken and have not left: when they are due, and where they end once that is known.
    taken: VecDeque<(MediaTime, Option<u64>)>,
    newest: MediaTime,
    sent: u64,
    /// When something left last, or when there was nothing that could.
    progress: Instant,
    choked: bool,
    calm_since: Option<Instant>,
    asked: Option<Instant>,
    over: bool,
    frames_sent: u64,
    frames_dropped: u64,
    outputs: VecDeque<Output>,
}

impl Pace {
    /// The queue of a publication that is being opened.
    pub fn new(now: Instant) -> Self {
        Self {
            gate: Gate::Closed,
            headers: Headers::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            taken: VecDeque::new(),
            newest: MediaTime::ZERO,
            sent: 0,
            progress: now,
            choked: false,
            calm_since: None,
            asked: None,
            over: false,
            frames_sent: 0,
            frames_dropped: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened if self.gate == Gate::Closed => self.gate = Gate::First,
            Input::Opened | Input::Tick => {}
            Input::Frame(frame) => self.frame(now, frame),
            Input::Written(end) => {
                if let Some((_, last)) = self.taken.back_mut() {
                    *last = Some(end);
                }
            }
            Input::Sent(total) => self.sent(now, total),
        }
        self.judge(now);
    }

    /// What others should know next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When nothing happening is news.
    pub fn deadline(&self) -> Deadline {
        if self.over {
            return None;
        }
        let stalled =
            (!self.is_idle()).then(|| (self.progress + STALLED_AFTER, "a send queue that does not move"));
        let relieved = self
            .calm_since
            .map(|since| (since + RELIEVED_AFTER, "the end of a choke"));
        let ask = self.ask_at().map(|at| (at, "the key frame asked for"));
        [stalled, relieved, ask].into_iter().flatten().min()
    }

    /// The next frame to send. Say [`Input::Written`] when it is bytes.
    pub fn take(&mut self) -> Option<Frame> {
        let frame = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes(&frame));
        self.frames_sent += 1;
        self.taken.push_back((frame.at(), None));
        Some(frame)
    }

    /// Whether a frame waits to be taken.
    pub fn has_frame(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How the queue is doing.
    pub fn load(&self) -> Load {
        Load {
            queued: self.queued(),
            queued_bytes: self.queued_bytes,
            frames_sent: self.frames_sent,
            frames_dropped: self.frames_dropped,
        }
    }

    fn frame(&mut self, now: Instant, frame: Frame) {
        let idr = matches!(frame, Frame::Video { idr: true, .. });
        match (self.gate, &frame) {
            (Gate::Closed, _) => {}
            (Gate::First, _) if idr && self.headers.video.is_some() => {
                self.progress = now;
                for header in self.headers.take(frame.at()) {
                    self.push(now, header);
                }
                self.open(now, frame);
            }
            (Gate::First, _) => self.headers.keep(frame),
            (Gate::AwaitingIdr, Frame::Video { .. }) if !idr => self.frames_dropped += 1,
            (Gate::AwaitingIdr, Frame::Video { .. }) => self.open(now, frame),
            (Gate::AwaitingIdr | Gate::Open, _) => self.push(now, frame),
        }
        self.give_up();
    }

    fn open(&mut self, now: Instant, idr: Frame) {
        self.gate = Gate::Open;
        self.asked = None;
        self.push(now, idr);
    }

    fn push(&mut self, now: Instant, frame: Frame) {
        if self.is_idle() {
            self.progress = now;
        }
        self.newest = self.newest.max(frame.at());
        self.queued_bytes += bytes(&frame);
        self.queue.push_back(frame);
    }

    /// Gives pictures up while too many wait: first those before an IDR that waits behind them, then those after it.
    fn give_up(&mut self) {
        if self.waiting_video() < GIVE_UP_AT {
            return;
        }
        let last_idr = self
            .queue
            .iter()
            .rposition(|frame| matches!(frame, Frame::Video { idr: true, .. }));
        if let Some(last_idr) = last_idr {
            let mut index = 0;
            self.drop_video(|_| {
                index += 1;
                index <= last_idr
            });
        }
        if self.waiting_video() >= GIVE_UP_AT {
            self.drop_video(|idr| !idr);
            self.gate = Gate::AwaitingIdr;
        }
    }

    /// Drops the pictures for which `which(is IDR)` holds; it is asked for every frame in order.
    fn drop_video(&mut self, mut which: impl FnMut(bool) -> bool) {
        let (dropped, dropped_bytes) = (&mut self.frames_dropped, &mut self.queued_bytes);
        self.queue.retain(|frame| {
            let idr = matches!(frame, Frame::Video { idr: true, .. });
            let drop = which(idr) && matches!(frame, Frame::Video { .. });
            if drop {
                *dropped += 1;
                *dropped_bytes = dropped_bytes.saturating_sub(bytes(frame));
            }
            !drop
        });
    }

    fn sent(&mut self, now: Instant, total: u64) {
        if total > self.sent {
            self.sent = total;
            self.progress = now;
        }
        while let Some((_, Some(end))) = self.taken.front()
            && *end <= self.sent
        {
            self.taken.pop_front();
        }
    }

    fn judge(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let queued = self.queued();
        if queued >= CHOKED_AT && !self.choked {
            self.choked = true;
            self.outputs.push_back(Output::Choked);
        }
        self.calm_since = if self.choked && queued <= RELIEVED_AT {
            self.calm_since.or(Some(now))
        } else {
            None
        };
        if self.calm_since.is_some_and(|since| now >= since + RELIEVED_AFTER) {
            self.choked = false;
            self.calm_since = None;
            self.outputs.push_back(Output::Relieved);
        }
        if self.ask_at().is_some_and(|at| now >= at) {
            self.asked = Some(now);
            self.outputs.push_back(Output::KeyFrameNeeded);
        }
        let end = if self.is_idle() {
            None
        } else if now >= self.progress + STALLED_AFTER {
            Some(Output::Stalled)
        } else if queued >= HOPELESS_AT {
            Some(Output::Hopeless)
        } else {
            None
        };
        if let Some(end) = end {
            self.over = true;
            self.outputs.push_back(end);
        }
    }

    /// When to ask for a key frame: not while a choked queue would only hold it up.
    fn ask_at(&self) -> Option<Instant> {
        let wanted = match self.gate {
            Gate::First => true,
            Gate::AwaitingIdr => self.queued() < CHOKED_AT,
            Gate::Closed | Gate::Open => false,
        };
        wanted.then(|| self.asked.map_or(self.progress, |asked| asked + ASK_AGAIN_AFTER))
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.taken.is_empty()
    }

    fn queued(&self) -> Duration {
        let oldest = self
            .taken
            .front()
            .map(|(at, _)| *at)
            .or_else(|| self.queue.front().map(Frame::at));
        oldest.map_or(Duration::ZERO, |oldest| self.newest.since(oldest))
    }

    /// The media time that the waiting pictures span.
    fn waiting_video(&self) -> Duration {
        let mut video = self
            .queue
            .iter()
            .filter(|frame| matches!(frame, Frame::Video { .. }))
            .map(Frame::at);
        let Some(first) = video.next() else {
            return Duration::ZERO;
        };
        video.next_back().map_or(Duration::ZERO, |last| last.since(first))
    }
}

fn bytes(frame: &Frame) -> usize {
    match frame {
        Frame::VideoHeader { configuration, .. } => {
            configuration.sps.len() + configuration.pps.iter().map(|nal| nal.len()).sum::<usize>()
        }
        Frame::Video { nals, .. } => nals.iter().map(bytes::Bytes::len).sum(),
        Frame::AudioHeader { configuration, .. } => configuration.len(),
        Frame::Audio { payload, .. } => payload.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::h264::DecoderConfiguration;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// Bytes of a picture and of an audio frame in these tests: 6 Mb/s at 25 fps, and 128 kb/s.
    const PICTURE: usize = 30_000;
    const AUDIO: usize = 320;

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the origin of virtual time"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    fn header(at: u64) -> Frame {
        let configuration = DecoderConfiguration {
            sps: Bytes::from_static(b"sps"),
            pps: vec![Bytes::from_static(b"pps")],
            high: None,
            width: 1280,
            height: 720,
        };
        Frame::VideoHeader {
            at: MediaTime::millis(at),
            configuration,
        }
    }

    fn audio_header() -> Frame {
        Frame::AudioHeader {
            at: MediaTime::ZERO,
            configuration: Bytes::from_static(b"\x11\x90"),
        }
    }

    fn picture(at: u64, idr: bool) -> Frame {
        let nals = vec![Bytes::from(vec![0; PICTURE])];
        Frame::Video {
            at: MediaTime::millis(at),
            composition_offset_ms: 0,
            idr,
            nals,
        }
    }

    fn audio(at: u64) -> Frame {
        Frame::Audio {
            at: MediaTime::millis(at),
            payload: Bytes::from(vec![0; AUDIO]),
        }
    }

    /// A camera and an uplink in virtual time, 20 ms a step: a picture every second step, audio every step.
    struct Link {
        pace: Pace,
        start: Instant,
        time: u64,
        /// Milliseconds between IDRs.
        idr_every: u64,
        bytes_per_step: usize,
        written: u64,
        sent: u64,
        out: Vec<Frame>,
        said: Vec<(u64, Output)>,
    }

    impl Link {
        fn new(idr_every: u64) -> Self {
            let start = origin();
            let mut pace = Pace::new(start);
            pace.handle(start, Input::Opened);
            pace.handle(start, Input::Frame(header(0)));
            pace.handle(start, Input::Frame(audio_header()));
            let mut link = Self {
                pace,
                start,
                time: 0,
                idr_every,
                bytes_per_step: 0,
                written: 0,
                sent: 0,
                out: Vec::new(),
                said: Vec::new(),
            };
            link.listen();
            assert_eq!(
                link.said(),
                [Output::KeyFrameNeeded],
                "a publication begins with a wish for an IDR"
            );
            link
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.time)
        }

        fn run(&mut self, milliseconds: u64, kilobits_per_second: usize) {
            self.bytes_per_step = kilobits_per_second * 20 / 8;
            let end = self.time + milliseconds;
            while self.time < end {
                let now = self.now();
                if self.time.is_multiple_of(40) {
                    let idr = self.time.is_multiple_of(self.idr_every);
                    self.pace.handle(now, Input::Frame(picture(self.time, idr)));
                }
                self.pace.handle(now, Input::Frame(audio(self.time)));
                self.send(now);
                self.listen();
                self.time += 20;
            }
        }

        /// The uplink takes what it can; a frame is taken from the queue when the last is on its way.
        fn send(&mut self, now: Instant) {
            let mut room = self.bytes_per_step as u64;
            while room > 0 {
                if self.sent == self.written {
                    let Some(frame) = self.pace.take() else { break };
                    self.written += bytes(&frame) as u64;
                    self.out.push(frame);
                    self.pace.handle(now, Input::Written(self.written));
                }
                let part = room.min(self.written - self.sent);
                self.sent += part;
                room -= part;
                self.pace.handle(now, Input::Sent(self.sent));
            }
        }

        fn listen(&mut self) {
            while let Some(output) = self.pace.poll() {
                self.said.push((self.time, output));
            }
        }

        fn said(&mut self) -> Vec<Output> {
            std::mem::take(&mut self.said)
                .into_iter()
                .map(|(_, output)| output)
                .collect()
        }

        /// Audio is complete and in order, and no picture is shown whose predecessor is missing.
        fn check(&self) {
            let audio: Vec<_> = self
                .out
                .iter()
                .filter(|f| matches!(f, Frame::Audio { .. }))
                .map(|f| f.at().as_millis())
                .collect();
            assert!(
                audio.windows(2).all(|pair| pair[1] == pair[0] + 20),
                "audio is missing"
            );
            let mut last = None;
            for frame in &self.out {
                if let Frame::Video { at, idr, .. } = frame {
                    assert!(*idr || last == Some(at.as_millis() - 40), "smear at {at}");
                    last = Some(at.as_millis());
                }
            }
        }
    }

    #[test]
    fn a_good_uplink_is_never_choked_and_nothing_is_given_up() {
        let mut link = Link::new(2000);
        link.run(20_000, 8000);
        link.check();
        assert_eq!(link.said(), []);
        assert_eq!(link.pace.load().frames_dropped, 0);
        assert!(matches!(
            link.out[..3],
            [
                Frame::VideoHeader { .. },
                Frame::AudioHeader { .. },
                Frame::Video { .. }
            ]
        ));
    }

    #[test]
    fn a_choked_uplink_is_told_before_anything_is_given_up_and_relief_comes_late() {
        let mut link = Link::new(2000);
        link.run(1000, 8000);
        link.run(1000, 4000);
        assert_eq!(link.said(), [Output::Choked]);
        assert_eq!(link.pace.load().frames_dropped, 0);
        link.run(2000, 12_000);
        assert_eq!(link.said(), [], "it is not relieved the moment it is empty");
        link.run(1000, 12_000);
        assert_eq!(link.said(), [Output::Relieved]);
        link.check();
    }

    #[test]
    fn a_slow_uplink_gives_up_whole_tails_until_an_idr_and_keeps_all_audio() {
        let mut link = Link::new(2000);
        link.run(2000, 8000);
        link.run(20_000, 2000);
        link.run(6000, 20_000);
        link.check();
        assert!(link.pace.load().frames_dropped > 100);
        let said = link.said();
        assert_eq!(said[0], Output::Choked);
        assert!(said.contains(&Output::KeyFrameNeeded));
        assert_eq!(said[said.len() - 1], Output::Relieved);
        assert!(
            !said.contains(&Output::Hopeless) && !said.contains(&Output::Stalled),
            "{said:?}"
        );
    }

    #[test]
    fn an_idr_that_waits_saves_the_pictures_behind_it() {
        let mut link = Link::new(400);
        link.run(1000, 0);
        assert!(link.pace.load().frames_dropped > 0);
        assert_eq!(
            link.pace.gate,
            Gate::Open,
            "the pictures from the last IDR on are short enough to stay"
        );
        let first =
            std::iter::from_fn(|| link.pace.take()).find(|frame| matches!(frame, Frame::Video { .. }));
        assert!(matches!(first, Some(Frame::Video { idr: true, .. })));
    }

    #[test]
    fn an_uplink_that_stands_still_for_six_seconds_is_dead_and_an_idle_one_is_not() {
        let mut link = Link::new(2000);
        link.run(1000, 8000);
        let idle = link.start + Duration::from_secs(100);
        link.pace.handle(idle, Input::Tick);
        link.listen();
        assert_eq!(link.said(), [], "nothing is waiting");

        let mut link = Link::new(2000);
        link.run(1000, 8000);
        link.run(7000, 0);
        let (at, last) = link.said[link.said.len() - 1];
        assert_eq!(last, Output::Stalled);
        assert!((6900..=7100).contains(&at), "{at} ms");
        assert_eq!(link.pace.deadline(), None);
    }

    #[test]
    fn an_uplink_too_slow_for_audio_is_hopeless() {
        let mut link = Link::new(2000);
        link.run(1000, 8000);
        link.run(30_000, 20);
        let said = link.said();
        assert_eq!(said[said.len() - 1], Output::Hopeless);
        assert_eq!(
            said.iter().filter(|output| **output == Output::Hopeless).count(),
            1
        );
    }

    #[test]
    fn before_the_first_idr_nothing_is_sent_and_the_wish_is_repeated() {
        let start = origin();
        let mut pace = Pace::new(start);
        pace.handle(start, Input::Frame(header(0)));
        pace.handle(start, Input::Frame(picture(0, true)));
        assert!(!pace.has_frame(), "the publication is not open");
        pace.handle(start, Input::Opened);
        pace.handle(start, Input::Frame(header(0)));
        assert_eq!(pace.poll(), Some(Output::KeyFrameNeeded));
        pace.handle(start, Input::Frame(picture(40, false)));
        pace.handle(start, Input::Frame(audio(40)));
        assert!(!pace.has_frame());
        let (again, _) = pace.deadline().unwrap();
        assert_eq!(again, start + ASK_AGAIN_AFTER);
        pace.handle(again, Input::Tick);
        assert_eq!(pace.poll(), Some(Output::KeyFrameNeeded));
        pace.handle(again, Input::Frame(picture(2000, true)));
        assert_eq!(pace.take(), Some(header(2000)));
        assert!(matches!(pace.take(), Some(Frame::Video { idr: true, .. })));
    }

    #[test]
    fn an_idr_without_known_parameter_sets_is_no_beginning() {
        let start = origin();
        let mut pace = Pace::new(start);
        pace.handle(start, Input::Opened);
        pace.handle(start, Input::Frame(picture(0, true)));
        assert!(!pace.has_frame());
    }

    proptest! {
        #[test]
        fn whatever_the_uplink_does_audio_is_whole_and_pictures_do_not_smear(
            phases in prop::collection::vec((100..3000_u64, 0..12_000_usize), 1..12),
            idr_every in prop::sample::select(vec![400_u64, 1000, 2000, 10_000]),
        ) {
            let mut link = Link::new(idr_every);
            for (milliseconds, kilobits_per_second) in phases {
                link.run(milliseconds / 20 * 20, kilobits_per_second);
            }
            link.check();
            prop_assert!(link.pace.waiting_video() < GIVE_UP_AT + Duration::from_millis(idr_every));
            let pictures = link.pace.queue.iter().filter(|f| matches!(f, Frame::Video { .. })).count();
            prop_assert!(pictures <= 25, "{} pictures wait", pictures);
        }
    }
}
