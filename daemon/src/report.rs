//! What operators are told: the status, put together from what the stages know.

use std::time::{Duration, Instant};

use spotstream_core::media::transmux::{self, Picture};
use spotstream_core::robot::custody::Settings;
use spotstream_core::supervise::state::State;
use tokio::sync::watch;

use crate::control::{Statistics, Status};
use crate::edge::ingest;
use crate::edge::pins::Pin;

/// Collects figures, and publishes them when something has changed.
#[derive(Debug)]
pub struct Report {
    payload_guid: Option<String>,
    pins: Vec<Pin>,
    statistics: Statistics,
    on_air_since: Option<Instant>,
    /// The present publication's and session's own counts; the status has their sums since the start.
    publication: Option<ingest::Statistics>,
    session: Session,
}

/// Counts of one session.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    packets_lost: u64,
    frames_withheld: u64,
    key_frame_requests: u64,
}

impl Report {
    /// An empty report; `payload_guid` is what the administrator looks for in the robot's list.
    pub fn new(payload_guid: Option<String>) -> Self {
        Self {
            payload_guid,
            pins: Vec::new(),
            statistics: Statistics::default(),
            on_air_since: None,
            publication: None,
            session: Session::default(),
        }
    }

    /// A publication has been accepted by `server`.
    pub fn publication_begins(&mut self, server: String) {
        self.publication = None;
        self.statistics.publications += 1;
        self.statistics.server = Some(server);
    }

    /// How the publication is going.
    pub fn publication(&mut self, now: ingest::Statistics) {
        let before = self.publication.replace(now);
        let since = |count: fn(&ingest::Statistics) -> u64| {
            count(&now).saturating_sub(before.as_ref().map_or(0, count))
        };
        let statistics = &mut self.statistics;
        statistics.bytes_sent += since(|figures| figures.bytes_sent);
        statistics.frames_sent += since(|figures| figures.frames_sent);
        statistics.frames_dropped += since(|figures| figures.frames_dropped);
        statistics.video_bitrate = Some(now.bitrate);
        statistics.queue = Some(now.queued);
        statistics.round_trip = now.round_trip;
    }

    /// How the session is going: what the media stage counted, and the key frames asked for.
    pub fn session(&mut self, media: &transmux::Statistics, key_frame_requests: u64) {
        let now = Session {
            packets_lost: media.video_lost,
            frames_withheld: media.dropped,
            key_frame_requests,
        };
        let before = std::mem::replace(&mut self.session, now);
        let statistics = &mut self.statistics;
        statistics.packets_lost += now.packets_lost.saturating_sub(before.packets_lost);
        statistics.frames_withheld += now.frames_withheld.saturating_sub(before.frames_withheld);
        statistics.key_frame_requests += now.key_frame_requests.saturating_sub(before.key_frame_requests);
    }

    /// A new session counts from zero.
    pub fn session_begins(&mut self) {
        self.session = Session::default();
    }

    /// What the picture is like.
    pub fn picture(&mut self, picture: Picture) {
        self.statistics.picture = Some((picture.width, picture.height));
        self.statistics.frame_rate = picture.frame_rate;
    }

    /// Which certificates are trusted.
    pub fn pins(&mut self, pins: Vec<Pin>) {
        self.pins = pins;
    }

    /// Tells operators, if there is news.
    pub fn publish(&mut self, state: &State, camera: &Settings, status: &watch::Sender<Status>) {
        if state.is_on_air() {
            self.on_air_since.get_or_insert_with(Instant::now);
        } else {
            self.on_air_since = None;
            let statistics = &mut self.statistics;
            (
                statistics.server,
                statistics.video_bitrate,
                statistics.queue,
                statistics.round_trip,
            ) = (None, None, None, None);
        }
        self.statistics.live = self
            .on_air_since
            .map(|since| Duration::from_secs(since.elapsed().as_secs()));
        let new = Status {
            state: state.name(),
            reason_kind: state.kind().to_owned().into(),
            reason: state.reason(),
            statistics: self.statistics.clone(),
            stream_parameters: camera.parameters,
            screen: camera.screen.as_ref().map(ToString::to_string),
            payload_guid: self.payload_guid.clone(),
            pins: self.pins.clone(),
        };
        status.send_if_modified(|old| {
            let is_news = *old != new;
            *old = new;
            is_news
        });
    }
}
