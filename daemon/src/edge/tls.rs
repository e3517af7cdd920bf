//! TLS client configurations: system roots, extra CAs, pins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The extra CA file is not there, or is not PEM.
    #[error("failed to read the CA certificates in '{}'", path.display())]
    ExtraCa {
        /// The file that the settings name.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The extra CA file holds no certificate.
    #[error("failed to find a certificate in '{}'", path.display())]
    NoCertificate {
        /// The file that the settings name.
        path: PathBuf,
    },
    /// The extra CA file holds something that is no certificate.
    #[error("failed to use a certificate in '{}'", path.display())]
    BadCertificate {
        /// The file that the settings name.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The provider offers no protocol version that we speak.
    #[error("failed to set up TLS")]
    Provider(#[from] rustls::Error),
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ExtraCa { .. } => "ca-file-unreadable",
            Self::NoCertificate { .. } => "ca-file-empty",
            Self::BadCertificate { .. } => "ca-file-bad",
            Self::Provider(_) => "tls-setup",
        }
    }

    /// A wrong file stays wrong until a person changes it.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// The crypto that all our TLS uses. It is named, because another crate in the tree may bring a second one.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Trusts the system's roots and those in `extra_ca` (PEM).
///
/// No ALPN is set: RTMPS has none, and HTTP/1.1 needs none.
///
/// # Errors
/// When `extra_ca` cannot be used. A system without roots is logged; connections then fail one by one, with a reason.
pub fn public(extra_ca: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = system_roots();
    if let Some(path) = extra_ca {
        add_file(&mut roots, path)?;
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// Trusts only the roots in `ca` (PEM).
///
/// # Errors
/// When `ca` cannot be used.
pub fn private(ca: &Path) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    add_file(&mut roots, ca)?;
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// Leaves the decision to `verifier`: a pin, for instance.
///
/// # Errors
/// When TLS cannot be set up at all.
pub fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    Ok(builder()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "failed to read some of the system's CA certificates");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system has no CA certificates, so no public server can be trusted");
    }
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::ExtraCa {
        path: path.to_owned(),
        source,
    };
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| Error::BadCertificate {
                path: path.to_owned(),
                source,
            })?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(Error::NoCertificate {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_ca_file_is_used_or_refused_with_its_name_and_reason() {
        let good = rcgen::generate_simple_self_signed(["ca.example".to_owned()])
            .unwrap()
            .cert
            .pem();
        public(Some(file(good.as_bytes()).path())).unwrap();
        private(file(good.as_bytes()).path()).unwrap();

        let not_der = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cases: [(&[u8], &str); 3] = [
            (b"", "ca-file-empty"),
            (not_der, "ca-file-bad"),
            (b"-----BEGIN CERTIFICATE-----\n", "ca-file-unreadable"),
        ];
        for (content, kind) in cases {
            let file = file(content);
            let error = public(Some(file.path())).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(file.path().to_str().unwrap()));
        }
        assert_eq!(
            private(Path::new("/nowhere/ca.pem")).unwrap_err().kind(),
            "ca-file-unreadable"
        );
    }
}
