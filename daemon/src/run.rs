//! The one select loop: what the stages say goes to the conductor, what it decides goes to the stages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spotstream_core::supervise::network::Networks;
use spotstream_core::supervise::state::{Command, Event, Problem, Remedy, Side, State};
use spotstream_core::supervise::step::Supervisor;
use spotstream_core::supervise::watchdog::{self, Watchdog};
use spotstream_service::notify::Notify;
use spotstream_service::signals::Signals;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, error, info, warn};

use crate::config::choice::Audio;
use crate::control::{Refusal, Request, Status};
use crate::edge::network::News;
use crate::edge::pins::PinStore;
use crate::edge::{camera, ingest};
use crate::networks;
use crate::problem;
use crate::report::Report;
use crate::stage::loan::Loan;
use crate::stage::login::{Access, LoginStage};
use crate::stage::media::Output;
use crate::stage::publication::Publication;
use crate::stage::session::{self, Session};
use crate::stage::until;

/// How long the first word of netsetup is waited for.
const FIRST_NEWS: Duration = Duration::from_millis(500);
/// The time for giving the camera its settings back and saying goodbye, when we are told to stop.
const FAREWELL: Duration = Duration::from_secs(8);

/// The stages and what stands between them.
pub struct Appliance {
    /// Whether to go live without being asked.
    pub autostart: bool,
    /// Where the sound comes from.
    pub audio: Audio,
    /// How the camera is reached; the token is put in for each session.
    pub camera: camera::Plan,
    /// The certificates that are trusted.
    pub pins: Arc<PinStore>,
    /// The way into the robot.
    pub login: LoginStage,
    /// The camera's settings.
    pub loan: Loan,
    /// The way to the server.
    pub publication: Publication,
    /// What operators are told.
    pub report: Report,
}

/// The loop's ways in and out.
pub struct Doors {
    /// Where the status is published.
    pub status: watch::Sender<Status>,
    /// What operators want.
    pub inbox: mpsc::Receiver<Request>,
    /// News of the networks.
    pub network: mpsc::Receiver<News>,
}

/// Runs until SIGTERM or SIGINT; then gives the camera its settings back and returns.
///
/// # Errors
/// When the signals cannot be listened for.
pub async fn run(appliance: Appliance, doors: Doors) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    let mut run = Run::new(appliance, doors.status);
    let (mut inbox, mut network) = (doors.inbox, doors.network);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    run.notify.ready();
    if run.stages.autostart {
        // What the first attempt is to stand on is known in a moment, where netsetup runs.
        if let Ok(Some(news)) = timeout(FIRST_NEWS, network.recv()).await {
            run.heard_of_network(news);
        }
        run.conduct(Event::Start);
    }
    loop {
        while let Some(event) = run.echoes.pop_front() {
            run.conduct(event);
        }
        let deadline = run.supervisor.deadline();
        let watchdog = run.watchdog.deadline();
        tokio::select! {
            event = run.stages.login.next() => run.conduct(event),
            event = run.stages.loan.next() => run.conduct(event),
            event = next_of(&mut run.session) => run.heard_of_session(event),
            event = run.stages.publication.next() => run.heard_of_publication(event),
            Some(news) = network.recv() => run.heard_of_network(news),
            Some(request) = inbox.recv() => run.serve(request),
            Some(_) = run.farewells.join_next() => {}
            () = until(deadline) => run.conduct(Event::Woken),
            () = until(watchdog) => run.watch(watchdog::Input::Woken),
            _ = second.tick() => run.measure(),
            () = signals.next() => break,
        }
    }
    info!("stopping");
    run.notify.stopping();
    run.conduct(Event::Stop);
    if timeout(FAREWELL, run.say_goodbye()).await.is_err() {
        warn!(
            "the camera has not taken its settings back in time; they are kept on disk and go back at the next stop"
        );
    }
    Ok(())
}

/// What is left to do when the daemon cannot even begin: say why, to everybody who asks, until it is told to stop.
///
/// # Errors
/// When the signals cannot be listened for.
pub async fn fault(
    status: watch::Sender<Status>,
    mut inbox: mpsc::Receiver<Request>,
    kind: &'static str,
    reason: String,
) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    let mut notify = Notify::from_env();
    error!(state = "Fault", kind, "{reason}");
    notify.ready();
    notify.status(&format!("Fault: {reason}"));
    status.send_replace(Status::new("Fault", kind, reason.clone()));
    let mut second = interval(notify.interval().unwrap_or(Duration::from_secs(3600)));
    loop {
        tokio::select! {
            Some(request) = inbox.recv() => request.refuse(Refusal {
                kind,
                sentence: reason.clone(),
                is_retryable: false,
            }),
            _ = second.tick() => notify.ping(),
            () = signals.next() => return Ok(()),
        }
    }
}

