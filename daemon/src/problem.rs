//! What the effects' errors mean to the conductor: a word, a remedy, and one plain sentence.

use std::error::Error;

use spotstream_core::ingest::command;
use spotstream_core::media::transmux::Unsupported;
use spotstream_core::robot::directory;
use spotstream_core::supervise::state::{Problem, Remedy};

use crate::control::Refusal;
use crate::edge::{camera, custody, ingest, pins, robot, signalling};

/// What a failed call of the robot means.
pub fn of_robot(error: &robot::Error) -> Problem {
    use robot::Error as E;
    let remedy = match error {
        E::Bind { .. } | E::Unreachable { .. } => Remedy::AwaitNetwork,
        E::Unauthenticated { .. } | E::InvalidToken => Remedy::SignIn,
        E::Pin(error) => return of_pin(error),
        E::NoHost
        | E::Refused { .. }
        | E::TimedOut { .. }
        | E::Tls { .. }
        | E::Certificate { .. }
        | E::ClockNotSet { .. }
        | E::Authorities { .. }
        | E::PermissionDenied { .. }
        | E::InvalidLogin
        | E::LockedOut
        | E::InvalidCredentials
        | E::NotAuthorized
        | E::Rpc { .. }
        | E::InvalidRequest { .. }
        | E::Internal { .. }
        | E::Answer { .. }
        | E::Directory(_)
        | E::Screen(_) => by_retryability(error.is_retryable()),
    };
    Problem::new(error.kind(), remedy, sentence(error))
}

fn by_retryability(is_retryable: bool) -> Remedy {
    if is_retryable {
        Remedy::Retry
    } else {
        Remedy::Person
    }
}

/// Whether the camera can still be shown, only not steered.
pub fn leaves_the_camera_unsteered(error: &robot::Error) -> bool {
    use robot::Error as E;
    matches!(
        error,
        E::PermissionDenied { .. }
            | E::InvalidRequest { .. }
            | E::Internal { .. }
            | E::Answer { .. }
            | E::Screen(_)
            | E::Directory(directory::Error::Missing(_))
    )
}

/// What a record that cannot be kept means: the camera's settings must not be changed.
pub fn of_custody(error: &custody::Error) -> Problem {
    Problem::new(
        error.kind(),
        by_retryability(error.is_retryable()),
        sentence(error),
    )
}

/// What a session that did not begin, or ended, means.
pub fn of_camera(error: &camera::Error) -> Problem {
    use camera::Error as E;
    let remedy = match error {
        E::Signalling(signalling::Error::Unauthorized(_)) => Remedy::SignIn,
        E::Signalling(signalling::Error::Pin(error)) => return of_pin(error),
        E::Link(..) => Remedy::AwaitNetwork,
        E::NoHost
        | E::Signalling(_)
        | E::Offer(_)
        | E::Tls(_)
        | E::Peer(_)
        | E::NoPath(..)
        | E::Lost
        | E::Ended
        | E::NoVideo
        | E::VideoEnded => by_retryability(error.is_retryable()),
    };
    Problem::new(error.kind(), remedy, sentence(error))
}

/// What a publication that is over means.
pub fn of_ingest(error: &ingest::Error) -> Problem {
    use ingest::Error as E;
    let remedy = match error {
        E::Resolve { .. } | E::Connect { .. } => Remedy::AwaitNetwork,
        E::Command(command::Error::Refused { code, .. }) if code == command::HUNG_UP => {
            Remedy::PersonIfRepeated
        }
        E::NoTarget
        | E::Tls { .. }
        | E::Lost(_)
        | E::Rtmp(_)
        | E::Chunk(_)
        | E::Command(_)
        | E::Frame(_)
        | E::Stalled
        | E::Hopeless => by_retryability(error.is_retryable()),
    };
    Problem::new(error.kind(), remedy, sentence(error))
}

/// What it means that the camera sends what cannot be published.
pub fn of_media(error: &Unsupported) -> Problem {
    Problem::new(error.kind(), Remedy::Person, sentence(error))
}

fn of_pin(error: &pins::Error) -> Problem {
    let reason = match error {
        pins::Error::Changed { role, .. } => format!(
            "{error}; if the robot was reinstalled or swapped, accept it: 'spotstreamctl pin accept {role}'"
        ),
        pins::Error::Read { .. } | pins::Error::Write { .. } | pins::Error::NothingRefused(_) => {
            sentence(error)
        }
    };
    Problem::new(error.kind(), by_retryability(error.is_retryable()), reason)
}

/// The same for an operator whose request failed.
pub fn refusal(kind: &'static str, error: &dyn Error, is_retryable: bool) -> Refusal {
    Refusal {
        kind,
        sentence: sentence(error),
        is_retryable,
    }
}

/// An error and its causes in one sentence.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
