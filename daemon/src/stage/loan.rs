//! The camera's settings, on loan: kept on disk before they are changed, given back at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spotstream_core::robot::custody::{self, Custody, Input, Output, Settings};
use spotstream_core::robot::screens::{self, NotAScreenName, ScreenName};
use spotstream_core::robot::stream_parameters::{StreamParameters, UNMEASURED, Wanted};
use spotstream_core::supervise::state::Event;
use spotstream_core::units::FrameRate;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::until;
use crate::control;
use crate::edge::custody::{CustodyFile, Error as FileError};
use crate::edge::files::Serial;
use crate::edge::robot::{Error, Robot};
use crate::problem;

/// The pause before a camera that failed while a picture runs is asked again.
const REOPEN_AFTER: Duration = Duration::from_secs(30);

/// What is wanted of the camera.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Of the encoder.
    pub encoder: Wanted,
    /// Of the compositor; `None` leaves the picture as it is.
    pub screen: Option<ScreenName>,
    /// Whether the camera is to follow the receiver's estimate.
    pub congestion_control: bool,
}

/// An operator who waits for the camera to settle.
enum Waiting {
    Parameters(control::Reply<StreamParameters>),
    Screen(control::Reply<()>),
}

/// Keeps, sets and gives back the camera's settings.
pub struct Loan {
    machine: Custody,
    file: Serial<CustodyFile>,
    wish: Wish,
    rate: FrameRate,
    /// What an operator has asked for since the start; it wins over the settings file.
    by_hand: Settings,
    applied: Settings,
    robot: Option<Arc<Robot>>,
    tasks: JoinSet<Done>,
    waiting: Vec<Waiting>,
    contact: Contact,
    /// Whether a stream is wanted; without one the camera is only given back.
    wanted: bool,
    /// When the camera is tried again after a failure; the conductor does so sooner while nothing stands.
    reopen_at: Option<Instant>,
    stopped: bool,
}

/// How far the camera can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    Away,
    Opening,
    Open,
}

enum Done {
    Opened(Result<custody::Loan, Trouble>),
    Read(Result<Settings, Error>),
    Saved(Result<(), FileError>),
    Set(Result<Settings, Error>),
    /// An operator's question, answered by the effect itself.
    Answered,
}

/// What keeps the loan from beginning.
enum Trouble {
    Robot(Error),
    File(FileError),
}

impl Loan {
    /// Nothing is touched before [`Self::prepare`].
    pub fn new(file: CustodyFile, wish: Wish) -> Self {
        Self {
            machine: Custody::default(),
            file: Serial::new(file),
            wish,
            rate: UNMEASURED,
            by_hand: Settings::default(),
            applied: Settings::default(),
            robot: None,
            tasks: JoinSet::new(),
            waiting: Vec::new(),
            contact: Contact::Away,
            wanted: false,
            reopen_at: None,
            stopped: true,
        }
    }

    /// Keeps the camera's settings and sets ours; [`Event::CameraReady`] or [`Event::CameraFailed`] follows.
    pub fn prepare(&mut self, robot: Arc<Robot>) {
        self.rate = UNMEASURED;
        self.wanted = true;
        self.open(robot);
    }

    /// Gives the camera back what it had before us. [`Self::restored`] tells when that is done.
    pub fn restore(&mut self, robot: Option<Arc<Robot>>) {
        self.wanted = false;
        self.reopen_at = None;
        self.refuse_all();
        self.robot = robot.or(self.robot.take());
        self.stopped = false;
        match (&self.contact, self.robot.clone()) {
            (Contact::Open, _) => self.machine.handle(Input::Stop),
            // What comes of it is stopped then.
            (Contact::Opening, _) => {}
            (Contact::Away, Some(robot)) => self.open(robot),
            (Contact::Away, None) => self.stopped = true,
        }
    }

    /// Tries nothing more by itself until [`Self::prepare`]. What is being given back still is.
    pub fn rest(&mut self) {
        if self.wanted {
            self.tasks = JoinSet::new();
            self.machine.handle(Input::Disconnected);
            self.contact = Contact::Away;
            self.reopen_at = None;
            self.refuse_all();
        }
    }

    /// Pictures come at this rate, so the IDR interval is so many frames.
    pub fn measured(&mut self, rate: FrameRate) {
        self.rate = rate;
        self.want();
    }

    /// An operator wants other encoder settings.
    pub fn set_parameters(&mut self, change: StreamParameters, reply: control::Reply<StreamParameters>) {
        let by_hand = &mut self.by_hand.parameters;
        by_hand.target_bitrate = change.target_bitrate.or(by_hand.target_bitrate);
        by_hand.refresh_interval = change.refresh_interval.or(by_hand.refresh_interval);
        by_hand.idr_interval = change.idr_interval.or(by_hand.idr_interval);
        by_hand.awb = change.awb.or(by_hand.awb);
        self.want_for(Waiting::Parameters(reply));
    }

