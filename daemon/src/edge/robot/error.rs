//! What can go wrong between us and the robot, told apart as far as a person can act on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spotstream_core::robot::directory::{self, Authority};
use spotstream_core::robot::login::Answer;
use spotstream_core::robot::screens::NotAScreenName;

use crate::edge::pins;

/// Why a call of the robot failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No host to try was given.
    #[error("no address of a robot is configured")]
    NoHost,
    /// The network interface or local address to use does not exist, or is not ours to use.
    #[error("failed to use the robot-side network{}{}", of_interface(.interface), of_address(.address))]
    Bind {
        /// The interface to bind to.
        interface: Option<String>,
        /// The local address to bind to.
        address: Option<IpAddr>,
        /// Why.
        source: Arc<io::Error>,
    },
    /// There is no way to the address, or nobody there.
    #[error("failed to reach {address}: nothing answers there")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Somebody is there, but no robot's services.
    #[error("failed to connect to {address}: the computer there offers no robot services")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: Arc<io::Error>,
    },
    /// No answer in time.
    #[error("failed to {task} within {} s", .limit.as_secs())]
    TimedOut {
        /// What was not finished.
        task: &'static str,
        /// The time it was given.
        limit: Duration,
    },
    /// The TLS handshake failed for another reason than the certificate.
    #[error("failed to set up TLS with '{authority}'")]
    Tls {
        /// The authority asked for.
        authority: Authority,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The certificate is not one that the configured authority has signed for this name, or is out of date.
    #[error("failed to trust the certificate of '{authority}' by the configured certificate authority")]
    Certificate {
        /// The authority asked for.
        authority: Authority,
        /// Why.
        source: rustls::Error,
    },
    /// The certificate is not valid yet, because this computer's clock is wrong.
    #[error(
        "failed to trust the certificate of '{authority}': this box's clock says the year {year}, so it is not set"
    )]
    ClockNotSet {
        /// The authority asked for.
        authority: Authority,
        /// The year by this computer's clock.
        year: u64,
    },
    /// The certificate is another one than the pinned one, or the pins cannot be used.
    #[error(transparent)]
    Pin(#[from] pins::Error),
    /// The file of the robot's certificate authority cannot be used.
    #[error("failed to read the robot's certificate authority '{}': {reason}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The token is missing, expired or revoked.
    #[error("the robot refused the login token for {method}")]
    Unauthenticated {
        /// The call.
        method: &'static str,
    },
    /// The token is good, but not for this.
    #[error("the robot does not allow us {method}: {message}")]
    PermissionDenied {
        /// The call.
        method: &'static str,
        /// The robot's words.
        message: String,
    },
    /// Wrong user name or password.
    #[error("the robot does not accept this user name and password")]
    InvalidLogin,
    /// The token that was to be renewed is no longer one.
    #[error("the robot does not renew this login token")]
    InvalidToken,
    /// Too many wrong passwords.
    #[error("the robot has locked this user out for a while")]
    LockedOut,
    /// The payload is known with another secret.
    #[error("the robot knows this payload with another secret")]
    InvalidCredentials,
    /// An administrator has not authorized the payload yet.
    #[error("the payload is not authorized on the robot's Payloads page yet")]
    NotAuthorized,
    /// gRPC failed.
    #[error("failed to call {method}: {code:?}: {message}")]
    Rpc {
        /// The call.
        method: &'static str,
        /// The gRPC status code.
        code: tonic::Code,
        /// The robot's words.
        message: String,
    },
    /// The robot answered that the request is wrong.
    #[error("the robot refused {method} as invalid: {message}")]
    InvalidRequest {
        /// The call.
        method: &'static str,
        /// The robot's words.
        message: String,
    },
    /// The robot answered that it has failed.
    #[error("the robot failed in {method}: {message}")]
    Internal {
        /// The call.
        method: &'static str,
        /// The robot's words.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("failed to understand the robot's answer to {method}: {what}")]
    Answer {
        /// The call.
        method: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The service is not in the directory.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// The camera has a screen whose name is none.
    #[error("failed to understand the camera's list of screens")]
    Screen(#[from] NotAScreenName),
}

impl Error {
    /// A stable machine word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoHost => "no-host",
            Self::Bind { .. } => "no-interface",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed-out",
            Self::Tls { .. } => "tls",
            Self::Certificate { .. } => "certificate",
            Self::ClockNotSet { .. } => "clock-not-set",
            Self::Pin(error) => error.kind(),
            Self::Authorities { .. } => "bad-authority-file",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::PermissionDenied { .. } => "permission-denied",
            Self::InvalidLogin => "invalid-login",
            Self::InvalidToken => "invalid-token",
            Self::LockedOut => "locked-out",
            Self::InvalidCredentials => "invalid-payload-credentials",
            Self::NotAuthorized => "not-authorized",
            Self::Rpc { .. } => "rpc",
            Self::InvalidRequest { .. } => "invalid-request",
            Self::Internal { .. } => "robot-error",
            Self::Answer { .. } | Self::Screen(_) => "bad-answer",
            Self::Directory(error) => error.kind(),
        }
    }

    /// Whether the same call can end differently without a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Bind { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Tls { .. }
            | Self::ClockNotSet { .. }
            | Self::Unauthenticated { .. }
            | Self::InvalidToken
            | Self::LockedOut
            | Self::NotAuthorized
            | Self::Rpc { .. }
            | Self::Internal { .. }
            | Self::Answer { .. } => true,
            Self::NoHost
            | Self::Certificate { .. }
            | Self::Authorities { .. }
            | Self::PermissionDenied { .. }
            | Self::InvalidLogin
            | Self::InvalidCredentials
            | Self::InvalidRequest { .. }
            | Self::Screen(_) => false,
            Self::Pin(error) => error.is_retryable(),
            Self::Directory(error) => error.is_retryable(),
        }
    }

    /// How much this says about why no robot answered: of several tries, the one that says most is told.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NoHost => 0,
            Self::Refused { .. } => 1,
            Self::Pin(_) | Self::Certificate { .. } | Self::ClockNotSet { .. } => 3,
            Self::Bind { .. }
            | Self::Tls { .. }
            | Self::Authorities { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::InvalidLogin
            | Self::InvalidToken
            | Self::LockedOut
            | Self::InvalidCredentials
            | Self::NotAuthorized
            | Self::Rpc { .. }
            | Self::InvalidRequest { .. }
            | Self::Internal { .. }
            | Self::Answer { .. }
            | Self::Directory(_)
            | Self::Screen(_) => 2,
        }
    }

    /// From a failed call. The connection's own errors are taken where they arise, in `channel`.
    pub(super) fn from_status(method: &'static str, status: &tonic::Status) -> Self {
        let code = status.code();
        let message = status.message().to_owned();
        if code == tonic::Code::Unauthenticated {
            Self::Unauthenticated { method }
        } else if code == tonic::Code::PermissionDenied {
            Self::PermissionDenied { method, message }
        } else {
            Self::Rpc {
                method,
                code,
                message,
            }
        }
    }

    /// What a login makes of this error.
    pub fn login_answer(&self) -> Answer {
        match self {
            Self::InvalidLogin => Answer::InvalidLogin,
            Self::InvalidToken => Answer::InvalidToken,
            Self::InvalidCredentials => Answer::InvalidCredentials,
            Self::NotAuthorized => Answer::NotAuthorized,
            Self::LockedOut => Answer::LockedOut,
            Self::NoHost
            | Self::Bind { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Tls { .. }
            | Self::Certificate { .. }
            | Self::ClockNotSet { .. }
            | Self::Pin(_)
            | Self::Authorities { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::Rpc { .. }
            | Self::InvalidRequest { .. }
            | Self::Internal { .. }
            | Self::Answer { .. }
            | Self::Directory(_)
            | Self::Screen(_) => Answer::Failed,
        }
    }
}

fn of_interface(interface: &Option<String>) -> String {
    interface
        .as_ref()
        .map(|name| format!(" interface '{name}'"))
        .unwrap_or_default()
}

fn of_address(address: &Option<IpAddr>) -> String {
    address
        .map(|address| format!(" address {address}"))
        .unwrap_or_default()
}
