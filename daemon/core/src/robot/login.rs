//! A login that lasts: when to ask for a token, when to renew it, and when to leave the robot alone.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Deadline;
use crate::backoff::Backoff;
use crate::secret::Secret;

/// What the robot knows us by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user of the robot.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: Secret,
    },
    /// A payload, which an administrator authorizes on the robot's Payloads page.
    Payload(PayloadCredentials),
}

/// A payload's name for itself and its password, made by us and kept for ever: the robot remembers payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadCredentials {
    /// A UUID, in lower case.
    pub guid: String,
    /// At least 12 characters.
    pub secret: Secret,
}

/// How long a token is used before it is renewed. It lives 12 h.
pub const REFRESH_AFTER: Duration = Duration::from_secs(60 * 60);
/// How often to ask whether the administrator has said yes.
pub const AUTHORIZATION_POLL: Duration = Duration::from_secs(1);
/// How long a locked account is left alone the first time; each time it is twice as long.
pub const LOCKED_OUT_FIRST: Duration = Duration::from_secs(5 * 60);
/// How long it is left alone at most.
pub const LOCKED_OUT_MOST: Duration = Duration::from_secs(60 * 60);
/// The time between two logins when the robot refuses the tokens that it gives out.
const TOKEN_REFUSED_PAUSE: Duration = Duration::from_secs(30);
const REFRESH_RETRY_FIRST: Duration = Duration::from_secs(1);

/// What the robot made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The payload is known to the robot.
    Registered,
    /// A token.
    Token(Secret),
    /// The payload is not authorized yet.
    NotAuthorized,
    /// The robot does not know this user and password.
    InvalidLogin,
    /// The robot knows this payload with another secret.
    InvalidCredentials,
    /// The token that was to be renewed is no longer one.
    InvalidToken,
    /// Too many tries; the robot does not listen for a while.
    LockedOut,
    /// No answer, or none of these.
    Failed,
}

/// What happens to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The robot can be reached: log in.
    Connected,
    /// It no longer can. What is due waits for [`Input::Connected`].
    Disconnected,
    /// The answer to the last request.
    Answer(Answer),
    /// Some call was refused for its token.
    TokenRefused,
    /// A person has changed something and wants it tried again.
    TryAgain,
    /// The time of [`Login::deadline`] has come.
    Wake,
}

/// What a login wants, or has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Register the payload.
    Register,
    /// Ask for a token by the credentials.
    LogIn,
    /// Ask for a token by this one.
    Refresh(Secret),
    /// Use this token from now on.
    LoggedIn(Secret),
    /// An administrator has to authorize the payload; said once.
    WaitingForAuthorization,
    /// The robot does not listen; the next try is after this time.
    LockedOut(Duration),
    /// A person has to act.
    Fault(Fault),
}

/// Why no token will come without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// User and password.
    #[error("the robot does not accept this user name and password")]
    InvalidLogin,
    /// Payload.
    #[error(
        "the robot knows this payload with another secret; \
         delete the payload on the robot's Payloads page, or restore its credentials file"
    )]
    InvalidCredentials,
}

