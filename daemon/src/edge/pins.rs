//! Certificates trusted on first use, and what changed since.
//!
//! The Spot CAM shows a self-signed certificate, and the robot one under an authority whose certificate the user may
//! not have. What cannot be traced to a root is trusted when it is first seen, kept, and from then on expected.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::write_atomically;

/// Whose certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The robot's gRPC services on :443. Each authority may have a certificate of its own, so each has a pin.
    Robot,
    /// The Spot CAM's signalling on :31102. One certificate, whichever address it is reached by.
    Camera,
}

impl Role {
    /// What its pin is filed under when the client asked for `server`.
    fn pin_name(self, server: &ServerName<'_>) -> String {
        match self {
            Self::Robot => server.to_str().into_owned(),
            Self::Camera => "camera".to_owned(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Robot => "robot",
            Self::Camera => "camera",
        })
    }
}

/// A role is `robot` or `camera`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a certificate is pinned for 'robot' or 'camera', nothing else")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Self::Robot, Self::Camera]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or(UnknownRole)
    }
}

/// The SHA-256 of a certificate in DER, written as `85:10:35:…` like a browser shows it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// A fingerprint is 32 bytes in hexadecimal.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a certificate fingerprint is 64 hexadecimal digits, with or without colons")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits: Vec<u32> = text
            .trim()
            .trim_start_matches("sha256:")
            .chars()
            .filter(|&c| c != ':')
            .map(|c| c.to_digit(16).ok_or(NotAFingerprint))
            .collect::<Result<_, _>>()?;
        if digits.len() != 64 {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair
                .iter()
                .try_fold(0_u8, |high, &low| Some((high << 4) | u8::try_from(low).ok()?))
                .ok_or(NotAFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NotAFingerprint;

    fn try_from(text: String) -> Result<Self, NotAFingerprint> {
        text.parse()
    }
}

/// Why a certificate was not trusted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another certificate than the one we know: the robot was reinstalled or swapped, or somebody is in between.
    #[error("the {role} shows another certificate than before ('{name}': known {pinned}, shown {shown})")]
    Changed {
        /// Whose it is.
        role: Role,
        /// What the pin is filed under.
        name: String,
        /// The one we know.
        pinned: Fingerprint,
        /// The one we were shown.
        shown: Fingerprint,
    },
    /// The file of pins cannot be read, so nothing can be trusted by it.
    #[error("failed to read the known certificates in '{}'", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A certificate that cannot be kept is not trusted: the next one would be a first one again.
    #[error("failed to keep the known certificates in '{}'", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// There is nothing to accept.
    #[error("no other certificate of the {0} was seen, so there is none to accept")]
    NothingRefused(Role),
}

impl Error {
    /// A stable machine word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "certificate-changed",
            Self::Read { .. } | Self::Write { .. } => "pins-unusable",
            Self::NothingRefused(_) => "nothing-to-accept",
        }
    }

    /// Whether the same try can end differently without a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::Read { .. } | Self::NothingRefused(_) => false,
            Self::Write { .. } => true,
        }
    }

    /// The pin error inside a failed TLS handshake, if it was that.
    pub fn in_handshake(error: &io::Error) -> Option<&Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else {
            return None;
        };
        inner.downcast_ref()
    }
}

/// One known certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Whose it is.
    pub role: Role,
    /// An authority of the robot, or `camera`.
    pub name: String,
    /// The one that is expected.
    pub pinned: Option<Fingerprint>,
    /// Another one that was shown since, and refused.
    pub refused: Option<Fingerprint>,
}

/// The known certificates, in one file.
///
/// The file is read anew for each handshake, so that `spotstreamctl pin accept` reaches a running daemon.
#[derive(Debug)]
pub struct PinStore {
    path: PathBuf,
    accepted: Vec<(Role, Fingerprint)>,
    writing: Mutex<()>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pins {
    robot: Names,
    camera: Names,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Names {
    pinned: BTreeMap<String, Fingerprint>,
    refused: BTreeMap<String, Fingerprint>,
}

impl Pins {
    fn of(&mut self, role: Role) -> &mut Names {
        match role {
            Role::Robot => &mut self.robot,
            Role::Camera => &mut self.camera,
        }
    }
}

impl PinStore {
    /// Keeps the pins in `path`, which need not exist yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            accepted: Vec::new(),
            writing: Mutex::new(()),
        }
    }

    /// Trusts the certificate with this fingerprint, whatever was pinned before: the setting that a user makes from
    /// a Fault's text.
    #[must_use]
    pub fn accepting(mut self, role: Role, fingerprint: Fingerprint) -> Self {
        self.accepted.push((role, fingerprint));
        self
    }

