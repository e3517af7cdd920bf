//! TLS, names, pins and answers, against a server that speaks HTTP/2 and knows nothing of the client.

mod server;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use spotstream_core::robot::login::{Credentials, PayloadCredentials};
use tokio::net::TcpListener;

use server::{Answers, Authority, Certificate, Seen, Server};

use super::*;
use crate::edge::pins::{self, Fingerprint, PinStore, Role};

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

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn hosts_are_tried_in_order_and_the_one_that_answers_is_told() {
    let ca = Authority::new();
    let server = Server::start(&ca.issue("*.spot.robot"), answers()).await;
    let nobody = nobody().await;
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
    let nobody = nobody().await;
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