impl Fault {
    /// A stable machine word.
    pub fn kind(self) -> &'static str {
        match self {
            Self::InvalidLogin => "invalid-login",
            Self::InvalidCredentials => "invalid-payload-credentials",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing can be done until the robot is there.
    Away,
    /// A request is out.
    Asking(Request),
    /// Something is due at a time.
    Waiting {
        until: Instant,
        then: Request,
        why: &'static str,
    },
    /// The token is good.
    Holding {
        refresh_at: Instant,
    },
    Faulted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Register,
    LogIn,
    Refresh,
}

/// The machine. At most one request is out at any time.
#[derive(Debug)]
pub struct Login {
    first: Request,
    state: State,
    token: Option<Secret>,
    logged_in_at: Option<Instant>,
    /// No request before this time, whatever happens.
    locked_until: Option<Instant>,
    locked_for: Duration,
    backoff: Backoff,
    refresh_retry: Duration,
    told_to_wait: bool,
    output: VecDeque<Output>,
}

impl Login {
    /// A login by `credentials`, which stay with the caller: the machine needs to know only their kind. `seed`
    /// scatters the retries.
    pub fn new(credentials: &Credentials, seed: u32) -> Self {
        Self {
            first: match credentials {
                Credentials::User { .. } => Request::LogIn,
                Credentials::Payload(_) => Request::Register,
            },
            state: State::Away,
            token: None,
            logged_in_at: None,
            locked_until: None,
            locked_for: Duration::ZERO,
            backoff: Backoff::new(seed),
            refresh_retry: REFRESH_RETRY_FIRST,
            told_to_wait: false,
            output: VecDeque::new(),
        }
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match (input, self.state.clone()) {
            (Input::Connected, State::Away) => {
                self.backoff.reset();
                self.told_to_wait = false;
                self.start(now, self.first);
            }
            (Input::Disconnected, State::Asking(_) | State::Waiting { .. } | State::Holding { .. }) => {
                self.state = State::Away;
            }
            (Input::Answer(answer), State::Asking(request)) => self.answered(now, request, answer),
            (Input::TokenRefused, State::Holding { .. }) => self.token_refused(now),
            (Input::TryAgain, State::Faulted | State::Waiting { .. }) => self.start(now, self.first),
            (Input::Wake, State::Waiting { until, then, .. }) if until <= now => self.start(now, then),
            (Input::Wake, State::Holding { refresh_at }) if refresh_at <= now => {
                self.start(now, Request::Refresh)
            }
            // A late answer, a deadline that has moved, or news of what is known.
            (
                Input::Connected
                | Input::Disconnected
                | Input::Answer(_)
                | Input::TokenRefused
                | Input::TryAgain
                | Input::Wake,
                _,
            ) => {}
        }
    }