/// The loop's own state.
struct Run {
    stages: Appliance,
    supervisor: Supervisor,
    watchdog: Watchdog,
    notify: Notify,
    status: watch::Sender<Status>,
    /// As netsetup has told them last: what each attempt stands on.
    networks: Networks,
    session: Option<Session>,
    farewells: JoinSet<()>,
    /// Whether the server takes frames, and the first picture has not gone out yet.
    awaiting_first_picture: bool,
    /// What a command that could not be carried out has to tell the conductor.
    echoes: VecDeque<Event>,
}

impl Run {
    fn new(stages: Appliance, status: watch::Sender<Status>) -> Self {
        let notify = Notify::from_env();
        Self {
            watchdog: Watchdog::new(Instant::now(), notify.interval()),
            supervisor: Supervisor::new(rand::random()),
            notify,
            status,
            stages,
            networks: Networks::default(),
            session: None,
            farewells: JoinSet::new(),
            awaiting_first_picture: false,
            echoes: VecDeque::new(),
        }
    }

    /// Tells the conductor, and does what it says.
    fn conduct(&mut self, event: Event) {
        let name = event.name();
        let before = self.supervisor.state().clone();
        if let Err(unexpected) = self.supervisor.handle(Instant::now(), event) {
            debug!("{unexpected}");
        }
        while let Some(command) = self.supervisor.poll() {
            debug!(?command, "do");
            self.carry_out(command);
        }
        if *self.supervisor.state() != before {
            self.announce(name);
        }
    }

