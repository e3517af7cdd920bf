//! What follows from what happened: one total match on event and state.

mod legs;
mod network;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::network::Networks;
use super::state::{Command, Event, Problem, Reach, Remedy, Shortfalls, Side, Stage, State};
use crate::Deadline;
use legs::Leg;

/// A publication that lasted this long was a good one: the next failure starts with a retry at once.
const SETTLED: Duration = Duration::from_secs(10);

/// So often a server may hang up on us before that is a refusal.
const REFUSALS: u8 = 3;

/// The pause after a server has hung up on us.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// The conductor: takes what the stages report, says what the run loop is to do.
#[derive(Debug)]
pub struct Supervisor {
    state: State,
    commands: VecDeque<Command>,
    retry: Option<(Instant, Command)>,
    networks: Networks,
    /// Login, camera and session.
    robot: Leg,
    /// The publication.
    uplink: Leg,
    shortfalls: Shortfalls,
    on_air_since: Option<Instant>,
    refusals: u8,
}

/// An event that has no meaning in the state it came in: a stage reported twice, or after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("'{event}' has no meaning in state '{state}'")]
pub struct Unexpected {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl Supervisor {
    /// Starts in `Idle`; `seed` scatters the retries.
    pub fn new(seed: u32) -> Self {
        Self {
            state: State::Idle,
            commands: VecDeque::new(),
            retry: None,
            networks: Networks::default(),
            robot: Leg::new(seed),
            uplink: Leg::new(seed.rotate_left(16)),
            shortfalls: Shortfalls::default(),
            on_air_since: None,
            refusals: 0,
        }
    }

