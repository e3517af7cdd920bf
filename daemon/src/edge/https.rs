//! One HTTPS request on a connection of its own, with a limit on everything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tcp;

/// The longest body that is read: an offer is a few kilobytes, Twitch's list of servers about 30.
const LONGEST_BODY: usize = 1024 * 1024;

/// What is asked, and of whom.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to connect.
    pub address: SocketAddr,
    /// Leave by this interface alone (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// The name that the certificate must be for; also sent as SNI unless it is an address.
    pub server_name: ServerName<'static>,
    /// GET, POST, ...
    pub method: Method,
    /// Path and query, beginning with a slash.
    pub path: String,
    /// Headers beside `Host` and `Connection`, which are set here. Mark tokens with `set_sensitive`.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
    /// The limit on all of it: connecting, TLS, the request and the whole answer.
    pub limit: Duration,
}

/// The whole answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most 1 MiB.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No TCP connection.
    #[error("failed to connect to '{address}'")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No TLS: the certificate is not trusted, or the peer speaks something else.
    #[error("failed to set up TLS with '{address}'")]
    Tls {
        /// With whom.
        address: SocketAddr,
        /// What is wrong; see [`Error::tls`].
        #[source]
        source: io::Error,
    },
    /// The request cannot be written as HTTP.
    #[error("failed to put the request into words")]
    Request(#[from] http::Error),
    /// The peer answered with something that is not HTTP/1.1, or went away.
    #[error("failed to read the answer of '{address}'")]
    Http {
        /// Whose.
        address: SocketAddr,
        /// What is wrong with it.
        #[source]
        source: hyper::Error,
    },
    /// The body is longer than 1 MiB.
    #[error("failed to read the answer of '{address}': it is longer than 1 MiB")]
    TooLong {
        /// Whose.
        address: SocketAddr,
    },
    /// It took too long.
    #[error("failed to get an answer from '{address}' in {} s", limit.as_secs_f32())]
    Timeout {
        /// Whose.
        address: SocketAddr,
        /// How long it might have taken.
        limit: Duration,
    },
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Request(_) => "request",
            Self::Http { .. } => "http",
            Self::TooLong { .. } => "answer-too-long",
            Self::Timeout { .. } => "timeout",
        }
    }

    /// Whether the same request may succeed later. A certificate that is not trusted needs a person.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Http { .. } | Self::TooLong { .. } | Self::Timeout { .. } => true,
            Self::Tls { .. } => !matches!(self.tls(), Some(rustls::Error::InvalidCertificate(_))),
            Self::Request(_) => false,
        }
    }

    /// What TLS itself objected to, the verifier's reason included.
    pub fn tls(&self) -> Option<&rustls::Error> {
        match self {
            Self::Tls { source, .. } => source.get_ref()?.downcast_ref(),
            Self::Connect { .. }
            | Self::Request(_)
            | Self::Http { .. }
            | Self::TooLong { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

/// Asks once. Redirections are not followed; no status is an error.
///
/// # Errors
/// When there is no whole answer within the request's limit.
pub async fn request(tls: Arc<ClientConfig>, request: Request) -> Result<Response, Error> {
    let (address, limit) = (request.address, request.limit);
    match timeout(limit, exchange(tls, request)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { address, limit }),
    }
}

async fn exchange(tls: Arc<ClientConfig>, request: Request) -> Result<Response, Error> {
    let Request {
        address,
        interface,
        server_name,
        method,
        path,
        headers,
        body,
        limit,
    } = request;
    let stream = tcp::connect(address, interface.as_deref(), limit)
        .await
        .map_err(|source| Error::Connect { address, source })?;
    let host = host_header(&server_name, address.port());
    let stream = TlsConnector::from(tls)
        .connect(server_name, stream)
        .await
        .map_err(|source| Error::Tls { address, source })?;

    let http = |source| Error::Http { address, source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    // Dropping the set ends the connection, also when the caller stops waiting.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let mut question = http::Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host);
    if let Some(all) = question.headers_mut() {
        all.extend(headers);
        all.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let answer = sender
        .send_request(question.body(Full::new(body))?)
        .await
        .map_err(http)?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST_BODY)
        .collect()
        .await
        .map_err(|error| read_error(address, error))?;
    Ok(Response {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

fn read_error(address: SocketAddr, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(source) => Error::Http {
            address,
            source: *source,
        },
        Err(other) => {
            debug_assert!(other.is::<LengthLimitError>(), "{other}");
            Error::TooLong { address }
        }
    }
}

/// RFC 9110 section 7.2: the port is left out when it is the scheme's own; an IPv6 address is in brackets.
fn host_header(name: &ServerName<'_>, port: u16) -> String {
    let name = name.to_str();
    let host = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.into_owned()
    };
    if port == 443 {
        host
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::tls;
    use rustls::{RootCertStore, ServerConfig};
    use rustls_pki_types::PrivateKeyDer;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A server that answers one request with `answer` and gives back what it was asked.
    async fn serve(answer: Vec<u8>) -> (SocketAddr, Arc<ClientConfig>, tokio::task::JoinHandle<String>) {
        let made = rcgen::generate_simple_self_signed(["ingest.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(server)).accept(stream).await else {
                return String::new();
            };
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            let _ = stream.write_all(&answer).await;
            // A client that has seen enough goes away first.
            let _ = stream.shutdown().await;
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (address, Arc::new(client), served)
    }

    fn question(address: SocketAddr, name: &'static str) -> Request {
        Request {
            address,
            interface: None,
            server_name: ServerName::try_from(name).unwrap(),
            method: Method::GET,
            path: "/ingests".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limit: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn a_request_brings_status_headers_and_body_whatever_the_status() {
        let answer = b"HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno".to_vec();
        let (address, tls, served) = serve(answer).await;
        let response = request(tls, question(address, "ingest.example")).await.unwrap();
        assert_eq!((response.status.as_u16(), &response.body[..]), (401, &b"no"[..]));
        assert_eq!(response.headers["x-a"], "b");
        let asked = served.await.unwrap();
        assert!(asked.starts_with("GET /ingests HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains(&format!("host: ingest.example:{}\r\n", address.port())),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_an_error_that_trying_again_does_not_mend() {
        let (address, tls, _served) = serve(Vec::new()).await;
        let error = request(tls, question(address, "other.example"))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), ("tls", false), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_off() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(2 * LONGEST_BODY, b'x');
        let (address, tls, _served) = serve(answer).await;
        let error = request(tls, question(address, "ingest.example"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "answer-too-long", "{error:?}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_costs_the_limit_and_no_more() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (_, tls, _served) = serve(Vec::new()).await;
        let mut question = question(listener.local_addr().unwrap(), "ingest.example");
        question.limit = Duration::from_millis(50);
        assert_eq!(request(tls, question).await.unwrap_err().kind(), "timeout");
    }
}
