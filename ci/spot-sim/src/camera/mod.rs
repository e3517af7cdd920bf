//! The camera: pictures and sound on one clock, a real encoder or a tape, and the sessions that watch.
//!
//! Camera time starts at zero with the simulator. Frame n is due at n/fps; the tone starts on every whole second, and
//! the mark in the picture is white while it sounds. RTP timestamps and sender reports of all sessions come from this
//! one clock. While nobody listens nothing is encoded, and frame numbers go on by time.

mod annexb;
pub(crate) mod audio;
mod block_code;
mod canvas;
pub(crate) mod controls;
mod encoder;
pub(crate) mod hub;
pub(crate) mod picture;
mod record;
pub(crate) mod session;
mod tap;
mod tape;
mod tone;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use gstreamer::prelude::*;

use self::audio::{Codec, FRAME_MS};
use self::block_code::Stamp;
use self::controls::{Controls, Wanted};
use self::encoder::{Encoder, Picture, Shape};
use self::hub::{AccessUnit, AudioFrame, Hub};
use self::picture::{Painter, Size};
use self::tape::{Tape, TapeWriter};
use crate::screens::SCREENS;

/// Where the access units come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Encode,
    /// A folder made by [`write_tape`].
    Replay(PathBuf),
}

/// What the camera films.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) size: Size,
    pub(crate) fps: u32,
    pub(crate) audio: Codec,
}

/// Camera time, shared by all pipelines.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    pub(crate) clock: gstreamer::Clock,
    pub(crate) base: gstreamer::ClockTime,
}

impl Clock {
    fn start() -> Self {
        let clock = gstreamer::SystemClock::obtain();
        let base = clock.time();
        Self { clock, base }
    }

    /// Camera time in ns.
    fn now(&self) -> u64 {
        self.clock.time().saturating_sub(self.base).nseconds()
    }

    fn sleep_until(&self, ns: u64) {
        std::thread::sleep(Duration::from_nanos(ns.saturating_sub(self.now())));
    }
}

/// A running camera.
pub(crate) struct Camera {
    pub(crate) hub: Arc<Hub>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) clock: Clock,
    pub(crate) audio: Codec,
}

impl Camera {
    /// Starts the camera's threads; they end with the process.
    pub(crate) fn start(plan: &Plan, wanted: Wanted) -> anyhow::Result<Self> {
        let camera = Self {
            hub: Arc::default(),
            controls: Arc::new(Controls::new(wanted)),
            clock: Clock::start(),
            audio: plan.audio,
        };
        let source = match &plan.mode {
            Mode::Encode => Source::Film(Box::new(Film::new(plan, &camera.hub))),
            Mode::Replay(folder) => Source::Tape(Tape::load(folder)?, Arc::clone(&camera.hub)),
        };
        let reel = Reel {
            source,
            hub: Arc::clone(&camera.hub),
            clock: camera.clock.clone(),
            fps: plan.fps,
        };
        let controls = Arc::clone(&camera.controls);
        std::thread::Builder::new().name("video".into()).spawn(move || {
            if let Err(error) = reel.run(&controls) {
                tracing::error!("the camera stopped: {error:#}");
                std::process::exit(1);
            }
        })?;
        if let Some(format) = plan.audio.format() {
            let second = audio::second(format)?;
            let (hub, clock) = (Arc::clone(&camera.hub), camera.clock.clone());
            std::thread::Builder::new()
                .name("audio".into())
                .spawn(move || play_sound(&second, &hub, &clock))?;
        }
        Ok(camera)
    }
}

/// Turns frame numbers into access units for the hub, at the pace of the clock.
struct Reel {
    source: Source,
    hub: Arc<Hub>,
    clock: Clock,
    fps: u32,
}

enum Source {
    Film(Box<Film>),
    Tape(Tape, Arc<Hub>),
}

/// A camera that is further behind than this leaves frames out.
const PATIENCE_NS: u64 = 2_000_000_000;

impl Reel {
    fn run(mut self, controls: &Controls) -> anyhow::Result<()> {
        // The first picture is the only IDR of its own accord; it is gone before anybody can connect.
        let mut frame = 0;
        loop {
            let pts = self.pts(frame);
            self.clock.sleep_until(pts);
            self.produce(frame, pts, controls)?;
            frame += 1;
            if self.hub.is_empty() {
                self.hub.wait_for_a_listener();
                frame = self.due();
            } else if self.pts(frame) + PATIENCE_NS < self.clock.now() {
                tracing::warn!(frame, "the encoder is 2 s behind: leaving frames out");
                frame = self.due();
            }
        }
    }

    fn produce(&mut self, frame: u64, pts: u64, controls: &Controls) -> anyhow::Result<()> {
        let picture = Picture {
            frame: u32::try_from(frame & 0xFFFF_FFFF)?,
            pts,
        };
        let wanted = controls.wanted();
        let asked = controls.take_key_frame_request();
        match &mut self.source {
            Source::Film(film) => film.shoot(picture, wanted, asked),
            Source::Tape(tape, hub) => {
                let duration = 1_000_000_000 / u64::from(self.fps);
                if let Some(data) = tape.play(asked, wanted.idr_interval) {
                    hub.video(&AccessUnit {
                        frame: picture.frame,
                        pts,
                        duration,
                        data,
                    });
                }
                Ok(())
            }
        }
    }

