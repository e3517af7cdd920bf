//! The way into the robot: find it, log in, stay logged in.

use std::sync::Arc;
use std::time::Instant;

use spotstream_core::robot::login::{Answer, Credentials, Input, Login, Output};
use spotstream_core::secret::Secret;
use spotstream_core::supervise::network::Footing;
use spotstream_core::supervise::state::{Event, Problem, Remedy};
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::until;
use crate::edge::robot::{Error, Plan, Registration, Robot};
use crate::problem;

/// A robot that has let us in, and the token for its camera.
#[derive(Clone)]
pub struct Access {
    /// The robot.
    pub robot: Arc<Robot>,
    /// Good until it is renewed.
    pub token: Secret,
}

/// Finds the robot and keeps a login.
pub struct LoginStage {
    plan: Plan,
    credentials: Credentials,
    registration: Registration,
    machine: Login,
    robot: Option<Arc<Robot>>,
    token: Option<Secret>,
    /// At most one effect is under way.
    tasks: JoinSet<Done>,
    /// Why the last request failed, for the person who waits.
    last_error: Option<Error>,
}

enum Done {
    Connected(Result<Robot, Error>),
    Answered(Answer, Option<Error>),
}

impl LoginStage {
    /// Nothing happens until [`Self::log_in`].
    pub fn new(plan: Plan, credentials: Credentials, registration: Registration) -> Self {
        Self {
            machine: Login::new(&credentials, rand::random()),
            plan,
            credentials,
            registration,
            robot: None,
            token: None,
            tasks: JoinSet::new(),
            last_error: None,
        }
    }

    /// Looks for the robot, by the network that netsetup has named if it has, and logs in anew.
    pub fn log_in(&mut self, footing: Option<&Footing>) {
        // What has just ended is dropped with its result.
        self.tasks = JoinSet::new();
        self.machine.handle(Instant::now(), Input::Disconnected);
        self.token = None;
        let mut plan = self.plan.clone();
        plan.bind = plan.bind.standing_on(footing);
        self.tasks
            .spawn(async move { Done::Connected(Robot::connect(&plan).await) });
    }

    /// Tries nothing more until [`Self::log_in`].
    pub fn rest(&mut self) {
        self.tasks = JoinSet::new();
        self.last_error = None;
        self.machine.handle(Instant::now(), Input::Disconnected);
    }

    /// The robot and a token, if we are in.
    pub fn access(&self) -> Option<Access> {
        Some(Access {
            robot: self.robot.clone()?,
            token: self.token.clone()?,
        })
    }

    /// Waits for news.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.drain() {
                return event;
            }
            let deadline = self.machine.deadline();
            tokio::select! {
                Some(done) = self.tasks.join_next() => match done {
                    Ok(Done::Connected(Ok(robot))) => self.connected(robot),
                    Ok(Done::Connected(Err(error))) => return Event::LoginFailed(problem::of_robot(&error)),
                    Ok(Done::Answered(answer, error)) => {
                        self.last_error = error;
                        self.machine.handle(Instant::now(), Input::Answer(answer));
                    }
                    // An effect that was replaced by a newer one.
                    Err(error) => debug!("a login effect ended early: {error}"),
                },
                () = until(deadline) => self.machine.handle(Instant::now(), Input::Wake),
            }
        }
    }

    fn connected(&mut self, robot: Robot) {
        let identity = robot.identity();
        info!(
            address = %robot.address(),
            serial_number = identity.serial_number,
            nickname = identity.nickname,
            version = identity.version,
            "found the robot"
        );
        self.robot = Some(Arc::new(robot));
        let now = Instant::now();
        self.machine.handle(now, Input::Connected);
        // The conductor asks for a login after a fault only when a person wants it or a session needs it.
        if self.machine.is_faulted() {
            self.machine.handle(now, Input::TryAgain);
        }
    }

    fn drain(&mut self) -> Option<Event> {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Register => {
                    let (credentials, registration) = (self.credentials.clone(), self.registration.clone());
                    self.ask(move |robot| async move { register(&robot, &credentials, &registration).await });
                }
                Output::LogIn => {
                    let credentials = self.credentials.clone();
                    self.ask(move |robot| async move { robot.log_in(&credentials).await.map(Answer::Token) });
                }
                Output::Refresh(token) => {
                    self.ask(move |robot| async move { robot.refresh(&token).await.map(Answer::Token) });
                }
                Output::LoggedIn(token) => {
                    self.token = Some(token);
                    return Some(Event::LoggedIn);
                }
                Output::WaitingForAuthorization => return Some(Event::AuthorizationPending),
                Output::LockedOut(pause) => {
                    return Some(Event::LoginFailed(Problem::new(
                        "locked-out",
                        Remedy::RetryAfter(pause),
                        format!(
                            "the robot has locked this user out after wrong passwords; trying again in {} minutes",
                            pause.as_secs().div_ceil(60)
                        ),
                    )));
                }
                Output::Fault(fault) => {
                    return Some(Event::LoginFailed(Problem::new(
                        fault.kind(),
                        Remedy::Person,
                        fault.to_string(),
                    )));
                }
            }
        }
        // A request that failed is tried again by the machine while a stream stands; else the robot is looked for anew.
        let error = self.last_error.take().filter(|_| self.token.is_none())?;
        self.machine.handle(Instant::now(), Input::Disconnected);
        Some(Event::LoginFailed(problem::of_robot(&error)))
    }

    fn ask<F, A>(&mut self, request: F)
    where
        F: FnOnce(Arc<Robot>) -> A + Send + 'static,
        A: Future<Output = Result<Answer, Error>> + Send,
    {
        let Some(robot) = self.robot.clone() else { return };
        self.tasks.spawn(async move {
            match request(robot).await {
                Ok(answer) => Done::Answered(answer, None),
                Err(error) => {
                    debug!(kind = error.kind(), "{error}");
                    let answer = error.login_answer();
                    let unexplained = answer == Answer::Failed;
                    Done::Answered(answer, unexplained.then_some(error))
                }
            }
        });
    }
}

async fn register(
    robot: &Robot,
    credentials: &Credentials,
    registration: &Registration,
) -> Result<Answer, Error> {
    match credentials {
        Credentials::Payload(payload) => robot.register_payload(payload, registration).await?,
        Credentials::User { .. } => {}
    }
    Ok(Answer::Registered)
}
