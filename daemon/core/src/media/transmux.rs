//! The machine of the whole stage: RTP packets in, frames to publish out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Frame;
pub use super::exchange::{Input, Output, Picture, Settings, Statistics, Unsupported};
use super::frame_rate::Meter;
use super::gate::{Gate, Reason};
use super::h264::DecoderConfiguration;
use super::h264::access_unit::{AccessUnit, Assembler, Found};
use super::h264::nal::NalType;
use super::h264::parameter_sets::{self, ParameterSets};
use super::h264::picture_order::{PictureOrder, Slice, pps_of};
use super::interleave::Interleaver;
use super::reorder::{Item, Reorder};
use super::sound::Sound;
use super::timeline::Timeline;
use crate::Deadline;
use crate::rtp::Track;
use crate::units::MediaTime;

/// Where the publication stands.
#[derive(Debug)]
enum Publication {
    /// Waiting for an IDR picture.
    Awaited,
    /// Running since `zero` (ticks of the video's clock).
    Running {
        zero: i64,
        configuration: DecoderConfiguration,
        last: Option<MediaTime>,
    },
    /// Over; only a restart helps.
    Over,
}

/// The stage's machine.
#[derive(Debug)]
pub struct Transmuxer {
    settings: Settings,
    timeline: Timeline,
    video: Reorder,
    sound: Sound,
    assembler: Assembler,
    sets: ParameterSets,
    order: PictureOrder,
    meter: Meter,
    gate: Gate,
    publication: Publication,
    interleaver: Interleaver,
    told: Option<Picture>,
    last_idr: Option<i64>,
    statistics: Statistics,
    outputs: VecDeque<Output>,
    now: Option<Instant>,
}

impl Transmuxer {
    /// A machine for one session with the camera.
    pub fn new(settings: Settings) -> Self {
        let mut sets = ParameterSets::default();
        for nal in &settings.parameter_sets {
            sets.insert(nal);
        }
        Self {
            timeline: Timeline::new(settings.audio.clock_rate()),
            video: Reorder::new(settings.loss_wait),
            sound: Sound::new(&settings.audio, settings.loss_wait),
            assembler: Assembler::default(),
            sets,
            order: PictureOrder::default(),
            meter: Meter::default(),
            gate: Gate::new(settings.after_loss),
            publication: Publication::Awaited,
            interleaver: Interleaver::new(settings.hold),
            told: None,
            last_idr: None,
            statistics: Statistics::default(),
            outputs: VecDeque::new(),
            now: None,
            settings,
        }
    }

