//! Certificates: a CA and one leaf for all of the robot's authorities, and self-signed ones for the camera.
//!
//! They are kept in the state folder, so that a simulator that starts again is the same robot.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

/// The certificates of a robot, made where they are missing.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// PEM of the leaf, its CA and the leaf's key.
    robot: String,
    /// PEM of the camera's certificate and key.
    camera: String,
}

impl Certificates {
    /// Leaves the CA for clients in `robot-ca.pem`.
    pub(crate) fn load_or_make(state: &Path) -> anyhow::Result<Self> {
        let robot = kept(&state.join("robot.pem"), || {
            let (ca, leaf) = robot_certificates()?;
            write(&state.join("robot-ca.pem"), &ca)?;
            Ok(leaf)
        })?;
        let camera = kept(&state.join("camera.pem"), || self_signed("spot-cam"))?;
        Ok(Self { robot, camera })
    }

    /// gRPC: HTTP/2 only.
    pub(crate) fn robot_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        config(&self.robot, &[b"h2"])
    }

    pub(crate) fn camera_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        config(&self.camera, &[b"http/1.1"])
    }
}

/// A new certificate for the camera, as after a factory reset.
pub(crate) fn renew_camera(state: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let pem = self_signed("spot-cam")?;
    write(&state.join("camera.pem"), &pem)?;
    config(&pem, &[b"http/1.1"])
}

/// The certificate of the camera's DTLS, made anew at every start.
#[derive(Debug, Clone)]
pub(crate) struct DtlsIdentity {
    /// PEM of the certificate and its key.
    pub(crate) pem: String,
    /// SHA-256 as it stands in an SDP (RFC 8122, section 5).
    pub(crate) fingerprint: String,
}

/// ECDSA, since clients exist that take no RSA.
pub(crate) fn dtls_identity() -> anyhow::Result<DtlsIdentity> {
    let pem = self_signed("webrtc")?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes())?;
    let fingerprint = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":");
    Ok(DtlsIdentity { pem, fingerprint })
}

/// PEM of a self-signed P-256 certificate and its key.
fn self_signed(name: &str) -> anyhow::Result<String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = named(name)?.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

fn robot_certificates() -> anyhow::Result<(String, String)> {
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut ca = named("Simulated Spot Root CA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = CertificateParams::new(vec!["*.spot.robot".to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "spot.robot");
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let chain = leaf.pem() + &ca_pem + &key.serialize_pem();
    Ok((ca_pem, chain))
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn config(pem: &str, protocols: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn kept(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    if let Ok(text) = std::fs::read_to_string(path) {
        return Ok(text);
    }
    let text = make()?;
    write(path, &text)?;
    Ok(text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write '{}'", path.display()))
}