    fn pts(&self, frame: u64) -> u64 {
        frame * 1_000_000_000 / u64::from(self.fps)
    }

    /// The next frame whose time has not come yet.
    fn due(&self) -> u64 {
        self.clock.now() * u64::from(self.fps) / 1_000_000_000 + 1
    }
}

/// A painter and an encoder, both made anew when the shape of the picture changes.
struct Film {
    size: Size,
    fps: u32,
    hub: Arc<Hub>,
    take: Option<Take>,
}

struct Take {
    painter: Painter,
    encoder: Encoder,
    shape: Shape,
    screen: usize,
    since_idr: u32,
}

impl Film {
    fn new(plan: &Plan, hub: &Arc<Hub>) -> Self {
        Self {
            size: plan.size,
            fps: plan.fps,
            hub: Arc::clone(hub),
            take: None,
        }
    }

    fn shoot(&mut self, picture: Picture, wanted: Wanted, asked: bool) -> anyhow::Result<()> {
        let screen = SCREENS.get(wanted.screen).context("failed to find the screen")?;
        let size = if screen.panorama {
            panorama(self.size)
        } else {
            self.size
        };
        let shape = Shape {
            size,
            fps: self.fps,
            refresh_interval: wanted.refresh_interval,
        };
        let mut take = match self.take.take() {
            Some(take) if take.shape == shape => take,
            last => {
                // What was filmed before the change is still sent.
                last.map_or(Ok(()), |take| take.encoder.finish())?;
                let hub = Arc::clone(&self.hub);
                let encoder = Encoder::start(shape, wanted.bitrate, move |unit| hub.video(unit))?;
                let painter = Painter::new(size, wanted.screen, screen.name);
                Take {
                    painter,
                    encoder,
                    shape,
                    screen: wanted.screen,
                    since_idr: 0,
                }
            }
        };
        if take.screen != wanted.screen {
            take.painter = Painter::new(size, wanted.screen, screen.name);
            take.screen = wanted.screen;
        }
        take.encoder.set_bitrate(wanted.bitrate);

        let idr = asked || wanted.idr_interval != 0 && take.since_idr >= wanted.idr_interval;
        let mut i420 = vec![0; size.bytes()];
        let stamp = Stamp {
            frame: picture.frame,
            unix_ms: crate::unix_ms(),
            screen: u8::try_from(wanted.screen)?,
            mark: picture.pts / 1_000_000 % 1000 < tone::TONE_MS,
        };
        take.painter.paint(&mut i420, stamp);
        take.encoder.encode(picture, i420, idr)?;
        take.since_idr = if idr { 1 } else { take.since_idr.saturating_add(1) };
        self.take = Some(take);
        Ok(())
    }
}

/// The stitched picture is twice as wide as high.
fn panorama(size: Size) -> Size {
    Size {
        height: size.width / 2,
        ..size
    }
}

fn play_sound(second: &[Bytes], hub: &Hub, clock: &Clock) {
    loop {
        hub.wait_for_a_listener();
        let first = clock.now() / 1_000_000 / FRAME_MS + 1;
        let indices = (first..).zip(
            second
                .iter()
                .cycle()
                .skip(usize::try_from(first).unwrap_or(0) % second.len()),
        );
        for (index, data) in indices {
            // A frame leaves when its last sample has been heard.
            clock.sleep_until((index + 1) * FRAME_MS * 1_000_000);
            if hub.is_empty() {
                break;
            }
            let pts = index * FRAME_MS * 1_000_000;
            hub.audio(&AudioFrame {
                pts,
                duration: FRAME_MS * 1_000_000,
                data: data.clone(),
            });
        }
    }
}

/// Encodes `seconds` of film into a folder for [`Mode::Replay`], as fast as the machine can.
pub(crate) fn write_tape(folder: &Path, plan: &Plan, wanted: Wanted, seconds: u32) -> anyhow::Result<()> {
    let collected = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = Collector(Arc::clone(&collected));
    let hub = Arc::new(Hub::default());
    hub.add(0, Box::new(listener));
    let mut film = Film::new(plan, &hub);
    for frame in 0..seconds * plan.fps {
        let pts = u64::from(frame) * 1_000_000_000 / u64::from(plan.fps);
        film.shoot(Picture { frame, pts }, wanted, false)?;
    }
    film.take.take().map_or(Ok(()), |take| take.encoder.finish())?;
    let mut tape = TapeWriter::create(folder)?;
    for unit in crate::locked(&collected).iter() {
        tape.push(unit.frame, &unit.data)?;
    }
    tape.finish()
}

struct Collector(Arc<std::sync::Mutex<Vec<AccessUnit>>>);

impl hub::Listener for Collector {
    fn video(&self, unit: &AccessUnit) {
        crate::locked(&self.0).push(unit.clone());
    }

    fn audio(&self, _: &AudioFrame) {}
}