    /// What is to be done or told next.
    pub fn poll(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When to be woken, and why.
    pub fn deadline(&self) -> Deadline {
        match self.state {
            State::Waiting { until, why, .. } => Some((until, why)),
            State::Holding { refresh_at } => Some((refresh_at, "login: renew the token")),
            State::Away | State::Asking(_) | State::Faulted => None,
        }
    }

    /// Whether only [`Input::TryAgain`] helps.
    pub fn is_faulted(&self) -> bool {
        self.state == State::Faulted
    }

    /// Whether there is a token that has not been refused.
    pub fn is_logged_in(&self) -> bool {
        self.token.is_some()
    }

    fn start(&mut self, now: Instant, request: Request) {
        if let Some(until) = self.locked_until.filter(|&until| now < until) {
            self.wait(until, request, "login: locked out");
            return;
        }
        let output = match (request, &self.token) {
            (Request::Register, _) => Output::Register,
            (Request::Refresh, Some(token)) => Output::Refresh(token.clone()),
            (Request::LogIn | Request::Refresh, _) => Output::LogIn,
        };
        self.state = State::Asking(request);
        self.output.push_back(output);
    }

    fn wait(&mut self, until: Instant, then: Request, why: &'static str) {
        self.state = State::Waiting { until, then, why };
    }

    fn answered(&mut self, now: Instant, request: Request, answer: Answer) {
        match answer {
            Answer::Registered if request == Request::Register => self.start(now, Request::LogIn),
            Answer::Token(token) => self.hold(now, token),
            Answer::NotAuthorized => {
                self.token = None;
                if !std::mem::replace(&mut self.told_to_wait, true) {
                    self.output.push_back(Output::WaitingForAuthorization);
                }
                self.wait(
                    now + AUTHORIZATION_POLL,
                    Request::LogIn,
                    "login: ask whether the payload is authorized",
                );
            }
            // Whatever is wrong with a token, the credentials have not been heard yet.
            Answer::InvalidToken | Answer::InvalidLogin | Answer::InvalidCredentials
                if request == Request::Refresh =>
            {
                self.token = None;
                self.start(now, self.first);
            }
            Answer::InvalidLogin => self.fault(Fault::InvalidLogin),
            Answer::InvalidCredentials => self.fault(Fault::InvalidCredentials),
            Answer::LockedOut => {
                self.locked_for = (self.locked_for * 2).clamp(LOCKED_OUT_FIRST, LOCKED_OUT_MOST);
                self.locked_until = Some(now + self.locked_for);
                self.output.push_back(Output::LockedOut(self.locked_for));
                self.start(now, request);
            }
            Answer::Failed => self.failed(now, request),
            // No answer to what was asked.
            Answer::Registered | Answer::InvalidToken => self.failed(now, request),
        }
    }

    fn hold(&mut self, now: Instant, token: Secret) {
        self.token = Some(token.clone());
        self.logged_in_at = Some(now);
        self.locked_until = None;
        self.locked_for = Duration::ZERO;
        self.backoff.reset();
        self.refresh_retry = REFRESH_RETRY_FIRST;
        self.told_to_wait = false;
        self.state = State::Holding {
            refresh_at: now + REFRESH_AFTER,
        };
        self.output.push_back(Output::LoggedIn(token));
    }

    fn failed(&mut self, now: Instant, request: Request) {
        match request {
            // The token lives 12 h, so there is time; the stream goes on meanwhile.
            Request::Refresh => {
                self.state = State::Holding {
                    refresh_at: now + self.refresh_retry,
                };
                self.refresh_retry = (self.refresh_retry * 2).min(REFRESH_AFTER);
            }
            Request::Register | Request::LogIn => {
                let delay = self.backoff.fail();
                self.wait(now + delay, request, "login: try again");
            }
        }
    }

    fn token_refused(&mut self, now: Instant) {
        self.token = None;
        match self
            .logged_in_at
            .map(|at| at + TOKEN_REFUSED_PAUSE)
            .filter(|&until| now < until)
        {
            Some(until) => self.wait(until, Request::LogIn, "login: the robot refused a new token"),
            None => self.start(now, Request::LogIn),
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.token = None;
        self.state = State::Faulted;
        self.output.push_back(Output::Fault(fault));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    struct Bench {
        login: Login,
        now: Instant,
    }

    impl Bench {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs one origin for its virtual time"
        )]
        fn new(credentials: &Credentials) -> Self {
            Self {
                login: Login::new(credentials, 1),
                now: Instant::now(),
            }
        }

        fn user() -> Self {
            Self::new(&Credentials::User {
                name: "user".into(),
                password: Secret::new("password"),
            })
        }

        fn payload() -> Self {
            let secret = Secret::new("0123456789abcdef");
            Self::new(&Credentials::Payload(PayloadCredentials {
                guid: "guid".into(),
                secret,
            }))
        }

        fn tell(&mut self, input: Input) -> Vec<Output> {
            self.login.handle(self.now, input);
            std::iter::from_fn(|| self.login.poll()).collect()
        }

        fn answer(&mut self, answer: Answer) -> Vec<Output> {
            self.tell(Input::Answer(answer))
        }

        /// Sleeps until the machine wants to be woken, and returns how long that was.
        fn wake(&mut self) -> (Duration, Vec<Output>) {
            let (at, _) = self.login.deadline().expect("a deadline");
            let slept = at - self.now;
            self.now = at;
            (slept, self.tell(Input::Wake))
        }
    }

    fn token(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_token_is_renewed_by_itself_after_an_hour() {
        let mut bench = Bench::user();
        assert_eq!(bench.tell(Input::Connected), [Output::LogIn]);
        assert_eq!(
            bench.answer(Answer::Token(token("a"))),
            [Output::LoggedIn(token("a"))]
        );
        assert_eq!(bench.wake(), (HOUR, vec![Output::Refresh(token("a"))]));
        assert_eq!(
            bench.answer(Answer::Token(token("b"))),
            [Output::LoggedIn(token("b"))]
        );
        assert_eq!(bench.wake(), (HOUR, vec![Output::Refresh(token("b"))]));
        assert_eq!(bench.answer(Answer::InvalidToken), [Output::LogIn]);
    }

    #[test]
    fn a_refresh_that_fails_is_tried_again_ever_later_while_the_token_is_used() {
        let mut bench = Bench::user();
        bench.tell(Input::Connected);
        bench.answer(Answer::Token(token("a")));
        let mut slept = Vec::new();
        bench.wake();
        for _ in 0..14 {
            assert_eq!(bench.answer(Answer::Failed), []);
            assert!(bench.login.is_logged_in());
            let (time, output) = bench.wake();
            assert_eq!(output, [Output::Refresh(token("a"))]);
            slept.push(time.as_secs());
        }
        assert_eq!(
            slept,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
        );
    }

    #[test]
    fn a_payload_registers_itself_and_waits_for_the_administrator() {
        let mut bench = Bench::payload();
        assert_eq!(bench.tell(Input::Connected), [Output::Register]);
        assert_eq!(bench.answer(Answer::Registered), [Output::LogIn]);
        assert_eq!(
            bench.answer(Answer::NotAuthorized),
            [Output::WaitingForAuthorization]
        );
        for _ in 0..600 {
            assert_eq!(bench.wake(), (AUTHORIZATION_POLL, vec![Output::LogIn]));
            assert_eq!(bench.answer(Answer::NotAuthorized), []);
        }
        bench.wake();
        assert_eq!(
            bench.answer(Answer::Token(token("a"))),
            [Output::LoggedIn(token("a"))]
        );
    }

    #[test]
    fn a_wrong_password_is_sent_once() {
        let mut bench = Bench::user();
        bench.tell(Input::Connected);
        assert_eq!(
            bench.answer(Answer::InvalidLogin),
            [Output::Fault(Fault::InvalidLogin)]
        );
        assert_eq!(bench.login.deadline(), None);
        assert_eq!(bench.tell(Input::Disconnected), []);
        assert_eq!(bench.tell(Input::Connected), []);
        assert_eq!(bench.tell(Input::TokenRefused), []);
        assert!(bench.login.is_faulted());
        assert_eq!(bench.tell(Input::TryAgain), [Output::LogIn]);
        assert!(!bench.login.is_faulted());
    }

    #[test]
    fn a_locked_account_is_left_alone_for_minutes_whatever_happens() {
        let mut bench = Bench::user();
        bench.tell(Input::Connected);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let output = bench.answer(Answer::LockedOut);
            let [Output::LockedOut(wait)] = output.as_slice() else {
                panic!("{output:?}")
            };
            waits.push(wait.as_secs() / 60);
            for input in [
                Input::TryAgain,
                Input::Disconnected,
                Input::Connected,
                Input::TokenRefused,
                Input::Wake,
            ] {
                bench.now += Duration::from_secs(20);
                assert_eq!(bench.tell(input), []);
            }
            assert_eq!(bench.wake().1, [Output::LogIn]);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn a_refused_token_leads_to_one_login_and_then_to_patience() {
        let mut bench = Bench::user();
        bench.tell(Input::Connected);
        bench.answer(Answer::Token(token("a")));
        bench.now += HOUR / 2;
        assert_eq!(bench.tell(Input::TokenRefused), [Output::LogIn]);
        assert_eq!(bench.tell(Input::TokenRefused), []);
        bench.answer(Answer::Token(token("b")));
        assert_eq!(bench.tell(Input::TokenRefused), []);
        assert_eq!(bench.wake(), (TOKEN_REFUSED_PAUSE, vec![Output::LogIn]));
    }

    #[test]
    fn a_payload_with_another_secret_needs_a_person() {
        let mut bench = Bench::payload();
        bench.tell(Input::Connected);
        bench.answer(Answer::Registered);
        assert_eq!(
            bench.answer(Answer::InvalidCredentials),
            [Output::Fault(Fault::InvalidCredentials)]
        );
        assert_eq!(bench.login.deadline(), None);
    }

    #[test]
    fn an_answer_to_something_else_cannot_make_it_ask_in_a_tight_loop() {
        let mut bench = Bench::user();
        bench.tell(Input::Connected);
        for answer in [Answer::InvalidToken, Answer::Registered, Answer::InvalidToken] {
            assert_eq!(bench.answer(answer), []);
            bench.wake();
        }
        assert!(bench.answer(Answer::InvalidToken).is_empty());
        assert!(bench.wake().0 >= Duration::from_secs(4));
    }
}
