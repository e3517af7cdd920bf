//! TLS that proves who a server is, and tells a wrong clock from a wrong server.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::warn;

/// How many certificates of a chain may each be for another time than our clock's.
const MOST_TIMES: usize = 4;

/// Why a server could not prove itself.
#[derive(Debug)]
pub(super) enum Failure {
    /// Everything about its certificate is right but the time.
    AnotherTime,
    /// It is not the server that was meant, or speaks no TLS.
    Stranger(rustls::Error),
    /// The connection broke before there was a proof.
    Broken(io::Error),
}

/// Whom to trust. It is loaded for a check and dropped after it, so that the roots take no memory in between.
#[derive(Clone, Debug)]
pub(super) struct Verifier(Option<Arc<AnyTime>>);

impl Verifier {
    /// The system's roots, and those in `extra_ca` (PEM). What cannot be read is logged, and trusted by nobody.
    pub(super) fn load(extra_ca: Option<&str>) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "failed to read some of the system's CA certificates");
        }
        roots.add_parsable_certificates(found.certs);
        if let Some(path) = extra_ca {
            match CertificateDer::pem_file_iter(Path::new(path)) {
                Ok(certificates) => {
                    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
                }
                Err(error) => warn!("failed to read the CA certificates in '{path}': {error}"),
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Self(match verifier {
            Ok(inner) => Some(Arc::new(AnyTime { inner })),
            Err(error) => {
                warn!(%error, "there are no CA certificates, so no server can prove who it is");
                None
            }
        })
    }
}

/// Shakes hands with `host`, which is a name or an address.
///
/// # Errors
/// When it is not the host, or the connection breaks.
pub(super) async fn connect(
    Verifier(verifier): Verifier,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let stranger = |error: CertificateError| Failure::Stranger(rustls::Error::InvalidCertificate(error));
    let verifier = verifier.ok_or_else(|| stranger(CertificateError::UnknownIssuer))?;
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| stranger(CertificateError::NotValidForName))?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Failure::Stranger)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(failure)
}

fn failure(error: io::Error) -> Failure {
    match error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidCertificate(error)) if time_of(error).is_some() => Failure::AnotherTime,
        Some(error) => Failure::Stranger(error.clone()),
        None => Failure::Broken(error),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The usual rules (webpki), but an error of time is left over only when nothing else is wrong.
///
/// webpki looks at the dates before it looks at who signed. A portal's own certificate that has expired, too, would
/// pass for a wrong clock.
#[derive(Debug)]
struct AnyTime {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyTime {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |now| {
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let (by_our_clock, mut time) = match verify(now) {
            Err(rustls::Error::InvalidCertificate(error)) if time_of(&error).is_some() => {
                let time = time_of(&error);
                (error, time)
            }
            other => return other,
        };
        for _ in 0..MOST_TIMES {
            let Some(another) = time else { break };
            time = match verify(another) {
                Ok(_) => return Err(by_our_clock.into()),
                Err(rustls::Error::InvalidCertificate(error)) if time_of(&error).is_some() => time_of(&error),
                Err(other) => return Err(other),
            };
        }
        // No one time fits all of them, so it is not our clock.
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The nearest time at which a certificate would have been right, when time is what is wrong with it.
fn time_of(error: &CertificateError) -> Option<UnixTime> {
    if let CertificateError::NotValidYetContext { not_before, .. } = error {
        Some(*not_before)
    } else if let CertificateError::ExpiredContext { not_after, .. } = error {
        Some(*not_after)
    } else {
        None
    }
}