    /// An operator wants another screen.
    pub fn set_screen(&mut self, name: &str, reply: control::Reply<()>) {
        match name.parse() {
            Ok(screen) => {
                self.by_hand.screen = Some(screen);
                self.want_for(Waiting::Screen(reply));
            }
            Err(error) => {
                let error: NotAScreenName = error;
                Waiting::Screen(reply).refuse(&problem::refusal("not-a-screen-name", &error, false));
            }
        }
    }

    /// An operator asks which screens there are.
    pub fn list_screens(&mut self, reply: control::Reply<Vec<String>>) {
        let Some(robot) = self.robot.clone() else {
            let _ = reply.send(Err(control::Refusal::no_camera()));
            return;
        };
        self.tasks.spawn(async move {
            let answer = robot.screens().await;
            let names = answer.map(|names| names.iter().map(ScreenName::to_string).collect());
            // An operator who has left wants no answer.
            let _ = reply
                .send(names.map_err(|error| problem::refusal(error.kind(), &error, error.is_retryable())));
            Done::Answered
        });
    }

    /// What the camera had when it was last heard.
    pub fn applied(&self) -> &Settings {
        &self.applied
    }

    /// Waits for news; only effects and their answers are between two of them.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.drain() {
                return event;
            }
            let reopen_at = self.reopen_at.map(|at| (at, "set up the camera again"));
            tokio::select! {
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => {
                        if let Some(event) = self.done(done) {
                            return event;
                        }
                    }
                    Err(error) => debug!("a camera effect ended early: {error}"),
                },
                () = until(reopen_at) => {
                    self.reopen_at = None;
                    if let Some(robot) = self.robot.clone() {
                        self.open(robot);
                    }
                }
            }
        }
    }

    /// Waits until everything is given back, or nothing more can be done.
    pub async fn restored(&mut self) {
        while !self.stopped {
            if let Some(event) = self.drain() {
                debug!(event = event.name(), "while giving the settings back");
                continue;
            }
            if self.stopped {
                return;
            }
            match self.tasks.join_next().await {
                Some(Ok(done)) => {
                    self.done(done);
                }
                Some(Err(error)) => debug!("a camera effect ended early: {error}"),
                None => return,
            }
        }
    }

    fn open(&mut self, robot: Arc<Robot>) {
        // What has just ended is dropped with its result.
        self.tasks = JoinSet::new();
        self.machine.handle(Input::Disconnected);
        self.contact = Contact::Opening;
        self.reopen_at = None;
        self.robot = Some(robot.clone());
        let file = self.file.clone();
        let congestion_control = self.wanted.then_some(self.wish.congestion_control);
        self.tasks
            .spawn(async move { Done::Opened(open(&robot, &file, congestion_control).await) });
    }

    fn want_for(&mut self, waiting: Waiting) {
        if !self.wanted || self.contact != Contact::Open {
            return waiting.refuse(&control::Refusal::no_camera());
        }
        self.waiting.push(waiting);
        let before = self.machine.asked().clone();
        let wanted = self.want();
        if wanted == before {
            self.settle();
        }
    }

    /// Tells the machine what we want now.
    fn want(&mut self) -> Settings {
        let asked = self.machine.asked().parameters.idr_interval;
        let mut wanted = Settings {
            parameters: self.wish.encoder.parameters(self.rate, asked),
            screen: self.by_hand.screen.clone().or_else(|| self.wish.screen.clone()),
        };
        let by_hand = self.by_hand.parameters;
        wanted.parameters.target_bitrate = by_hand.target_bitrate.or(wanted.parameters.target_bitrate);
        wanted.parameters.refresh_interval = by_hand.refresh_interval.or(wanted.parameters.refresh_interval);
        wanted.parameters.idr_interval = by_hand.idr_interval.or(wanted.parameters.idr_interval);
        wanted.parameters.awb = by_hand.awb.or(wanted.parameters.awb);
        self.machine.handle(Input::Want(wanted.clone()));
        wanted
    }

    fn drain(&mut self) -> Option<Event> {
        while let Some(output) = self.machine.poll() {
            let Some(robot) = self.robot.clone() else {
                if output == Output::Stopped {
                    self.stopped = true;
                }
                continue;
            };
            match output {
                Output::Read => {
                    self.tasks
                        .spawn(async move { Done::Read(robot.settings().await) });
                }
                Output::Save(loan) => {
                    let file = self.file.clone();
                    self.tasks
                        .spawn(async move { Done::Saved(save(&robot, &file, loan).await) });
                }
                Output::Set(settings) => {
                    self.tasks
                        .spawn(async move { Done::Set(set(&robot, settings).await) });
                }
                Output::Settled(_) => {
                    return Some(Event::CameraReady {
                        complete: self.settle(),
                    });
                }
                Output::Stopped => {
                    if self.contact == Contact::Open {
                        info!("the camera has its settings from before us");
                    } else {
                        warn!(
                            "the camera's settings from before us stay on disk and go back at the next stop"
                        );
                    }
                    self.stopped = true;
                }
            }
        }
        None
    }

    fn done(&mut self, done: Done) -> Option<Event> {
        match done {
            Done::Opened(Ok(loan)) => {
                self.contact = Contact::Open;
                self.machine.handle(Input::Connected(loan));
                if self.wanted {
                    self.want();
                } else {
                    self.machine.handle(Input::Stop);
                }
                None
            }
            Done::Opened(Err(Trouble::File(error))) | Done::Saved(Err(error)) => {
                self.fail();
                Some(Event::CameraFailed(problem::of_custody(&error)))
            }
            Done::Opened(Err(Trouble::Robot(error))) | Done::Read(Err(error)) | Done::Set(Err(error)) => {
                self.fail();
                // A camera that cannot be steered may still be shown; a robot that is gone cannot.
                if problem::leaves_the_camera_unsteered(&error) {
                    warn!(kind = error.kind(), "the camera is shown as it is: {error}");
                    return Some(Event::CameraReady { complete: false });
                }
                Some(Event::CameraFailed(problem::of_robot(&error)))
            }
            Done::Read(Ok(current)) => {
                info!(?current, "the camera's settings before us");
                self.applied = current.clone();
                self.machine.handle(Input::Current(current));
                None
            }
            Done::Saved(Ok(())) => {
                self.machine.handle(Input::Saved);
                None
            }
            Done::Set(Ok(applied)) => {
                info!(?applied, "the camera's settings");
                self.applied = applied.clone();
                self.machine.handle(Input::Applied(applied));
                None
            }
            Done::Answered => None,
        }
    }

    fn fail(&mut self) {
        self.contact = Contact::Away;
        self.machine.handle(Input::Failed);
        self.refuse_all();
        if self.wanted {
            self.reopen_at = Some(Instant::now() + REOPEN_AFTER);
        } else {
            self.stopped = true;
        }
    }

    fn refuse_all(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.refuse(&control::Refusal::no_camera());
        }
    }

    /// Compares all that we have asked for with what the camera has, and tells operators; true when it took it all.
    fn settle(&mut self) -> bool {
        let refusals = custody::refusals(self.machine.asked(), &self.applied);
        for refusal in &refusals {
            warn!(setting = refusal.setting.name(), "{refusal}");
        }
        for waiting in self.waiting.drain(..) {
            match refusals.first() {
                Some(refusal) => waiting.refuse(&control::Refusal::not_taken(refusal)),
                None => waiting.accept(&self.applied),
            }
        }
        refusals.is_empty()
    }
}

