//! The camera's offer and our answer over HTTPS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use spotstream_core::secret::Secret;
use spotstream_core::session::signalling::{self as bodies, Invitation};

use super::https;
use super::pins;

/// The limit on the GET and on the POST, each: what the official client allows.
const LIMIT: Duration = Duration::from_secs(10);

/// An address under which the camera's signalling answers: the camera itself, or the robot that forwards to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignallingHost(SocketAddr);

impl SignallingHost {
    /// The address and port.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl From<IpAddr> for SignallingHost {
    fn from(address: IpAddr) -> Self {
        Self(SocketAddr::new(address, bodies::PORT))
    }
}

impl From<SocketAddr> for SignallingHost {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl FromStr for SignallingHost {
    type Err = std::net::AddrParseError;

    /// An address, with a port or without: then it is 31102. Names are not taken: nothing on the robot's network
    /// resolves them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse::<SocketAddr>().map(Self),
        }
    }
}

impl fmt::Display for SignallingHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why there is no offer, or the answer was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The camera does not know the token, or no longer.
    #[error("the camera at '{0}' refused our token")]
    Unauthorized(SignallingHost),
    /// Another status than 200.
    #[error("the camera at '{host}' replied with HTTP status {status}")]
    Status {
        /// Who replied.
        host: SignallingHost,
        /// What it replied.
        status: u16,
    },
    /// The camera's certificate is not the one it had before.
    #[error(transparent)]
    Pin(pins::Error),
    /// No reply.
    #[error("failed to reach the camera at '{host}'")]
    Https {
        /// Who was asked.
        host: SignallingHost,
        /// What went wrong.
        #[source]
        source: https::Error,
    },
    /// A reply that holds no offer.
    #[error(transparent)]
    Body(#[from] bodies::Error),
    /// The token has characters that no header can carry.
    #[error("the robot's token cannot be sent in a header")]
    Token,
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "unauthorized",
            Self::Status { .. } => "signalling-status",
            Self::Pin(error) => error.kind(),
            Self::Https { source, .. } => source.kind(),
            Self::Body(error) => error.kind(),
            Self::Token => "token-unusable",
        }
    }

    /// Whether the same request may succeed later. A refused token needs a new one first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unauthorized(_) | Self::Token => false,
            Self::Status { .. } => true,
            Self::Pin(error) => error.is_retryable(),
            Self::Https { source, .. } => source.is_retryable(),
            Self::Body(error) => error.is_retryable(),
        }
    }

    /// Whether nobody answered at all.
    pub(super) fn is_unreachable(&self) -> bool {
        match self {
            Self::Https {
                source: https::Error::Connect { .. } | https::Error::Timeout { .. },
                ..
            } => true,
            Self::Https { .. }
            | Self::Unauthorized(_)
            | Self::Status { .. }
            | Self::Pin(_)
            | Self::Body(_)
            | Self::Token => false,
        }
    }

    /// Whether the next address in the list may do better. A camera that answers, and refuses us or shows a changed
    /// certificate, is the same camera under every address.
    pub(super) fn is_about_this_address(&self) -> bool {
        match self {
            Self::Unauthorized(_) | Self::Pin(_) | Self::Token => false,
            Self::Status { .. } | Self::Https { .. } | Self::Body(_) => true,
        }
    }
}

/// One camera under one address.
pub(super) struct Signalling {
    pub(super) host: SignallingHost,
    pub(super) interface: Option<String>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) token: Secret,
}

impl Signalling {
    /// Asks for an offer.
    pub(super) async fn invite(&self) -> Result<Invitation, Error> {
        let body = self.send(Method::GET, Bytes::new()).await?;
        Ok(Invitation::parse(&body)?)
    }

    /// Answers it. The body of the reply says nothing.
    pub(super) async fn answer(&self, invitation: &Invitation, sdp: &str) -> Result<(), Error> {
        self.send(Method::POST, Bytes::from(invitation.answer(sdp)))
            .await
            .map(|_| ())
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<Bytes, Error> {
        let host = self.host;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", self.token.reveal())).map_err(|_| Error::Token)?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = https::Request {
            address: host.address(),
            interface: self.interface.clone(),
            server_name: ServerName::IpAddress(host.address().ip().into()),
            method,
            path: bodies::PATH.to_owned(),
            headers,
            body,
            limit: LIMIT,
        };
        let response = https::request(Arc::clone(&self.tls), request)
            .await
            .map_err(|source| {
                let pin = if let https::Error::Tls { source, .. } = &source {
                    pins::Error::in_handshake(source).cloned()
                } else {
                    None
                };
                pin.map_or(Error::Https { host, source }, Error::Pin)
            })?;
        match response.status {
            StatusCode::OK => Ok(response.body),
            StatusCode::UNAUTHORIZED => Err(Error::Unauthorized(host)),
            status => Err(Error::Status {
                host,
                status: status.as_u16(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_with_or_without_a_port() {
        let port = |text: &str| text.parse::<SignallingHost>().map(|host| host.address().port());
        assert_eq!(port("192.168.50.6"), Ok(31102));
        assert_eq!(port("127.0.0.1:4000"), Ok(4000));
        assert_eq!(port("fd00::6"), Ok(31102));
        assert!(port("spot").is_err());
    }
}
