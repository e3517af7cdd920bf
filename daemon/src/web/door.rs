//! Who may steer: the password, the sessions of those who knew it, and the pause after a wrong one. Pure: the time and
//! the random numbers come from outside.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use spotstream_core::secret::Secret;
use subtle::ConstantTimeEq;

use super::pauses::Pauses;

/// How long a session lasts.
pub(crate) const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How many there may be; one more ends the oldest.
const SESSIONS: usize = 8;

type Hash = [u8; 32];

/// What a person is told once, after what they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Whether it was done.
    pub(crate) is_done: bool,
    /// What was done, or why it was not.
    pub(crate) sentence: String,
}

#[derive(Debug)]
struct Session {
    token: Hash,
    ends: Instant,
    notice: Option<Notice>,
}

/// What comes of a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is right; the session's token, to be kept by the browser.
    Welcome(String),
    /// It is wrong.
    Wrong,
    /// It was not looked at: a wrong one came from there so shortly before.
    Wait(Duration),
    /// There is no password in the settings.
    Closed,
}

/// The one door.
#[derive(Debug)]
pub(crate) struct Door {
    password: Option<Hash>,
    sessions: Vec<Session>,
    pauses: Pauses,
}

impl Door {
    pub(crate) fn new(password: Option<&Secret>) -> Self {
        Self {
            password: password.map(|password| hash(password.reveal())),
            sessions: Vec::new(),
            pauses: Pauses::default(),
        }
    }

    /// Whether anybody may ever steer.
    pub(crate) const fn has_a_password(&self) -> bool {
        self.password.is_some()
    }

    /// Judges a password that came from an address; `random` becomes the token of a new session.
    pub(crate) fn knock(&mut self, now: Instant, from: IpAddr, given: &Secret, random: Hash) -> Answer {
        let Some(password) = &self.password else {
            return Answer::Closed;
        };
        if let Some(left) = self.pauses.left(now, from) {
            return Answer::Wait(left);
        }
        if bool::from(hash(given.reveal()).ct_eq(password)) {
            self.pauses.right(from);
            Answer::Welcome(self.open(now, random))
        } else {
            self.pauses.wrong(now, from);
            Answer::Wrong
        }
    }

    fn open(&mut self, now: Instant, random: Hash) -> String {
        self.sessions.retain(|session| session.ends > now);
        if self.sessions.len() >= SESSIONS {
            self.sessions.remove(0);
        }
        let token = URL_SAFE_NO_PAD.encode(random);
        self.sessions.push(Session {
            token: hash(&token),
            ends: now + SESSION,
            notice: None,
        });
        token
    }

    /// Whether a token opens.
    pub(crate) fn knows(&mut self, now: Instant, token: &str) -> bool {
        self.session(now, token).is_some()
    }

    /// Ends the session of a token.
    pub(crate) fn leave(&mut self, token: &str) {
        let token = hash(token);
        self.sessions
            .retain(|session| !bool::from(session.token.ct_eq(&token)));
    }

    /// Keeps what the holder of a token is to be told next.
    pub(crate) fn tell(&mut self, now: Instant, token: &str, notice: Notice) {
        if let Some(session) = self.session(now, token) {
            session.notice = Some(notice);
        }
    }

    /// What the holder of a token is to be told, once.
    pub(crate) fn told(&mut self, now: Instant, token: &str) -> Option<Notice> {
        self.session(now, token)?.notice.take()
    }

    fn session(&mut self, now: Instant, token: &str) -> Option<&mut Session> {
        let token = hash(token);
        self.sessions
            .iter_mut()
            .find(|session| session.ends > now && bool::from(session.token.ct_eq(&token)))
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::web::pauses::{FIRST_PAUSE, MEMORY};

    const RIGHT: &str = "three plain words";

    fn door() -> Door {
        Door::new(Some(&Secret::new(RIGHT)))
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn knock(door: &mut Door, now: Instant, word: &str) -> Answer {
        door.knock(now, HERE, &Secret::new(word), [7; 32])
    }

    #[test]
    fn a_session_is_for_who_knows_the_password_and_ends_by_itself() {
        let (mut door, now) = (door(), Instant::now());
        let Answer::Welcome(token) = knock(&mut door, now, RIGHT) else {
            panic!("the password is right")
        };
        assert!(door.knows(now, &token));
        assert!(!door.knows(now, ""));
        assert!(!door.knows(now, &token[1..]));
        assert!(door.knows(now + SESSION - Duration::from_secs(1), &token));
        assert!(!door.knows(now + SESSION, &token));
        door.leave(&token);
        assert!(!door.knows(now, &token));
    }

    #[test]
    fn nobody_gets_in_where_there_is_no_password() {
        let mut door = Door::new(None);
        assert_eq!(knock(&mut door, Instant::now(), ""), Answer::Closed);
        assert!(!door.has_a_password());
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_even_the_right_password_waits() {
        let (mut door, mut now) = (door(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(knock(&mut door, now, "wrong"), Answer::Wrong);
            let Answer::Wait(pause) = knock(&mut door, now, RIGHT) else {
                panic!("it was looked at too soon")
            };
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(matches!(knock(&mut door, now, RIGHT), Answer::Welcome(_)));
        assert_eq!(knock(&mut door, now, "wrong"), Answer::Wrong);
        assert_eq!(knock(&mut door, now, RIGHT), Answer::Wait(FIRST_PAUSE));
        let owner = door.knock(now, ELSEWHERE, &Secret::new(RIGHT), [7; 32]);
        assert!(
            matches!(owner, Answer::Welcome(_)),
            "a stranger keeps the owner out"
        );
    }

    #[test]
    fn a_wrong_password_is_forgotten() {
        let (mut door, now) = (door(), Instant::now());
        for second in [0, 1, 3, 7, 15] {
            knock(&mut door, now + Duration::from_secs(second), "wrong");
        }
        let later = now + Duration::from_secs(15) + MEMORY;
        assert_eq!(knock(&mut door, later, "wrong"), Answer::Wrong);
        assert_eq!(knock(&mut door, later, RIGHT), Answer::Wait(FIRST_PAUSE));
    }

    #[test]
    fn there_are_few_sessions_and_the_newest_stay() {
        let (mut door, now) = (door(), Instant::now());
        let tokens: Vec<_> = (0..10_u8)
            .map(|n| match door.knock(now, HERE, &Secret::new(RIGHT), [n; 32]) {
                Answer::Welcome(token) => token,
                Answer::Wrong | Answer::Wait(_) | Answer::Closed => panic!("the password is right"),
            })
            .collect();
        let known: Vec<_> = tokens.iter().map(|token| door.knows(now, token)).collect();
        assert_eq!(known.iter().filter(|known| **known).count(), SESSIONS);
        assert!(known[9] && !known[0] && !known[1]);
    }

    #[test]
    fn what_is_to_be_told_is_told_once_and_to_nobody_else() {
        let (mut door, now) = (door(), Instant::now());
        let Answer::Welcome(token) = knock(&mut door, now, RIGHT) else {
            panic!("the password is right")
        };
        let notice = Notice {
            is_done: true,
            sentence: "done".to_owned(),
        };
        door.tell(now, &token, notice.clone());
        assert_eq!(door.told(now, "other"), None);
        assert_eq!(door.told(now, &token), Some(notice));
        assert_eq!(door.told(now, &token), None);
    }

    #[test]
    fn the_door_shows_no_password() {
        assert!(!format!("{:?}", door()).contains(RIGHT));
    }
}