    fn announce(&mut self, event: &'static str) {
        let state = self.supervisor.state();
        let (name, kind, reason) = (state.name(), state.kind(), state.reason());
        match state {
            State::Fault(_) => error!(state = name, kind, event, "{reason}"),
            State::Degraded(_) | State::WaitingForNetwork(..) => warn!(state = name, kind, event, "{reason}"),
            State::Idle
            | State::WaitingForRobot(_)
            | State::WaitingForAuthorization
            | State::Connecting(..)
            | State::Live => info!(state = name, kind, event, "{reason}"),
        }
        let expects_pictures = match state {
            State::Live => true,
            State::Degraded(shortfalls) => !shortfalls.no_picture && !shortfalls.uplink_choked,
            State::Idle
            | State::WaitingForNetwork(..)
            | State::WaitingForRobot(_)
            | State::WaitingForAuthorization
            | State::Connecting(..)
            | State::Fault(_) => false,
        };
        self.notify.status(&format!("{name}: {reason}"));
        self.watch(watchdog::Input::OnAir(expects_pictures));
        self.tell();
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::LogIn => self.stages.login.log_in(self.networks.robot.footing()),
            Command::Rest => {
                self.stages.login.rest();
                self.stages.loan.rest();
            }
            Command::Listen(Side::Robot) => {
                if let Some(session) = &mut self.session {
                    session.listen();
                }
            }
            Command::Listen(Side::Uplink) => self.stages.publication.listen(),
            Command::PrepareCamera => match self.stages.login.access() {
                Some(Access { robot, .. }) => self.stages.loan.prepare(robot),
                None => self.echoes.push_back(Event::CameraFailed(no_access())),
            },
            Command::OpenSession => match self.stages.login.access() {
                Some(Access { token, .. }) => {
                    let plan = self.stages.camera.clone();
                    let bind = plan.bind.standing_on(self.networks.robot.footing());
                    let plan = camera::Plan { token, bind, ..plan };
                    self.stages.report.session_begins();
                    self.session = Some(Session::open(plan, self.stages.pins.clone(), self.stages.audio));
                }
                None => self.echoes.push_back(Event::SessionClosed(no_access())),
            },
            Command::RequestKeyFrame => {
                if let Some(session) = &mut self.session {
                    session.request_key_frame();
                }
            }
            Command::CloseSession => {
                if let Some(session) = self.session.take() {
                    self.farewells.spawn(session.close());
                }
            }
            Command::OpenIngest => self.stages.publication.open(self.networks.uplink.footing()),
            Command::CloseIngest => {
                self.awaiting_first_picture = false;
                self.stages.publication.close();
            }
            Command::RestoreCamera => {
                let access = self.stages.login.access();
                self.stages.loan.restore(access.map(|access| access.robot));
            }
        }
    }

    fn heard_of_network(&mut self, news: News) {
        match news {
            News::Changed => self.conduct(Event::NetworkChanged),
            News::Status(status) => {
                let networks = networks::of(status.as_deref());
                if networks != self.networks {
                    self.networks = networks.clone();
                    self.conduct(Event::Network(networks));
                }
            }
        }
    }

    fn heard_of_session(&mut self, event: session::Event) {
        match event {
            session::Event::Connected => self.conduct(Event::SessionConnected),
            session::Event::Media(Output::Frame(frame)) => {
                let is_picture = frame.is_picture();
                self.stages.publication.send(frame);
                if is_picture {
                    self.picture_went_out();
                }
            }
            session::Event::Media(Output::KeyFrameNeeded(request)) => {
                debug!(?request, "a key frame is needed");
                self.conduct(Event::KeyFrameNeeded);
            }
            session::Event::Media(Output::Picture(picture)) => {
                info!(?picture, "the camera's picture");
                self.stages.report.picture(picture);
                self.stages.publication.describe(
                    picture.frame_rate,
                    self.stages.loan.applied().parameters.target_bitrate,
                );
                if let Some(rate) = picture.frame_rate {
                    self.stages.loan.measured(rate);
                }
            }
            session::Event::Media(Output::SizeChanged) => self.conduct(Event::SizeChanged),
            session::Event::Media(Output::Unsupported(unsupported)) => {
                self.conduct(Event::Unsupported(problem::of_media(&unsupported)));
            }
            session::Event::Heard => self.conduct(Event::Heard(Side::Robot)),
            session::Event::Stalled => self.conduct(Event::PictureStalled),
            session::Event::Resumed => self.conduct(Event::PictureBack),
            session::Event::Closed(error) => {
                self.session = None;
                self.conduct(Event::SessionClosed(problem::of_camera(&error)));
            }
        }
    }

    fn picture_went_out(&mut self) {
        self.watch(watchdog::Input::Picture);
        if std::mem::take(&mut self.awaiting_first_picture) {
            self.conduct(Event::OnAir);
        }
    }

    fn heard_of_publication(&mut self, event: ingest::Event) {
        match event {
            ingest::Event::Publishing { server } => {
                info!(server, "the server takes the stream");
                self.stages.report.publication_begins(server);
                self.awaiting_first_picture = true;
                if let Some(session) = &mut self.session {
                    session.restart();
                }
            }
            ingest::Event::Statistics(statistics) => self.stages.report.publication(statistics),
            ingest::Event::Heard => self.conduct(Event::Heard(Side::Uplink)),
            ingest::Event::Choked => self.conduct(Event::UplinkChoked),
            ingest::Event::Relieved => self.conduct(Event::UplinkRelieved),
            ingest::Event::KeyFrameNeeded => self.conduct(Event::KeyFrameNeeded),
            ingest::Event::Refused(error) | ingest::Event::Closed(error) => {
                self.awaiting_first_picture = false;
                self.conduct(Event::IngestClosed(problem::of_ingest(&error)));
            }
        }
    }

    fn serve(&mut self, request: Request) {
        // An operator who has left wants no answer, so a reply that cannot be sent is dropped.
        match request {
            Request::Start { reply } => {
                self.conduct(Event::Start);
                let _ = reply.send(Ok(()));
            }
            Request::Stop { reply } => {
                self.conduct(Event::Stop);
                let _ = reply.send(Ok(()));
            }
            Request::ListScreens { reply } => self.stages.loan.list_screens(reply),
            Request::SetScreen { name, reply } => self.stages.loan.set_screen(&name, reply),
            Request::SetCamera { change, reply } => self.stages.loan.set_parameters(change, reply),
            Request::AcceptPin { role, reply } => {
                let accepted = self.stages.pins.accept(role);
                let answer = accepted
                    .as_ref()
                    .map(|pins| u32::try_from(pins.len()).unwrap_or(u32::MAX))
                    .map_err(|error| problem::refusal(error.kind(), error, error.is_retryable()));
                let _ = reply.send(answer);
                if accepted.is_ok() {
                    self.conduct(Event::Mended);
                }
                self.measure();
            }
        }
    }

    fn watch(&mut self, input: watchdog::Input) {
        self.watchdog.handle(Instant::now(), input);
        while let Some(output) = self.watchdog.poll() {
            match output {
                watchdog::Output::Ping => self.notify.ping(),
                watchdog::Output::Restart => self.echoes.push_back(Event::SessionClosed(Problem::new(
                    "no-picture-went-out",
                    Remedy::Retry,
                    "pictures came from the camera and none went out; starting anew",
                ))),
            }
        }
    }

    /// Once a second: figures for operators.
    fn measure(&mut self) {
        if let Some(session) = &self.session {
            self.stages
                .report
                .session(&session.statistics(), session.key_frame_requests());
        }
        match self.stages.pins.list() {
            Ok(pins) => self.stages.report.pins(pins),
            Err(error) => debug!(kind = error.kind(), "{error}"),
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.stages
            .report
            .publish(self.supervisor.state(), self.stages.loan.applied(), &self.status);
    }

    async fn say_goodbye(&mut self) {
        self.stages.loan.restored().await;
        self.stages.publication.closed().await;
        while self.farewells.join_next().await.is_some() {}
    }
}

async fn next_of(session: &mut Option<Session>) -> session::Event {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

fn no_access() -> Problem {
    Problem::new("no-token", Remedy::SignIn, "the robot has to let us in again")
}
