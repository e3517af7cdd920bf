//! Why a publication is refused, or over, in the words of servers and in ours.

use super::amf::{self, Value};
use super::command::{ANSWER_LIMIT, Step};
use crate::secret::Secret;

/// How many characters of a server's words are kept.
const LONGEST_QUOTE: usize = 200;

/// The code of a refusal that had no words: the server hung up on `publish`.
pub const HUNG_UP: &str = "closed";

/// Why there is no publication, or no longer one. What a server says is quoted without the stream key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not answer.
    #[error("failed to get an answer to {} in {} s", step.name(), ANSWER_LIMIT.as_secs())]
    Timeout {
        /// What was asked.
        step: Step,
    },
    /// The server thinks that the stream before this one is still running.
    #[error("failed to publish: the server still holds the last session ({description})")]
    StaleSession {
        /// The server's words.
        description: String,
    },
    /// The server does not want this stream key.
    #[error("failed to publish: the server refuses the stream key ({code}: {description})")]
    Refused {
        /// The status code, or [`HUNG_UP`] when the server just hung up on `publish`.
        code: String,
        /// The server's words.
        description: String,
    },
    /// The path in the address is not one that the server has.
    #[error("failed to connect: the server has no application of this name ({code}: {description})")]
    NoApplication {
        /// The status code.
        code: String,
        /// The server's words.
        description: String,
    },
    /// Any other error that the server names.
    #[error("failed to publish: the server reports {code} ({description})")]
    Status {
        /// The status code.
        code: String,
        /// The server's words.
        description: String,
    },
    /// The server hung up.
    #[error("failed to keep the connection: the server closed it during {}", step.name())]
    Closed {
        /// What was going on.
        step: Step,
    },
    /// The server said something that is not AMF0.
    #[error("failed to understand the server")]
    Amf(#[from] amf::Error),
    /// The answer to `createStream` has no stream in it.
    #[error("failed to understand the server: its answer to createStream has no stream id")]
    NoStream,
}

impl Error {
    /// What an error in the server's information object means.
    pub(super) fn from_status(information: Option<&Value>, key: &Secret) -> Self {
        let text = |name| {
            let text = information
                .and_then(|object| object.get(name))
                .map(Value::to_string)
                .unwrap_or_default();
            quote(&text, key)
        };
        let (code, description) = (text("code"), text("description"));
        match code.as_str() {
            "NetStream.Publish.BadName" => Self::StaleSession { description },
            "NetStream.Publish.Rejected"
            | "NetStream.Publish.Denied"
            | "NetStream.Publish.Unauthorized"
            | "NetConnection.Connect.Rejected" => Self::Refused { code, description },
            "NetConnection.Connect.InvalidApp" => Self::NoApplication { code, description },
            _ => Self::Status { code, description },
        }
    }

    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "ingest-timeout",
            Self::StaleSession { .. } => "stale-session",
            Self::Refused { .. } => "key-refused",
            Self::NoApplication { .. } => "no-application",
            Self::Status { .. } => "ingest-status",
            Self::Closed { .. } => "ingest-closed",
            Self::Amf(_) | Self::NoStream => "ingest-protocol",
        }
    }

    /// Whether the same try may succeed a few seconds later. What a person has to mend, or the server has to forget
    /// our hammering for, is not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::NoApplication { .. } => false,
            Self::Timeout { .. }
            | Self::StaleSession { .. }
            | Self::Status { .. }
            | Self::Closed { .. }
            | Self::Amf(_)
            | Self::NoStream => true,
        }
    }
}

/// Codes that end a publication even when a server forgets to give them the level `error`.
pub(super) fn is_fatal(code: &str) -> bool {
    matches!(
        code,
        "NetStream.Failed"
            | "NetStream.Publish.Rejected"
            | "NetStream.Publish.Denied"
            | "NetStream.Publish.BadName"
            | "NetConnection.Connect.InvalidApp"
            | "NetConnection.Connect.Rejected"
            | "NetConnection.Connect.Closed"
    )
}

/// What a server says, fit for a log: without our stream key, which some quote, on one line, and not too long.
fn quote(text: &str, key: &Secret) -> String {
    let key = key.reveal();
    let name = key.split('?').next().unwrap_or_default();
    let text = [key, name]
        .into_iter()
        .filter(|part| !part.is_empty())
        .fold(text.to_owned(), |text, part| text.replace(part, "<secret>"));
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_QUOTE)
        .collect()
}
