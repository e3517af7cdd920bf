//! What follows from what happened: one total match on event and state.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::state::{Command, Event, Problem, Reach, Remedy, Shortfalls, Side, Stage, State};
use crate::Deadline;
use crate::backoff::Backoff;

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
    robot_backoff: Backoff,
    ingest_backoff: Backoff,
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

/// Who is asked to try again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leg {
    Robot,
    Ingest,
}

impl Supervisor {
    /// Starts in `Idle`; `seed` scatters the retries.
    pub fn new(seed: u32) -> Self {
        Self {
            state: State::Idle,
            commands: VecDeque::new(),
            retry: None,
            robot_backoff: Backoff::new(seed),
            ingest_backoff: Backoff::new(seed.rotate_left(16)),
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
                Reach::Robot | Reach::Camera | Reach::Session | Reach::Standing => self.retry_at_once(now),
            },
            Event::LoggedIn => match reach {
                Reach::Robot => self.go(Stage::Camera, Command::PrepareCamera),
                // The login was refreshed.
                Reach::Camera | Reach::Session | Reach::Standing => {}
                Reach::Nothing => return unexpected,
            },
            Event::AuthorizationPending => match reach {
                Reach::Robot => {
                    self.state = State::WaitingForAuthorization;
                    self.retry = None;
                    self.robot_backoff.reset();
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
                Reach::Session => self.go(Stage::Ingest, Command::OpenIngest),
                Reach::Nothing | Reach::Robot | Reach::Camera | Reach::Standing => return unexpected,
            },
            Event::SessionClosed(problem) => match reach {
                // The robot may have restarted and forgotten our settings, so the camera is set up anew.
                Reach::Session | Reach::Standing => {
                    self.settle(now);
                    self.commands
                        .extend([Command::CloseIngest, Command::CloseSession]);
                    self.fail_connecting(now, problem, Command::PrepareCamera, Stage::Camera);
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
                    self.shortfalls.uplink_choked = false;
                    self.commands.push_back(Command::CloseIngest);
                    self.go(Stage::Ingest, Command::OpenIngest);
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
        self.retry.map(|(at, command)| {
            let why = match command {
                Command::LogIn => "log in to the robot again",
                Command::PrepareCamera => "set up the camera again",
                Command::OpenSession => "connect to the camera again",
                Command::OpenIngest => "connect to the ingest server again",
                Command::RequestKeyFrame
                | Command::CloseSession
                | Command::CloseIngest
                | Command::RestoreCamera => "wind down",
            };
            (at, why)
        })
    }

    fn start(&mut self) {
        self.robot_backoff.reset();
        self.ingest_backoff.reset();
        self.refusals = 0;
        self.retry = None;
        self.state = State::WaitingForRobot(None);
        self.commands.push_back(Command::LogIn);
    }

    /// Ends everything and leaves the camera as it was before us.
    fn wind_down(&mut self, state: State) {
        self.retry = None;
        self.on_air_since = None;
        self.shortfalls = Shortfalls::default();
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
        self.commands.push_back(command);
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
            self.robot_backoff.reset();
            self.ingest_backoff.reset();
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
        match problem.remedy {
            Remedy::Person | Remedy::PersonIfRepeated => self.wind_down(State::Fault(problem)),
            Remedy::AwaitNetwork => {
                self.retry_later(now, Leg::Robot, Command::LogIn, Duration::ZERO);
                self.state = State::WaitingForNetwork(Side::Robot, problem);
            }
            Remedy::SignIn => {
                self.retry_later(now, Leg::Robot, Command::LogIn, Duration::ZERO);
                self.state = State::WaitingForRobot(Some(problem));
            }
            Remedy::Retry => {
                self.retry_later(now, Leg::Robot, again, Duration::ZERO);
                self.state = waiting(Some(problem));
            }
            Remedy::RetryAfter(pause) => {
                self.retry_later(now, Leg::Robot, again, pause);
                self.state = waiting(Some(problem));
            }
        }
    }

    fn fail_ingest(&mut self, now: Instant, problem: Problem) {
        self.settle(now);
        self.shortfalls.uplink_choked = false;
        if problem.remedy != Remedy::PersonIfRepeated {
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
        self.retry_later(now, Leg::Ingest, Command::OpenIngest, pause);
        self.state = if problem.remedy == Remedy::AwaitNetwork {
            State::WaitingForNetwork(Side::Uplink, problem)
        } else {
            State::Connecting(Stage::Ingest, Some(problem))
        };
    }

    fn retry_later(&mut self, now: Instant, leg: Leg, command: Command, at_least: Duration) {
        let backoff = match leg {
            Leg::Robot => &mut self.robot_backoff,
            Leg::Ingest => &mut self.ingest_backoff,
        };
        let pause = backoff.fail().max(at_least);
        self.retry = Some((now + pause, command));
    }

    fn retry_at_once(&mut self, now: Instant) {
        // A lock-out or another pause that a server asked for is longer than any backoff, and is kept.
        let Some((at, command)) = self.retry else { return };
        if at.saturating_duration_since(now) <= Backoff::LONGEST {
            self.robot_backoff.reset();
            self.ingest_backoff.reset();
            self.retry = Some((now, command));
            self.wake(now);
        }
    }

    fn wake(&mut self, now: Instant) {
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
        self.commands.push_back(command);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;

    fn drain(supervisor: &mut Supervisor) -> Vec<Command> {
        std::iter::from_fn(|| supervisor.poll()).collect()
    }

    fn problem(remedy: Remedy) -> Problem {
        Problem::new("test", remedy, "something was wrong")
    }

    fn play(now: Instant, events: impl IntoIterator<Item = Event>) -> Supervisor {
        let mut supervisor = Supervisor::new(7);
        for event in events {
            supervisor.handle(now, event).expect("an event with a meaning");
        }
        supervisor
    }

    fn way_to_air() -> Vec<Event> {
        vec![
            Event::Start,
            Event::LoggedIn,
            Event::CameraReady { complete: true },
            Event::SessionConnected,
            Event::OnAir,
        ]
    }

    fn on_air(now: Instant) -> Supervisor {
        let mut supervisor = play(now, way_to_air());
        drain(&mut supervisor);
        supervisor
    }

    #[test]
    fn the_way_to_air_is_login_camera_session_ingest() {
        let mut supervisor = play(Instant::now(), way_to_air());
        use Command::{LogIn, OpenIngest, OpenSession, PrepareCamera};
        assert_eq!(
            drain(&mut supervisor),
            [LogIn, PrepareCamera, OpenSession, OpenIngest]
        );
        assert_eq!(supervisor.state(), &State::Live);
    }

    #[test]
    fn a_lost_ingest_is_opened_again_at_once_and_the_camera_is_left_alone() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
            .unwrap();
        assert_eq!(drain(&mut supervisor), [Command::CloseIngest]);
        assert_eq!(supervisor.deadline().unwrap().0, now);
        supervisor.handle(now, Event::Woken).unwrap();
        assert_eq!(drain(&mut supervisor), [Command::OpenIngest]);
        assert_eq!(supervisor.state().name(), "Connecting");
    }

    #[test]
    fn a_server_that_accepts_and_hangs_up_is_not_hammered() {
        let mut now = Instant::now();
        let mut supervisor = on_air(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            supervisor
                .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
                .unwrap();
            let at = supervisor.deadline().unwrap().0;
            pauses.push((at - now).as_secs());
            now = at;
            supervisor.handle(now, Event::Woken).unwrap();
            supervisor.handle(now, Event::OnAir).unwrap();
        }
        assert_eq!(pauses[..4], [0, 1, 2, 4]);
        assert!(pauses[4] >= 5 && pauses[5] >= 5);
    }

    #[test]
    fn an_hour_on_air_forgets_earlier_failures() {
        let mut now = Instant::now();
        let mut supervisor = on_air(now);
        for _ in 0..3 {
            supervisor
                .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
                .unwrap();
            now = supervisor.deadline().unwrap().0;
            supervisor.handle(now, Event::Woken).unwrap();
            supervisor.handle(now, Event::OnAir).unwrap();
            now += Duration::from_secs(3600);
        }
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::Retry)))
            .unwrap();
        assert_eq!(supervisor.deadline().unwrap().0, now);
    }

    #[test]
    fn a_refused_key_is_a_fault_that_puts_the_camera_back_and_does_not_loop() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::Person)))
            .unwrap();
        assert_eq!(supervisor.state().name(), "Fault");
        assert_eq!(supervisor.deadline(), None);
        use Command::{CloseIngest, CloseSession, RestoreCamera};
        assert_eq!(drain(&mut supervisor), [CloseIngest, CloseSession, RestoreCamera]);
        supervisor.handle(now, Event::NetworkChanged).unwrap();
        assert_eq!(drain(&mut supervisor), []);
        supervisor.handle(now, Event::Mended).unwrap();
        assert_eq!(drain(&mut supervisor), [Command::LogIn]);
    }

    #[test]
    fn a_server_that_hangs_up_again_and_again_has_refused_us() {
        let mut now = Instant::now();
        let mut supervisor = on_air(now);
        for _ in 1..REFUSALS {
            supervisor
                .handle(now, Event::IngestClosed(problem(Remedy::PersonIfRepeated)))
                .unwrap();
            assert_eq!(supervisor.state().name(), "Connecting");
            let at = supervisor.deadline().unwrap().0;
            assert!(at - now >= REFUSAL_PAUSE);
            now = at;
            supervisor.handle(now, Event::Woken).unwrap();
        }
        supervisor
            .handle(now, Event::IngestClosed(problem(Remedy::PersonIfRepeated)))
            .unwrap();
        assert_eq!(supervisor.state().name(), "Fault");
    }

    #[test]
    fn a_network_that_is_ready_again_is_used_at_once() {
        let mut now = Instant::now();
        let mut supervisor = play(now, [Event::Start]);
        drain(&mut supervisor);
        for _ in 0..5 {
            supervisor
                .handle(now, Event::LoginFailed(problem(Remedy::AwaitNetwork)))
                .unwrap();
            now = supervisor.deadline().unwrap().0;
            supervisor.handle(now, Event::Woken).unwrap();
        }
        drain(&mut supervisor);
        supervisor
            .handle(now, Event::LoginFailed(problem(Remedy::AwaitNetwork)))
            .unwrap();
        assert!(supervisor.deadline().unwrap().0 > now);
        supervisor.handle(now, Event::NetworkChanged).unwrap();
        assert_eq!(drain(&mut supervisor), [Command::LogIn]);
    }

    #[test]
    fn a_lock_out_is_waited_for_whatever_the_network_does() {
        let now = Instant::now();
        let mut supervisor = play(now, [Event::Start]);
        drain(&mut supervisor);
        let minutes = Duration::from_secs(300);
        supervisor
            .handle(now, Event::LoginFailed(problem(Remedy::RetryAfter(minutes))))
            .unwrap();
        supervisor.handle(now, Event::NetworkChanged).unwrap();
        assert_eq!(drain(&mut supervisor), []);
        assert_eq!(supervisor.deadline().unwrap().0, now + minutes);
    }

    #[test]
    fn a_lost_session_sets_the_camera_up_anew() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor
            .handle(now, Event::SessionClosed(problem(Remedy::Retry)))
            .unwrap();
        supervisor.handle(now, Event::Woken).unwrap();
        use Command::{CloseIngest, CloseSession, PrepareCamera};
        assert_eq!(drain(&mut supervisor), [CloseIngest, CloseSession, PrepareCamera]);
    }

    #[test]
    fn shortfalls_add_up_and_go_away_one_by_one() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor.handle(now, Event::PictureStalled).unwrap();
        supervisor.handle(now, Event::UplinkChoked).unwrap();
        assert!(supervisor.state().reason().contains("stopped sending"));
        supervisor.handle(now, Event::PictureBack).unwrap();
        assert_eq!(supervisor.state().kind(), "uplink-choked");
        supervisor.handle(now, Event::UplinkRelieved).unwrap();
        assert_eq!(supervisor.state(), &State::Live);
    }

    #[test]
    fn a_new_picture_size_is_published_anew() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor.handle(now, Event::SizeChanged).unwrap();
        assert_eq!(
            drain(&mut supervisor),
            [Command::CloseIngest, Command::OpenIngest]
        );
    }

    #[test]
    fn what_the_last_session_says_of_the_camera_does_not_skip_its_set_up() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor
            .handle(now, Event::SessionClosed(problem(Remedy::Retry)))
            .unwrap();
        drain(&mut supervisor);
        supervisor
            .handle(now, Event::CameraReady { complete: true })
            .unwrap();
        assert_eq!(drain(&mut supervisor), []);
        supervisor.handle(now, Event::Woken).unwrap();
        assert_eq!(drain(&mut supervisor), [Command::PrepareCamera]);
    }

    #[test]
    fn a_choke_ends_with_the_publication_that_was_choked() {
        let now = Instant::now();
        let mut supervisor = on_air(now);
        supervisor.handle(now, Event::UplinkChoked).unwrap();
        supervisor.handle(now, Event::SizeChanged).unwrap();
        supervisor.handle(now, Event::OnAir).unwrap();
        assert_eq!(supervisor.state(), &State::Live);
    }

    #[test]
    fn a_server_that_hangs_up_now_and_then_has_not_refused_us() {
        let mut now = Instant::now();
        let mut supervisor = on_air(now);
        for _ in 0..3 * REFUSALS {
            for remedy in [Remedy::PersonIfRepeated, Remedy::AwaitNetwork] {
                supervisor
                    .handle(now, Event::IngestClosed(problem(remedy)))
                    .unwrap();
                now = supervisor.deadline().unwrap().0;
                supervisor.handle(now, Event::Woken).unwrap();
            }
        }
        assert_eq!(supervisor.state().name(), "Connecting");
    }

    #[test]
    fn a_late_report_changes_nothing() {
        let now = Instant::now();
        let mut supervisor = play(now, [Event::Start]);
        let before = supervisor.state().clone();
        assert!(supervisor.handle(now, Event::OnAir).is_err());
        assert_eq!(supervisor.state(), &before);
    }
}
