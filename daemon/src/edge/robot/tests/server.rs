//! A server that speaks HTTP/2 and knows nothing of the client.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::lock;

/// One call as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) server_name: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
}

pub(super) type Answers = BTreeMap<&'static str, Bytes>;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct OneKey(Arc<CertifiedKey>);

impl ResolvesServerCert for OneKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl Server {
    pub(super) async fn start(certificate: &Certificate, answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, certificate, answers, usize::MAX)
    }

    /// Closes each connection after `calls` calls.
    pub(super) fn on(
        listener: TcpListener,
        certificate: &Certificate,
        answers: Answers,
        calls: usize,
    ) -> Self {
        let provider = Arc::new(ring::default_provider());
        let key = provider
            .key_provider
            .load_private_key(certificate.key.clone_key())
            .unwrap();
        let key = Arc::new(CertifiedKey::new(vec![certificate.certificate.clone()], key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneKey(key)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not like the certificate ends here.
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                serve(stream, answers.clone(), Arc::clone(&log), calls).await;
            }
        });
        Self { address, seen, task }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

/// Serves one connection; others go on beside it unless it is to be closed.
async fn serve(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    answers: Answers,
    seen: Arc<Mutex<Vec<Seen>>>,
    calls: usize,
) {
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    let (count, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let path = request.uri().path().to_owned();
        let answer = answers
            .iter()
            .find(|(method, _)| path.ends_with(&format!("/{method}")));
        let (body, status) = answer.map_or((Bytes::new(), "12"), |(_, body)| (body.clone(), "0"));
        let authorization = request.headers().get("authorization");
        // The metadata of a fault is a status without a body.
        let status = if authorization.is_some_and(|value| value == "Bearer expired") {
            "16"
        } else {
            status
        };
        lock(&seen).push(Seen {
            server_name: server_name.clone(),
            authority: text(request.uri().authority().map(|authority| authority.as_str())),
            scheme: text(request.uri().scheme_str()),
            path,
            authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        });
        let _ = count.send(());
        async move { Ok::<_, Infallible>(grpc(body, status)) }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    if calls == usize::MAX {
        tokio::spawn(connection);
        return;
    }
    let mut connection = std::pin::pin!(connection);
    let mut left = calls;
    loop {
        tokio::select! {
            _ = &mut connection => return,
            _ = counted.recv() => {
                left -= 1;
                if left == 0 {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn grpc(
    message: Bytes,
    status: &'static str,
) -> Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>> {
    let mut body = BytesMut::new();
    if status == "0" {
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put(message);
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Full::new(body.freeze()).with_trailers(async move { Some(Ok(trailers)) }))
        .unwrap()
}

pub(super) struct Certificate {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(super) folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(super) fn pem(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn issue(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        Certificate {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}
