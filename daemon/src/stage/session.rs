//! The session with the camera: packets in, frames out.

use std::sync::Arc;
use std::time::Instant;

use spotstream_core::media::transmux::{Input, Statistics};
use tokio::sync::mpsc;
use tracing::trace;

use super::media::{self, Media};
use super::until;
use crate::config::choice::Audio;
use crate::edge::camera::{self, Camera, Plan};
use crate::edge::pins::PinStore;

/// Packets between the WebRTC task and us: two large IDR pictures.
const PACKETS: usize = 512;

/// What a session says.
#[derive(Debug)]
pub enum Event {
    /// The camera's media can come.
    Connected,
    /// What became of the media.
    Media(media::Output),
    /// The camera has sent something since [`Session::listen`].
    Heard,
    /// No picture for a while.
    Stalled,
    /// Pictures again.
    Resumed,
    /// The session is over.
    Closed(camera::Error),
}

/// One session, from the first request to its end.
#[derive(Debug)]
pub struct Session {
    camera: Camera,
    events: mpsc::Receiver<camera::Event>,
    audio: Audio,
    media: Option<Media>,
    key_frame_requests: u64,
    listening: bool,
}

impl Session {
    /// Begins a session; what comes of it is said by [`Self::next`].
    pub fn open(plan: Plan, pins: Arc<PinStore>, audio: Audio) -> Self {
        let (sender, events) = mpsc::channel(PACKETS);
        Self {
            camera: camera::start(plan, pins, sender),
            events,
            audio,
            media: None,
            key_frame_requests: 0,
            listening: false,
        }
    }

    /// Waits for the next thing that others must know. Packets are turned into frames meanwhile.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(output) = self.media.as_mut().and_then(Media::poll) {
                return Event::Media(output);
            }
            let deadline = self.media.as_ref().and_then(Media::deadline);
            let event = tokio::select! {
                event = self.events.recv() => event.unwrap_or(camera::Event::Closed(camera::Error::Ended)),
                () = until(deadline) => {
                    self.feed(Input::Tick);
                    continue;
                }
            };
            match event {
                camera::Event::Connected(connected) => {
                    self.media = Some(Media::new(&connected.offer, self.audio));
                    return Event::Connected;
                }
                camera::Event::Rtp(track, packet) => {
                    trace!(
                        ?track,
                        sequence = packet.sequence,
                        timestamp = packet.timestamp,
                        bytes = packet.payload.len(),
                        "packet"
                    );
                    self.feed(Input::Rtp(track, packet));
                    if std::mem::take(&mut self.listening) {
                        return Event::Heard;
                    }
                }
                camera::Event::SenderReport(track, report) => self.feed(Input::SenderReport(track, report)),
                camera::Event::Stalled => return Event::Stalled,
                camera::Event::Resumed => return Event::Resumed,
                camera::Event::Closed(error) => return Event::Closed(error),
            }
        }
    }

    /// A new publication begins: frames start with headers and an IDR picture at time zero.
    pub fn restart(&mut self) {
        self.feed(Input::Restart);
    }

    /// Asks for [`Event::Heard`]; there is none while nothing comes.
    pub fn listen(&mut self) {
        self.listening = true;
    }

    /// Asks the camera for a key frame.
    pub fn request_key_frame(&mut self) {
        self.key_frame_requests += 1;
        self.camera.request_key_frame();
    }

    /// How many key frames were asked for.
    pub fn key_frame_requests(&self) -> u64 {
        self.key_frame_requests
    }

    /// What was counted since the media came.
    pub fn statistics(&self) -> Statistics {
        self.media.as_ref().map(Media::statistics).unwrap_or_default()
    }

    /// Says goodbye to the camera.
    pub async fn close(self) {
        self.camera.close().await;
    }

    fn feed(&mut self, input: Input) {
        if let Some(media) = &mut self.media {
            media.handle(Instant::now(), input);
        }
    }
}