    /// The state, for people.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes one event. An event without meaning changes nothing and is reported, to be logged.
    pub fn handle(&mut self, now: Instant, event: Event) -> Result<(), Unexpected> {
        let unexpected = Err(Unexpected {
            state: self.state.name(),
            event: event.name(),
        });
        let reach = self.state.reach();
        match event {
            Event::Start => match reach {
                Reach::Nothing => self.start(),
                Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => {}
            },
            Event::Stop => match reach {
                // Whatever could not be given back before is tried once more.
                Reach::Nothing => {
                    self.state = State::Idle;
                    self.commands.push_back(Command::RestoreCamera);
                }
                Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => {
                    self.wind_down(State::Idle)
                }
            },
            Event::Mended => match reach {
                Reach::Nothing if self.state == State::Idle => {}
                Reach::Nothing => self.start(),
                Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => {}
            },
            Event::NetworkChanged => match reach {
                Reach::Nothing => {}
                Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => self.network_changed(now),
            },
            Event::Network(networks) => self.networks_are(now, networks),
            Event::Heard(side) => match reach {
                Reach::Standing => self.leg(side).trial = None,
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::LoggedIn => match reach {
                // Said before the network went.
                Reach::Robot if self.networks.robot.missing().is_some() => {}
                Reach::Robot => self.go(Stage::Camera, Command::PrepareCamera),
                // The login was refreshed.
                Reach::Camera | Reach::Session | Reach::Standing => {}
                Reach::Nothing => return unexpected,
            },
            Event::AuthorizationPending => match reach {
                Reach::Robot if self.networks.robot.missing().is_some() => {}
                Reach::Robot => {
                    self.state = State::WaitingForAuthorization;
                    self.retry = None;
                    self.robot.backoff.reset();
                }
                // What stands goes on for as long as the camera lets it.
                Reach::Camera | Reach::Session | Reach::Standing => {}
                Reach::Nothing => return unexpected,
            },
            Event::LoginFailed(problem) => match reach {
                Reach::Robot => self.fail_robot(now, problem, Command::LogIn, State::WaitingForRobot),
                // A refresh failed; what stands needs no token.
                Reach::Camera | Reach::Session | Reach::Standing => {}
                Reach::Nothing => return unexpected,
            },
            Event::CameraReady { complete } => match reach {
                // Of the session before; the camera is about to be set up anew.
                Reach::Camera if self.retry.is_some() => {}
                Reach::Camera => {
                    self.shortfalls = Shortfalls {
                        camera_settings: !complete,
                        ..Shortfalls::default()
                    };
                    self.go(Stage::Session, Command::OpenSession);
                }
                // The settings were corrected while the picture runs.
                Reach::Session | Reach::Standing => self.fall_short(|s| s.camera_settings = !complete),
                Reach::Nothing | Reach::Robot => return unexpected,
            },
            Event::CameraFailed(problem) => match reach {
                Reach::Camera if self.retry.is_some() => {}
                Reach::Camera => self.fail_connecting(now, problem, Command::PrepareCamera, Stage::Camera),
                Reach::Session | Reach::Standing => self.fall_short(|s| s.camera_settings = true),
                Reach::Nothing | Reach::Robot => return unexpected,
            },
            Event::SessionConnected => match reach {
                Reach::Session => self.open_ingest(now),
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Standing => return unexpected,
            },
            Event::SessionClosed(problem) => match reach {
                // The robot may have restarted and forgotten our settings, so the camera is set up anew.
                Reach::Session | Reach::Standing => {
                    let on_trial = self.robot.trial.is_some();
                    self.end_session(now);
                    if on_trial {
                        // The connections to the robot may be as dead as the session.
                        self.fail_robot(now, problem, Command::LogIn, State::WaitingForRobot);
                    } else {
                        self.fail_connecting(now, problem, Command::PrepareCamera, Stage::Camera);
                    }
                }
                Reach::Nothing | Reach::Robot | Reach::Camera => return unexpected,
            },
            Event::PictureStalled | Event::PictureBack => match reach {
                Reach::Standing => {
                    let stalled = event == Event::PictureStalled;
                    self.fall_short(|s| s.no_picture = stalled);
                }
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::KeyFrameNeeded => match reach {
                Reach::Standing => self.commands.push_back(Command::RequestKeyFrame),
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::SizeChanged => match reach {
                Reach::Standing if self.state.is_on_air() => {
                    self.settle(now);
                    self.publish_anew(now);
                }
                // The next publication starts with the new size anyway.
                Reach::Standing => {}
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::Unsupported(problem) => match reach {
                Reach::Standing => self.wind_down(State::Fault(problem)),
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::OnAir => match reach {
                Reach::Standing if matches!(self.state, State::Connecting(..)) => {
                    self.on_air_since = Some(now);
                    self.retry = None;
                    (self.robot.changed, self.uplink.changed) = (false, false);
                    self.state = self.on_air();
                }
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => {
                    return unexpected;
                }
            },
            Event::IngestClosed(problem) => match reach {
                Reach::Standing => self.fail_ingest(now, problem),
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::UplinkChoked | Event::UplinkRelieved => match reach {
                Reach::Standing => {
                    let choked = event == Event::UplinkChoked;
                    self.fall_short(|s| s.uplink_choked = choked);
                }
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Session => return unexpected,
            },
            Event::Woken => self.wake(now),
        }
        Ok(())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to send [`Event::Woken`].
    pub fn deadline(&self) -> Deadline {
        let retry = self.retry.map(|(at, command)| (at, reason_of(command)));
        let trials = [
            (
                self.robot.trial,
                "give up a silent camera after the network was away",
            ),
            (
                self.uplink.trial,
                "give up a silent server after the network was away",
            ),
        ];
        let trials = trials.into_iter().filter_map(|(at, why)| Some((at?, why)));
        retry.into_iter().chain(trials).min_by_key(|(at, _)| *at)
    }

    fn start(&mut self) {
        for side in [Side::Robot, Side::Uplink] {
            self.leg(side).start();
        }
        self.refusals = 0;
        self.retry = None;
        match self.networks.robot.missing() {
            Some(missing) => self.state = State::WaitingForNetwork(Side::Robot, missing.clone()),
            None => {
                self.state = State::WaitingForRobot(None);
                self.push(Command::LogIn);
            }
        }
    }

    /// Gives a command, and notes what it stands on.
    fn push(&mut self, command: Command) {
        match command {
            Command::OpenSession => self.robot.stand_on(&self.networks.robot),
            Command::OpenIngest => self.uplink.stand_on(&self.networks.uplink),
            Command::LogIn
            | Command::Rest
            | Command::Listen(_)
            | Command::PrepareCamera
            | Command::RequestKeyFrame
            | Command::CloseSession
            | Command::CloseIngest
            | Command::RestoreCamera => {}
        }
        self.commands.push_back(command);
    }

    /// Ends everything and leaves the camera as it was before us.
    fn wind_down(&mut self, state: State) {
        self.retry = None;
        self.on_air_since = None;
        self.shortfalls = Shortfalls::default();
        (self.robot.trial, self.uplink.trial) = (None, None);
        self.state = state;
        self.commands.extend([
            Command::CloseIngest,
            Command::CloseSession,
            Command::RestoreCamera,
        ]);
    }

    fn go(&mut self, stage: Stage, command: Command) {
        self.retry = None;
        self.on_air_since = None;
        self.state = State::Connecting(stage, None);
        match stage {
            Stage::Camera | Stage::Session => self.robot.changed = false,
            Stage::Ingest => self.uplink.changed = false,
        }
        self.push(command);
    }

    /// The session is over, and what was published of it.
    fn end_session(&mut self, now: Instant) {
        self.settle(now);
        (self.robot.trial, self.uplink.trial) = (None, None);
        self.commands
            .extend([Command::CloseIngest, Command::CloseSession]);
    }

    /// The session stands: publishes, or waits for a network to publish by, or for the end of a pause.
    fn open_ingest(&mut self, now: Instant) {
        match self.networks.uplink.missing() {
            Some(missing) => {
                self.retry = None;
                self.on_air_since = None;
                self.state = State::WaitingForNetwork(Side::Uplink, missing.clone());
            }
            None => match self.uplink.pause_at(now) {
                Some((at, problem)) => {
                    self.retry = Some((at, Command::OpenIngest));
                    self.state = State::Connecting(Stage::Ingest, Some(problem));
                }
                None => self.go(Stage::Ingest, Command::OpenIngest),
            },
        }
    }

    fn publish_anew(&mut self, now: Instant) {
        self.shortfalls.uplink_choked = false;
        self.uplink.trial = None;
        self.commands.push_back(Command::CloseIngest);
        self.open_ingest(now);
    }

    fn on_air(&self) -> State {
        if self.shortfalls.is_empty() {
            State::Live
        } else {
            State::Degraded(self.shortfalls)
        }
    }

    fn fall_short(&mut self, change: impl FnOnce(&mut Shortfalls)) {
        change(&mut self.shortfalls);
        if self.state.is_on_air() {
            self.state = self.on_air();
        }
    }

    /// Forgets earlier failures if the stream had been on air for a while.
    fn settle(&mut self, now: Instant) {
        let Some(since) = self.on_air_since.take() else {
            return;
        };
        if now.saturating_duration_since(since) >= SETTLED {
            self.refusals = 0;
            self.robot.backoff.reset();
            self.uplink.backoff.reset();
        }
    }

    fn fail_connecting(&mut self, now: Instant, problem: Problem, again: Command, stage: Stage) {
        self.fail_robot(now, problem, again, |problem| State::Connecting(stage, problem));
    }

    /// A stage on the robot's side could not go on: `again` is tried after a pause, in state `waiting`.
    fn fail_robot(
        &mut self,
        now: Instant,
        problem: Problem,
        again: Command,
        waiting: impl FnOnce(Option<Problem>) -> State,
    ) {
        let needs_a_person = matches!(problem.remedy, Remedy::Person | Remedy::PersonIfRepeated);
        if let Some(missing) = self.networks.robot.missing()
            && !needs_a_person
        {
            return self.rest(missing.clone());
        }
        match problem.remedy {
            Remedy::Person | Remedy::PersonIfRepeated => self.wind_down(State::Fault(problem)),
            Remedy::AwaitNetwork => {
                self.retry_later(now, Side::Robot, Command::LogIn, Duration::ZERO, &problem);
                self.state = State::WaitingForNetwork(Side::Robot, problem);
            }
            Remedy::SignIn => {
                self.retry_later(now, Side::Robot, Command::LogIn, Duration::ZERO, &problem);
                self.state = State::WaitingForRobot(Some(problem));
            }
            Remedy::Retry => {
                self.retry_later(now, Side::Robot, again, Duration::ZERO, &problem);
                self.state = waiting(Some(problem));
            }
            Remedy::RetryAfter(pause) => {
                self.retry_later(now, Side::Robot, again, pause, &problem);
                self.state = waiting(Some(problem));
            }
        }
    }

    fn fail_ingest(&mut self, now: Instant, problem: Problem) {
        self.settle(now);
        self.shortfalls.uplink_choked = false;
        self.uplink.trial = None;
        let missing = self.networks.uplink.missing().cloned();
        if problem.remedy != Remedy::PersonIfRepeated || missing.is_some() {
            self.refusals = 0;
        }
        let pause = match problem.remedy {
            Remedy::Person => return self.wind_down(State::Fault(problem)),
            Remedy::PersonIfRepeated => {
                self.refusals += 1;
                if self.refusals >= REFUSALS {
                    return self.wind_down(State::Fault(problem));
                }
                REFUSAL_PAUSE
            }
            Remedy::RetryAfter(pause) => pause,
            Remedy::Retry | Remedy::AwaitNetwork | Remedy::SignIn => Duration::ZERO,
        };
        self.commands.push_back(Command::CloseIngest);
        if let Some(missing) = missing {
            self.retry = None;
            self.state = State::WaitingForNetwork(Side::Uplink, missing);
            return;
        }
        self.retry_later(now, Side::Uplink, Command::OpenIngest, pause, &problem);
        let is_a_network_s = pause.is_zero();
        self.state = match &self.networks.internet {
            // netsetup knows better why; whether it is right is for the next try to show.
            Some(reason) if is_a_network_s => State::WaitingForNetwork(Side::Uplink, reason.clone()),
            _ if problem.remedy == Remedy::AwaitNetwork => State::WaitingForNetwork(Side::Uplink, problem),
            _ => State::Connecting(Stage::Ingest, Some(problem)),
        };
    }

    fn retry_later(
        &mut self,
        now: Instant,
        side: Side,
        command: Command,
        at_least: Duration,
        problem: &Problem,
    ) {
        self.retry = Some((self.leg(side).fail(now, at_least, problem), command));
    }

    fn wake(&mut self, now: Instant) {
        let is_over = |trial: Option<Instant>| trial.is_some_and(|at| at <= now);
        if is_over(self.robot.trial) {
            self.begin_anew(now);
        } else if is_over(self.uplink.trial) {
            self.settle(now);
            self.publish_anew(now);
        }
        let Some((at, command)) = self.retry else { return };
        if at > now {
            return;
        }
        self.retry = None;
        if command == Command::OpenIngest
            && let State::WaitingForNetwork(Side::Uplink, problem) = &self.state
        {
            self.state = State::Connecting(Stage::Ingest, Some(problem.clone()));
        }
        self.push(command);
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Robot => &mut self.robot,
            Side::Uplink => &mut self.uplink,
        }
    }
}

fn reason_of(retry: Command) -> &'static str {
    match retry {
        Command::LogIn => "log in to the robot again",
        Command::PrepareCamera => "set up the camera again",
        Command::OpenSession => "connect to the camera again",
        Command::OpenIngest => "connect to the ingest server again",
        Command::Rest
        | Command::Listen(_)
        | Command::RequestKeyFrame
        | Command::CloseSession
        | Command::CloseIngest
        | Command::RestoreCamera => "wind down",
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests;