    /// A TLS client that trusts by these pins. No ALPN protocol is set.
    ///
    /// # Errors
    /// When the TLS library supports none of its own protocol versions.
    pub fn client_config(self: &Arc<Self>, role: Role) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(self.verifier(role, &provider));
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth())
    }

    /// The verifier alone, for a client that is built elsewhere.
    pub fn verifier(self: &Arc<Self>, role: Role, provider: &CryptoProvider) -> PinVerifier {
        PinVerifier {
            store: Arc::clone(self),
            role,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Every known and every refused certificate.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn list(&self) -> Result<Vec<Pin>, Error> {
        let mut pins = self.read()?;
        let mut list = Vec::new();
        for role in [Role::Robot, Role::Camera] {
            let Names { pinned, mut refused } = std::mem::take(pins.of(role));
            for (name, known) in pinned {
                let refused = refused.remove(&name);
                list.push(Pin {
                    role,
                    name,
                    pinned: Some(known),
                    refused,
                });
            }
            list.extend(refused.into_iter().map(|(name, shown)| Pin {
                role,
                name,
                pinned: None,
                refused: Some(shown),
            }));
        }
        Ok(list)
    }

    /// Trusts what was last refused in place of what was known, and says which it is now.
    ///
    /// All other pins of the role are forgotten: one changed certificate means another robot or a reinstalled one,
    /// and its other certificates will have changed too.
    ///
    /// # Errors
    /// [`Error::NothingRefused`], [`Error::Read`], [`Error::Write`].
    pub fn accept(&self, role: Role) -> Result<Vec<Pin>, Error> {
        {
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut pins = self.read()?;
            let names = pins.of(role);
            if names.refused.is_empty() {
                return Err(Error::NothingRefused(role));
            }
            names.pinned = std::mem::take(&mut names.refused);
            self.write(&pins)?;
        }
        Ok(self.list()?.into_iter().filter(|pin| pin.role == role).collect())
    }

    fn check(&self, role: Role, name: String, shown: Fingerprint) -> Result<(), Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pins = self.read()?;
        let names = pins.of(role);
        let known = names.pinned.get(&name).copied();
        let trusted = known.is_none_or(|known| known == shown) || self.accepted.contains(&(role, shown));
        // A refused certificate comes back with every try; the card is written when there is news only.
        let news = if trusted {
            let was_refused = names.refused.remove(&name).is_some();
            names.pinned.insert(name.clone(), shown) != Some(shown) || was_refused
        } else {
            names.refused.insert(name.clone(), shown) != Some(shown)
        };
        if news {
            self.write(&pins)?;
        }
        match known {
            Some(pinned) if !trusted => Err(Error::Changed {
                role,
                name,
                pinned,
                shown,
            }),
            Some(known) if known == shown => Ok(()),
            Some(_) | None => {
                tracing::info!(%role, name, fingerprint = %shown, "trusted a certificate and pinned it");
                Ok(())
            }
        }
    }

    fn write(&self, pins: &Pins) -> Result<(), Error> {
        toml::to_string(pins)
            .map_err(io::Error::other)
            .and_then(|text| write_atomically(&self.path, text.as_bytes(), 0o600))
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source: Arc::new(source),
            })
    }

    fn read(&self) -> Result<Pins, Error> {
        let failed = |source| Error::Read {
            path: self.path.clone(),
            source: Arc::new(source),
        };
        match std::fs::read_to_string(&self.path) {
            Ok(text) => toml::from_str(&text).map_err(|error| failed(io::Error::other(error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pins::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Trusts by a [`PinStore`] instead of by a root. The peer must still prove that it holds the certificate's key.
#[derive(Debug)]
pub struct PinVerifier {
    store: Arc<PinStore>,
    role: Role,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.store
            .check(
                self.role,
                self.role.pin_name(server_name),
                Fingerprint::of(end_entity),
            )
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_with_and_without_colons() {
        let fingerprint = Fingerprint::of(b"a certificate");
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 32 * 3 - 1);
        assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
        assert_eq!(
            text.replace(':', "")
                .to_lowercase()
                .parse::<Fingerprint>()
                .unwrap(),
            fingerprint
        );
        for wrong in [
            "",
            "85:10",
            &text.replace(':', "-"),
            &format!("{text}00"),
            &text.replace(':', ";"),
        ] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_camera_has_one_pin_whatever_its_address_and_the_robot_one_for_each_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = PinStore::new(folder.path().join("pins.toml"));
        let names = |role: Role, server: &'static str| role.pin_name(&ServerName::try_from(server).unwrap());
        let (ours, others) = (Fingerprint::of(b"ours"), Fingerprint::of(b"others"));
        store
            .check(Role::Camera, names(Role::Camera, "192.168.50.6"), ours)
            .unwrap();
        store
            .check(Role::Camera, names(Role::Camera, "192.168.50.3"), others)
            .unwrap_err();
        store
            .check(Role::Robot, names(Role::Robot, "auth.spot.robot"), ours)
            .unwrap();
        store
            .check(Role::Robot, names(Role::Robot, "api.spot.robot"), others)
            .unwrap();
        let list = store.list().unwrap();
        let names: Vec<&str> = list.iter().map(|pin| pin.name.as_str()).collect();
        assert_eq!(names, ["api.spot.robot", "auth.spot.robot", "camera"]);
        assert_eq!(list[2].refused, Some(others));
    }

    #[test]
    fn a_refused_certificate_that_comes_back_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = PinStore::new(folder.path().join("pins.toml"));
        let check =
            |contents: &[u8]| store.check(Role::Camera, "camera".to_owned(), Fingerprint::of(contents));
        check(b"known").unwrap();
        check(b"other").unwrap_err();
        // Each write is a new file, so its inode tells.
        let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(store.path()).unwrap());
        let keep = std::fs::File::open(store.path()).unwrap();
        let before = inode();
        for _ in 0..5 {
            check(b"other").unwrap_err();
        }
        assert_eq!(inode(), before);
        check(b"known").unwrap();
        assert_ne!(inode(), before);
        drop(keep);
        assert_eq!(
            store.accept(Role::Camera).unwrap_err().kind(),
            "nothing-to-accept"
        );
    }

    #[test]
    fn pins_that_cannot_be_read_trust_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let store = PinStore::new(folder.path().join("pins.toml"));
        std::fs::write(store.path(), "[camera.pinned]\ncamera = \"12\"").unwrap();
        let error = store
            .check(Role::Camera, "camera".to_owned(), Fingerprint::of(b"any"))
            .unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), ("pins-unusable", false));
    }
}
