//! What `ffmpeg -listen` receives is what was sent.

mod referee;

use std::process::Command;
use std::time::{Duration, Instant};

use referee::{
    Server, assert_same, expected, frames, free_port, packets, publish, send_in_real_time, target,
};

#[tokio::test]
async fn every_packet_arrives_at_ffmpeg_bit_for_bit_at_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let frames = frames(directory.path());
    let (port, out) = (free_port(), directory.path().join("out.flv"));
    let mut server = Server::spawn(
        Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-listen", "1", "-i"])
            .arg(format!("rtmp://127.0.0.1:{port}/app/key"))
            .args(["-c", "copy"])
            .arg(&out),
    );
    referee::wait_until_listening(port);

    let (ingest, mut events) = publish(target(port, "app", "key"));
    referee::wait_until_publishing(&mut events).await;
    send_in_real_time(&ingest, &frames).await;
    ingest.close().await;
    wait_for_end(&mut server);

    assert_same(&packets(&out), &expected(&frames));
    referee::assert_decodes(&out);
}

/// `ffmpeg -listen` ends with its one connection, and only then is its file whole.
fn wait_for_end(server: &mut Server) {
    let end = Instant::now() + referee::LIMIT;
    while matches!(server.0.try_wait(), Ok(None)) {
        assert!(Instant::now() < end, "the server does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}
