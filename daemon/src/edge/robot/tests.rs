//! TLS, names, pins and answers, against a server that speaks HTTP/2 and knows nothing of the client.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use spotstream_core::robot::login::{Credentials, PayloadCredentials};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::edge::pins::{self, Fingerprint, PinStore, Role};

/// One call as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    server_name: Option<String>,
    authority: Option<String>,
    scheme: Option<String>,
    path: String,
    authorization: Option<String>,
}

type Answers = BTreeMap<&'static str, Bytes>;

struct Server {
    address: SocketAddr,
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
    async fn start(certificate: &Certificate, answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, certificate, answers, usize::MAX)
    }

    /// Closes each connection after `calls` calls.
    fn on(listener: TcpListener, certificate: &Certificate, answers: Answers, calls: usize) -> Self {
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

    fn seen(&self) -> Vec<Seen> {
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

struct Certificate {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn pem(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn issue(&self, name: &str) -> Certificate {
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

fn ok() -> Option<proto::ResponseHeader> {
    header(proto::common_error::Code::Ok.into())
}

fn header(code: i32) -> Option<proto::ResponseHeader> {
    let error = Some(proto::CommonError {
        code,
        ..Default::default()
    });
    Some(proto::ResponseHeader {
        error,
        ..Default::default()
    })
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn robot_id() -> Bytes {
    let robot_id = proto::RobotId {
        serial_number: "spot-1".to_owned(),
        ..Default::default()
    };
    encoded(&proto::RobotIdResponse {
        header: ok(),
        robot_id: Some(robot_id),
    })
}

fn auth(status: i32, token: &str) -> Bytes {
    encoded(&proto::GetAuthTokenResponse {
        header: ok(),
        status,
        token: token.to_owned(),
    })
}

fn services() -> Bytes {
    let entry = proto::ServiceEntry {
        name: "some-name".to_owned(),
        authority: "cam.spot.robot".to_owned(),
        service_type: Some(proto::service_entry::ServiceType::Type(
            Service::StreamQuality.type_name().to_owned(),
        )),
        ..Default::default()
    };
    encoded(&proto::ListServiceEntriesResponse {
        header: ok(),
        service_entries: vec![entry],
    })
}

fn answers() -> Answers {
    let params = Some(spot_cam::StreamParams {
        targetbitrate: Some(2_000_000),
        ..Default::default()
    });
    Answers::from([
        ("GetRobotId", robot_id()),
        ("GetAuthToken", auth(1, "token")),
        ("ListServiceEntries", services()),
        (
            "GetStreamParams",
            encoded(&spot_cam::GetStreamParamsResponse { header: ok(), params }),
        ),
    ])
}

fn plan(hosts: Vec<SocketAddr>, trust: Trust) -> Plan {
    Plan {
        hosts,
        bind: Bind::default(),
        trust,
        client_name: "spotstreamd-test".to_owned(),
    }
}

fn user() -> Credentials {
    Credentials::User {
        name: "user".to_owned(),
        password: Secret::new("password"),
    }
}

#[tokio::test]
async fn each_service_is_asked_by_its_own_name_and_with_the_token_once_there_is_one() {
    let ca = Authority::new();
    let server = Server::start(&ca.issue("*.spot.robot"), answers()).await;
    let trust = Trust::authorities(&ca.pem()).unwrap();
    let robot = Robot::connect(&plan(vec![server.address], trust)).await.unwrap();
    assert_eq!(
        (robot.address(), robot.identity().serial_number.as_str()),
        (server.address, "spot-1")
    );
    robot.log_in(&user()).await.unwrap();
    robot.services().await.unwrap();
    let parameters = robot.stream_parameters().await.unwrap();
    assert_eq!(
        parameters.target_bitrate.map(|rate| rate.as_bps()),
        Some(2_000_000)
    );

    let expected = [
        ("id.spot.robot", "/bosdyn.api.RobotIdService/GetRobotId", None),
        ("auth.spot.robot", "/bosdyn.api.AuthService/GetAuthToken", None),
        (
            "api.spot.robot",
            "/bosdyn.api.DirectoryService/ListServiceEntries",
            Some("Bearer token"),
        ),
        (
            "cam.spot.robot",
            "/bosdyn.api.spot_cam.StreamQualityService/GetStreamParams",
            Some("Bearer token"),
        ),
    ]
    .map(|(name, path, authorization)| Seen {
        server_name: Some(name.to_owned()),
        authority: Some(name.to_owned()),
        scheme: Some("https".to_owned()),
        path: path.to_owned(),
        authorization: authorization.map(str::to_owned),
    });
    assert_eq!(server.seen(), expected);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_authority_is_not_trusted() {
    let ca = Authority::new();
    let other = Authority::new();
    for certificate in [ca.issue("robot.example"), other.issue("*.spot.robot")] {
        let server = Server::start(&certificate, answers()).await;
        let trust = Trust::authorities(&ca.pem()).unwrap();
        let error = Robot::connect(&plan(vec![server.address], trust))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            ("certificate", false),
            "{error}"
        );
        assert_eq!(server.seen(), []);
    }
}

#[tokio::test]
async fn a_certificate_is_trusted_on_first_use_and_another_one_is_refused_until_a_person_accepts_it() {
    let ca = Authority::new();
    let (first, second) = (ca.issue("self.signed"), ca.issue("self.signed"));
    let pins = Arc::new(PinStore::new(ca.folder.path().join("pins.toml")));
    let connect = async |certificate: &Certificate, pins: &Arc<PinStore>| {
        let server = Server::start(certificate, answers()).await;
        Robot::connect(&plan(vec![server.address], Trust::pinned(pins).unwrap()))
            .await
            .map(drop)
    };
    connect(&first, &pins).await.unwrap();
    connect(&first, &pins).await.unwrap();

    let error = connect(&second, &pins).await.unwrap_err();
    let (known, shown) = (
        Fingerprint::of(&first.certificate),
        Fingerprint::of(&second.certificate),
    );
    let Error::Pin(pins::Error::Changed {
        pinned,
        shown: refused,
        ..
    }) = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*pinned, *refused), (known, shown));
    assert_eq!(
        (error.kind(), error.is_retryable()),
        ("certificate-changed", false)
    );
    assert!(error.to_string().contains(&known.to_string()) && error.to_string().contains(&shown.to_string()));

    // The known one is still good, and a setting can vouch for the other.
    connect(&first, &pins).await.unwrap();
    let vouched = ca.folder.path().join("vouched.toml");
    std::fs::copy(pins.path(), &vouched).unwrap();
    let vouched = Arc::new(PinStore::new(vouched).accepting(Role::Robot, shown));
    connect(&second, &vouched).await.unwrap();

    connect(&second, &pins).await.unwrap_err();
    let now = pins.accept(Role::Robot).unwrap();
    assert_eq!(
        now.iter().map(|pin| pin.pinned).collect::<Vec<_>>(),
        [Some(shown)]
    );
    connect(&second, &pins).await.unwrap();
    assert_eq!(
        connect(&first, &pins).await.unwrap_err().kind(),
        "certificate-changed"
    );
}

#[tokio::test]
async fn a_pinned_certificate_without_its_key_is_not_trusted() {
    let ca = Authority::new();
    let (real, thief) = (ca.issue("self.signed"), ca.issue("self.signed"));
    let pins = Arc::new(PinStore::new(ca.folder.path().join("pins.toml")));
    let stolen = Certificate {
        certificate: real.certificate.clone(),
        key: thief.key.clone_key(),
    };
    for (certificate, kind) in [(&real, None), (&stolen, Some("certificate"))] {
        let server = Server::start(certificate, answers()).await;
        let robot = Robot::connect(&plan(vec![server.address], Trust::pinned(&pins).unwrap())).await;
        assert_eq!(robot.err().map(|error| error.kind()), kind);
    }
}

#[tokio::test]
async fn hosts_are_tried_in_order_and_the_one_that_answers_is_told() {
    let ca = Authority::new();
    let server = Server::start(&ca.issue("*.spot.robot"), answers()).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let trust = Trust::authorities(&ca.pem()).unwrap();
    let robot = Robot::connect(&plan(vec![nobody, server.address], trust.clone()))
        .await
        .unwrap();
    assert_eq!(robot.address(), server.address);
    let error = Robot::connect(&plan(vec![nobody], trust.clone()))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), ("refused", true));
    assert_eq!(
        Robot::connect(&plan(vec![], trust)).await.unwrap_err().kind(),
        "no-host"
    );
}

#[tokio::test]
async fn of_several_failures_the_one_that_says_most_is_told() {
    let ca = Authority::new();
    let server = Server::start(&Authority::new().issue("*.spot.robot"), answers()).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let trust = Trust::authorities(&ca.pem()).unwrap();
    for hosts in [vec![nobody, server.address], vec![server.address, nobody]] {
        assert_eq!(
            Robot::connect(&plan(hosts, trust.clone()))
                .await
                .unwrap_err()
                .kind(),
            "certificate"
        );
    }
}

#[tokio::test]
async fn a_connection_that_the_robot_closes_is_made_again_by_the_next_call() {
    let ca = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::on(listener, &ca.issue("*.spot.robot"), answers(), 1);
    let trust = Trust::authorities(&ca.pem()).unwrap();
    let robot = Robot::connect(&plan(vec![server.address], trust)).await.unwrap();
    for _ in 0..3 {
        robot.robot_id().await.unwrap();
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn every_way_in_which_a_login_fails_has_a_kind_of_its_own() {
    let ca = Authority::new();
    let certificate = ca.issue("*.spot.robot");
    let payload_token = |status| {
        encoded(&proto::GetPayloadAuthTokenResponse {
            header: ok(),
            status,
            token: String::new(),
        })
    };
    let payload = Credentials::Payload(PayloadCredentials {
        guid: "78b076a2-b4ba-491d-a099-738928c4410c".to_owned(),
        secret: Secret::new("0123456789abcdef"),
    });
    for (credentials, method, answer, kind) in [
        (user(), "GetAuthToken", auth(2, ""), "invalid-login"),
        (user(), "GetAuthToken", auth(3, ""), "invalid-token"),
        (user(), "GetAuthToken", auth(4, ""), "locked-out"),
        (user(), "GetAuthToken", auth(0, ""), "bad-answer"),
        (user(), "GetAuthToken", auth(1, ""), "bad-answer"),
        (user(), "GetAuthToken", auth(1, "two\nlines"), "logged in"),
        (
            payload.clone(),
            "GetPayloadAuthToken",
            payload_token(2),
            "invalid-payload-credentials",
        ),
        (
            payload.clone(),
            "GetPayloadAuthToken",
            payload_token(3),
            "not-authorized",
        ),
        (payload, "GetPayloadAuthToken", payload_token(1), "bad-answer"),
    ] {
        let mut answers = answers();
        answers.insert(method, answer);
        let server = Server::start(&certificate, answers).await;
        let trust = Trust::authorities(&ca.pem()).unwrap();
        let robot = Robot::connect(&plan(vec![server.address], trust)).await.unwrap();
        let result = robot.log_in(&credentials).await;
        assert_eq!(result.map_or_else(|error| error.kind(), |_| "logged in"), kind);
        if kind == "logged in" {
            // A token that no header can hold is an error of its own, and not a panic.
            assert_eq!(robot.services().await.unwrap_err().kind(), "bad-answer");
        }
    }
}

#[tokio::test]
async fn refusals_of_a_call_are_told_apart() {
    let ca = Authority::new();
    let mut answers = answers();
    answers.insert("GetAuthToken", auth(1, "expired"));
    let server = Server::start(&ca.issue("*.spot.robot"), answers).await;
    let trust = Trust::authorities(&ca.pem()).unwrap();
    let robot = Robot::connect(&plan(vec![server.address], trust)).await.unwrap();
    assert_eq!(robot.screens().await.unwrap_err().kind(), "no-spot-cam");
    assert_eq!(robot.stream_parameters().await.unwrap_err().kind(), "no-spot-cam");
    robot.services().await.unwrap();
    // The method is unknown to this server.
    let none = StreamParameters::default();
    assert_eq!(
        robot.set_stream_parameters(&none).await.unwrap_err().kind(),
        "rpc"
    );
    robot.log_in(&user()).await.unwrap();
    let error = robot.stream_parameters().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), ("unauthenticated", true));
}
