//! One connection per authority: TCP to the robot's address, TLS and HTTP/2 to the authority's name.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use spotstream_core::robot::directory::Authority;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use super::error::Error;
use crate::edge::bind::Bind;
use crate::edge::pins::{PinStore, Role};
use crate::edge::tcp;

/// The time for TCP to an address on a local network.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The time for a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// No clock that is right shows an earlier time than 2025-01-01, in seconds since 1970.
const CLOCK_IS_SET_AFTER: u64 = 1_735_689_600;
const SECONDS_PER_YEAR: u64 = 31_556_952;

/// By what the robot's certificates are trusted.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// On first use, then by the pin.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn pinned(pins: &Arc<PinStore>) -> Result<Self, Error> {
        pins.client_config(Role::Robot)
            .map(Self::with_http2)
            .map_err(Self::unusable("the pins".as_ref()))
    }

    /// By the certificates in the PEM file at `path`, and for the authority's name.
    ///
    /// # Errors
    /// [`Error::Authorities`].
    pub fn authorities(path: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Authorities {
            path: path.to_owned(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("there is no certificate in it".to_owned()));
        }
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| Self::with_http2(builder.with_root_certificates(roots).with_no_client_auth()))
            .map_err(Self::unusable(path))
    }

    fn with_http2(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(Arc::new(config))
    }

    fn unusable(path: &Path) -> impl FnOnce(rustls::Error) -> Error {
        move |error| Error::Authorities {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// A connection to one authority, which is made on the first call and again when it has broken.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) channel: Channel,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Line {
    pub(super) fn new(dialer: Dialer) -> Result<Self, Error> {
        let uri = format!("https://{}", dialer.authority);
        let endpoint = Endpoint::from_shared(uri).map_err(|error| Error::Answer {
            method: "ListServiceEntries",
            what: format!("the authority '{}' is no address: {error}", dialer.authority),
        })?;
        let failure = Arc::clone(&dialer.failure);
        Ok(Self {
            channel: endpoint.connect_with_connector_lazy(dialer),
            failure,
        })
    }

    /// Why the connection could not be made, once: tonic keeps only the text of it.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes the connections of one [`Line`].
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) address: SocketAddr,
    pub(super) authority: Authority,
    pub(super) bind: Bind,
    pub(super) trust: Trust,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Dialer {
    pub(super) fn new(address: SocketAddr, authority: Authority, bind: Bind, trust: Trust) -> Self {
        Self {
            address,
            authority,
            bind,
            trust,
            failure: Arc::default(),
        }
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, Error> {
        let stream = match timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(stream) => stream?,
            Err(_) => {
                return Err(Error::TimedOut {
                    task: "connect to the robot",
                    limit: CONNECT_LIMIT,
                });
            }
        };
        let name = ServerName::try_from(self.authority.as_str().to_owned())
            .map_err(|error| self.tls_error(io::Error::other(error)))?;
        let handshake = TlsConnector::from(Arc::clone(&self.trust.0)).connect(name, stream);
        match timeout(HANDSHAKE_LIMIT, handshake).await {
            Ok(stream) => stream.map_err(|error| self.tls_error(error)),
            Err(_) => Err(Error::TimedOut {
                task: "set up TLS with the robot",
                limit: HANDSHAKE_LIMIT,
            }),
        }
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        let socket = self.socket().map_err(|error| Error::Bind {
            interface: self.bind.interface.clone(),
            address: self.bind.address,
            source: Arc::new(error),
        })?;
        let address = self.address;
        socket.connect(address).await.map_err(|error| {
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let source = Arc::new(error);
            if refused {
                Error::Refused { address, source }
            } else {
                Error::Unreachable { address, source }
            }
        })
    }

    fn socket(&self) -> io::Result<TcpSocket> {
        let socket = tcp::socket_to(self.address, self.bind.interface.as_deref())?;
        if let Some(address) = self.bind.address_for(self.address) {
            socket.bind(SocketAddr::new(address, 0))?;
        }
        Ok(socket)
    }

    fn tls_error(&self, error: io::Error) -> Error {
        if let Some(error) = crate::edge::pins::Error::in_handshake(&error) {
            return Error::Pin(error.clone());
        }
        let authority = self.authority.clone();
        match error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>())
        {
            Some(rustls::Error::InvalidCertificate(reason)) => {
                certificate_error(authority, reason, SystemTime::now())
            }
            _ => Error::Tls {
                authority,
                source: Arc::new(error),
            },
        }
    }
}

/// A box without a battery-backed clock starts in the past, where no certificate is valid yet. That is another thing
/// to tell a person than a certificate that is wrong.
fn certificate_error(authority: Authority, reason: &CertificateError, now: SystemTime) -> Error {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let early = matches!(
        reason,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
    );
    if early && seconds < CLOCK_IS_SET_AFTER {
        return Error::ClockNotSet {
            authority,
            year: 1970 + seconds / SECONDS_PER_YEAR,
        };
    }
    Error::Certificate {
        authority,
        source: rustls::Error::InvalidCertificate(reason.clone()),
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            dialer.dial().await.map(TokioIo::new).inspect_err(|error| {
                *dialer.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_not_set_is_told_apart_from_a_wrong_certificate() {
        let error = |reason, seconds| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            certificate_error("api.spot.robot".parse().unwrap(), &reason, now)
        };
        let in_1970 = error(CertificateError::NotValidYet, 77);
        assert_eq!((in_1970.kind(), in_1970.is_retryable()), ("clock-not-set", true));
        assert!(
            in_1970
                .to_string()
                .ends_with("clock says the year 1970, so it is not set"),
            "{in_1970}"
        );
        assert_eq!(error(CertificateError::UnknownIssuer, 77).kind(), "certificate");
        assert_eq!(
            error(CertificateError::NotValidYet, CLOCK_IS_SET_AFTER + 1).kind(),
            "certificate"
        );
    }
}