impl Waiting {
    fn accept(self, applied: &Settings) {
        // An operator who has left wants no answer.
        let _ = match self {
            Self::Parameters(reply) => reply.send(Ok(applied.parameters)).map_err(drop),
            Self::Screen(reply) => reply.send(Ok(())).map_err(drop),
        };
    }

    fn refuse(self, refusal: &control::Refusal) {
        let _ = match self {
            Self::Parameters(reply) => reply.send(Err(refusal.clone())).map_err(drop),
            Self::Screen(reply) => reply.send(Err(refusal.clone())).map_err(drop),
        };
    }
}

/// Finds the camera's services and reads our record of this robot.
async fn open(
    robot: &Robot,
    file: &Serial<CustodyFile>,
    congestion_control: Option<bool>,
) -> Result<custody::Loan, Trouble> {
    robot.services().await.map_err(Trouble::Robot)?;
    if let Some(congestion_control) = congestion_control {
        // It has no getter, so it cannot be given back.
        match robot.enable_congestion_control(congestion_control).await {
            Ok(()) => {}
            Err(error) if problem::leaves_the_camera_unsteered(&error) => {
                warn!(
                    kind = error.kind(),
                    "the camera's congestion control is left as it is: {error}"
                );
            }
            Err(error) => return Err(Trouble::Robot(error)),
        }
    }
    let serial_number = robot.identity().serial_number.clone();
    file.run(move |file| file.load(&serial_number))
        .await
        .map_err(FileError::Unfinished)
        .flatten()
        .map_err(Trouble::File)
}

async fn save(robot: &Robot, file: &Serial<CustodyFile>, loan: custody::Loan) -> Result<(), FileError> {
    let serial_number = robot.identity().serial_number.clone();
    file.run(move |file| file.save(&serial_number, &loan))
        .await
        .map_err(FileError::Unfinished)
        .flatten()
}

/// Sets what is given, and reads everything back. A screen that the camera does not have is left out.
async fn set(robot: &Robot, mut change: Settings) -> Result<Settings, Error> {
    if let Some(screen) = &change.screen
        && let Err(unknown) = screens::choose(screen, &robot.screens().await?)
    {
        warn!(kind = unknown.kind(), "{unknown}");
        change.screen = None;
    }
    robot.apply(&change).await?;
    robot.settings().await
}
