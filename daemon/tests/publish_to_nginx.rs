//! nginx-rtmp records what was sent, and its refusals are understood.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that is surprised has failed"
)]

mod referee;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use referee::{
    Server, assert_same, expected, frames, free_port, packets, publish, send_in_real_time, target,
};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use spotstream_core::ingest::directory::Target;
use spotstream_core::secret::Secret;
use spotstreamd::edge::ingest::Event;
use spotstreamd::edge::tls;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn nginx(directory: &Path) -> (Server, u16) {
    let port = free_port();
    let configuration = directory.join("nginx.conf");
    let at = directory.display();
    std::fs::write(
        &configuration,
        format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
             daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{}}
             rtmp {{ access_log off; server {{
                 listen 127.0.0.1:{port};
                 application app {{ live on; record all; record_path {at}; }}
                 application closed {{ live on; deny publish all; }}
             }} }}"
        ),
    )
    .unwrap();
    let mut command = Command::new("nginx");
    command
        .arg("-c")
        .arg(&configuration)
        .arg("-e")
        .arg(directory.join("error.log"));
    let server = Server::spawn(&mut command);
    referee::wait_until_listening(port);
    (server, port)
}

#[tokio::test]
async fn every_packet_arrives_at_nginx_bit_for_bit_at_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(directory.path());
    let (_server, port) = nginx(directory.path());

    let (ingest, mut events) = publish(target(port, "app", "key"));
    referee::wait_until_publishing(&mut events).await;
    send_in_real_time(&ingest, &frames).await;
    ingest.close().await;

    // The server closes its file when it has read our goodbye; a second session of the same name shows that it has.
    let (second, mut events) = publish(target(port, "app", "key2"));
    referee::wait_until_publishing(&mut events).await;
    second.close().await;

    let out = directory.path().join("key.flv");
    assert_same(&packets(&out), &expected(&frames));
    referee::assert_decodes(&out);
}

/// nginx-rtmp has no TLS, so this stands in front of it.
async fn terminate_tls(to: u16) -> (u16, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        if let Ok(mut client) = TlsAcceptor::from(Arc::new(server)).accept(client).await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    });
    (port, ca)
}

#[tokio::test]
async fn rtmps_brings_every_packet_too_and_an_unknown_certificate_brings_none() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(directory.path());
    let (_server, port) = nginx(directory.path());
    let secure = |port| Target::parse(&format!("rtmps://localhost:{port}/app"), &Secret::new("key")).unwrap();

    let (tls_port, _unknown) = terminate_tls(port).await;
    let (_ingest, mut events) = publish(secure(tls_port));
    match referee::next(&mut events).await {
        Event::Closed(error) => assert_eq!(error.kind(), "ingest-tls"),
        other => panic!("{other:?}"),
    }

    let (tls_port, ca) = terminate_tls(port).await;
    let (ingest, mut events) = referee::publish_trusting(secure(tls_port), tls::private(ca.path()).unwrap());
    referee::wait_until_publishing(&mut events).await;
    send_in_real_time(&ingest, &frames).await;
    ingest.close().await;

    let (second, mut events) = publish(target(port, "app", "key2"));
    referee::wait_until_publishing(&mut events).await;
    second.close().await;
    let out = directory.path().join("key.flv");
    assert_same(&packets(&out), &expected(&frames));
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_stale_session_and_free_again_after_a_goodbye() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, port) = nginx(directory.path());
    let (first, mut first_events) = publish(target(port, "app", "key"));
    referee::wait_until_publishing(&mut first_events).await;

    let (_second, mut second_events) = publish(target(port, "app", "key"));
    match referee::next(&mut second_events).await {
        Event::Closed(error) => assert_eq!((error.kind(), error.is_retryable()), ("stale-session", true)),
        other => panic!("{other:?}"),
    }

    first.close().await;
    let (_third, mut third_events) = publish(target(port, "app", "key"));
    referee::wait_until_publishing(&mut third_events).await;
}

#[tokio::test]
async fn a_server_that_denies_publishing_refuses_the_key_even_after_it_said_start() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, port) = nginx(directory.path());
    let (_ingest, mut events) = publish(target(port, "closed", "key"));
    loop {
        match referee::next(&mut events).await {
            Event::Publishing { .. } | Event::KeyFrameNeeded => {}
            Event::Refused(error) => break assert_eq!(error.kind(), "key-refused"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_application_that_is_not_there_is_not_a_refused_key() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, port) = nginx(directory.path());
    let (_ingest, mut events) = publish(target(port, "nowhere", "key"));
    match referee::next(&mut events).await {
        Event::Closed(error) => assert_eq!(error.kind(), "ingest-closed"),
        other => panic!("{other:?}"),
    }
}

/// Other events are not of interest here.
async fn heard(events: &mut tokio::sync::mpsc::Receiver<Event>) {
    while !matches!(referee::next(events).await, Event::Heard) {}
}

#[tokio::test]
async fn what_the_server_acknowledges_is_heard_and_silence_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(directory.path());
    let (_server, port) = nginx(directory.path());
    let (ingest, mut events) = publish(target(port, "app", "key"));
    referee::wait_until_publishing(&mut events).await;
    send_in_real_time(&ingest, &frames[..30]).await;
    // From here on nothing of what the server says arrives.
    let table = format!("lost_{port}");
    nft(&format!(
        "add table inet {table}\nadd chain inet {table} in {{ type filter hook input priority 0; }}\n\
         add rule inet {table} in tcp sport {port} drop\n"
    ));
    send_in_real_time(&ingest, &frames[30..45]).await;
    ingest.listen();
    let silence = tokio::time::timeout(Duration::from_secs(1), heard(&mut events)).await;
    nft(&format!("delete table inet {table}\n"));
    assert!(silence.is_err(), "nothing was acknowledged");
    heard(&mut events).await;

    // A server that owes us nothing is not silent.
    ingest.listen();
    heard(&mut events).await;
    ingest.close().await;
}

fn nft(ruleset: &str) {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refuses {ruleset}");
}