    /// Takes an input; [`Transmuxer::poll`] is to be drained afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = Some(now);
        match input {
            Input::Rtp(Track::Video, packet) => {
                self.statistics.video_packets += 1;
                self.gate.wake(now);
                self.timeline.packet(now, Track::Video, packet.timestamp);
                self.video.push(now, packet);
            }
            Input::Rtp(Track::Audio, packet) => {
                self.statistics.audio_packets += 1;
                self.sound.packet(now, packet, &mut self.timeline);
            }
            Input::SenderReport(track, report) => self.timeline.report(track, report),
            Input::Aac(frames) => self.sound.encoded(now, frames, &mut self.interleaver),
            Input::Restart => self.restart(now),
            Input::Tick => {}
        }
        self.advance_video(now);
        self.sound.advance(now, &mut self.timeline);
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        let now = self.now?;
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if let Some(request) = self.gate.pop(now) {
            return Some(Output::KeyFrameNeeded(request));
        }
        if let Some(step) = self.sound.pop() {
            return Some(Output::Audio(step));
        }
        self.interleaver.pop(now).map(Output::Frame)
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Deadline {
        [
            self.video.deadline(),
            self.sound.deadline(),
            self.interleaver.deadline(),
            self.gate.deadline(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// Counts since the session began.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            video_late: self.video.late(),
            audio_lost: self.sound.lost(),
            audio_filled: self.sound.filled(),
            ..self.statistics
        }
    }

    fn restart(&mut self, now: Instant) {
        self.publication = Publication::Awaited;
        self.interleaver.clear();
        self.gate = Gate::new(self.settings.after_loss);
        if self.statistics.video_packets > 0 {
            self.gate.wake(now);
        }
        self.sound.end();
    }

    fn advance_video(&mut self, now: Instant) {
        while let Some(item) = self.video.pop(now) {
            if let Item::Gap { packets } = item {
                self.statistics.video_lost += packets;
            }
            self.assembler.push(item);
            while let Some(found) = self.assembler.pop() {
                match found {
                    Found::ParameterSet(nal) => self.sets.insert(&nal),
                    Found::Unit(unit) => self.unit(now, unit),
                    Found::Lost => {
                        self.statistics.losses += 1;
                        self.lose(now, Reason::Loss);
                    }
                }
            }
        }
    }

    fn lose(&mut self, now: Instant, reason: Reason) {
        self.order.reset();
        self.meter.lose();
        self.gate.lose(now, reason);
    }

    fn unit(&mut self, now: Instant, unit: AccessUnit) {
        self.statistics.access_units += 1;
        let ticks = self.timeline.video_ticks(unit.timestamp);
        let rate_changed = self.meter.picture(ticks);
        if unit.idr {
            self.statistics.idrs += 1;
            let last = self.last_idr.replace(ticks);
            self.statistics.idr_interval = last.and_then(|last| {
                let nanos = self.timeline.video(ticks.saturating_sub(last));
                u64::try_from(nanos).ok().map(Duration::from_nanos)
            });
        }
        if !self.publish(now, unit, ticks) {
            self.statistics.dropped += 1;
        }
        if rate_changed {
            self.tell_picture();
        }
        let at = self.timeline.video(ticks);
        self.sound.fill_to(now, at);
    }

    /// Publishes the unit if that is right; false when it was dropped.
    fn publish(&mut self, now: Instant, unit: AccessUnit, ticks: i64) -> bool {
        let Some(slice) = unit.first_slice() else {
            return false;
        };
        let Some(pps) = pps_of(slice) else {
            self.lose(now, Reason::Loss);
            return false;
        };
        let facts = match self.sets.facts(pps) {
            Ok(facts) => facts,
            Err(parameter_sets::Error::Missing) => {
                if unit.idr {
                    self.lose(now, Reason::ParameterSets);
                }
                return false;
            }
            Err(parameter_sets::Error::Unreadable) => {
                self.refuse(Unsupported::ParameterSet);
                return false;
            }
        };
        let slice = Slice::read(slice, facts);
        if slice.is_some_and(|slice| self.order.is_reordered(&slice, unit.idr, facts)) {
            self.refuse(Unsupported::Reordered);
            return false;
        }
        if unit.idr {
            let Ok(configuration) = self.sets.configuration(pps) else {
                return false;
            };
            if !self.begin(now, ticks, configuration) {
                return false;
            }
            self.gate.open();
        } else if !self.gate.admits() {
            return false;
        }
        let Publication::Running { zero, last, .. } = &mut self.publication else {
            return false;
        };
        let due = to_millis(ticks.saturating_sub(*zero));
        let at = last.map_or(due, |last| due.max(MediaTime::millis(last.as_millis() + 1)));
        *last = Some(at);
        let idr = unit.idr;
        let mut nals = unit.nals;
        nals.retain(|nal| {
            nal.first()
                .is_some_and(|header| NalType::of(*header).is_published())
        });
        self.sound.accompany(now, at, &mut self.interleaver);
        let frame = Frame::Video {
            at,
            composition_offset_ms: 0,
            idr,
            nals,
        };
        self.interleaver
            .push_video(now, frame, MediaTime::millis(at.as_millis() + 1));
        true
    }

    /// Makes sure that a publication runs with this configuration; false when it cannot.
    fn begin(&mut self, now: Instant, ticks: i64, new: DecoderConfiguration) -> bool {
        let size = (new.width, new.height);
        if self.told.is_none_or(|told| (told.width, told.height) != size) {
            self.told = Some(Picture {
                width: size.0,
                height: size.1,
                frame_rate: None,
            });
            self.tell_picture();
        }
        match &mut self.publication {
            Publication::Over => false,
            Publication::Running { configuration, .. } if *configuration == new => true,
            Publication::Running { configuration, .. }
                if (configuration.width, configuration.height) != (new.width, new.height) =>
            {
                let from = (configuration.width, configuration.height);
                self.outputs.push_back(Output::SizeChanged { from, to: size });
                self.end();
                false
            }
            Publication::Running {
                zero,
                configuration,
                last,
            } => {
                configuration.clone_from(&new);
                let after = last.map_or(0, |last| last.as_millis() + 1);
                let at = to_millis(ticks.saturating_sub(*zero)).max(MediaTime::millis(after));
                self.interleaver.push_video(
                    now,
                    Frame::VideoHeader {
                        at,
                        configuration: new,
                    },
                    at,
                );
                true
            }
            Publication::Awaited => {
                self.start(now, ticks, new);
                true
            }
        }
    }

    fn start(&mut self, now: Instant, zero: i64, configuration: DecoderConfiguration) {
        let at = MediaTime::ZERO;
        let header = Frame::VideoHeader {
            at,
            configuration: configuration.clone(),
        };
        self.outputs.push_back(Output::Frame(header));
        let header = Frame::AudioHeader {
            at,
            configuration: self.settings.audio.configuration(),
        };
        self.outputs.push_back(Output::Frame(header));
        self.publication = Publication::Running {
            zero,
            configuration,
            last: None,
        };
        self.sound
            .begin(now, self.timeline.video(zero), &mut self.interleaver);
    }

    /// Nothing is published any more.
    fn end(&mut self) {
        self.publication = Publication::Over;
        self.sound.end();
    }

    fn refuse(&mut self, why: Unsupported) {
        if !matches!(self.publication, Publication::Over) {
            self.end();
            self.outputs.push_back(Output::Unsupported(why));
        }
    }

    fn tell_picture(&mut self) {
        if let Some(told) = &mut self.told {
            told.frame_rate = self.meter.rate();
            self.outputs.push_back(Output::Picture(*told));
        }
    }
}

fn to_millis(ticks: i64) -> MediaTime {
    MediaTime::millis(u64::try_from((ticks.saturating_add(45)).div_euclid(90)).unwrap_or(0))
}
