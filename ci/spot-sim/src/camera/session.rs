//! One viewer: a `webrtcbin` that offers what the camera makes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use gstreamer_webrtc::{
    WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCRTPTransceiverDirection, WebRTCSDPType,
    WebRTCSessionDescription,
};
use tokio::sync::{oneshot, watch};

use super::audio::Format;
use super::hub::{AccessUnit, AudioFrame, Listener};
use super::tap::Tap;
use super::{Camera, Clock};
use crate::locked;
use crate::tls::DtlsIdentity;

/// What a session needs to know beside the camera.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The only address among the candidates.
    pub(crate) address: IpAddr,
    /// First and last UDP port.
    pub(crate) ports: (u16, u16),
    /// Whether the offer says `sendrecv` instead of `sendonly`.
    pub(crate) sendrecv: bool,
    /// Whether packets can be asked for again (RFC 4588).
    pub(crate) retransmission: bool,
    pub(crate) identity: DtlsIdentity,
    /// Where to record what is sent.
    pub(crate) record: Option<PathBuf>,
}

/// A session from offer to end; dropping it stops its pipeline.
pub(crate) struct Session {
    pipeline: gstreamer::Pipeline,
    peer: gstreamer::Element,
    state: watch::Receiver<WebRTCPeerConnectionState>,
    messages: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Makes the pipeline and returns the complete offer, candidates included.
    pub(crate) async fn offer(number: u64, plan: &Plan, camera: &Camera) -> anyhow::Result<(Self, String)> {
        let audio = camera.audio.format();
        let pipeline = gstreamer::parse::launch(&description(audio)).context("failed to make the session")?;
        let pipeline = pipeline
            .downcast::<gstreamer::Pipeline>()
            .ok()
            .context("failed to make the session")?;
        let peer = pipeline.by_name("peer").context("failed to find the peer")?;
        run_on(&pipeline, &camera.clock);
        install_certificate(&pipeline, plan.identity.pem.clone());
        restrict_candidates(&peer, plan);
        for index in 0..=i32::from(audio.is_some()) {
            shape_transceiver(&peer, index, plan)?;
        }
        peer.connect("pad-added", false, {
            let pipeline = pipeline.downgrade();
            move |values| {
                let pad = values.get(1)?.get::<gstreamer::Pad>().ok()?;
                swallow(&pipeline.upgrade()?, &pad);
                None
            }
        });
        let tap = Arc::new(Tap::new(number, plan, camera)?);
        tap.install(&pipeline)?;

        let (sender, state) = watch::channel(WebRTCPeerConnectionState::New);
        let gathered = watch_gathering(&peer);
        let ear = Ear {
            video: source(&pipeline, "video")?,
            audio: source(&pipeline, "audio").ok(),
            tap,
        };
        let (ear, hub) = (Mutex::new(Some(ear)), Arc::clone(&camera.hub));
        peer.connect_notify(Some("connection-state"), move |peer, _| {
            let state = peer.property::<WebRTCPeerConnectionState>("connection-state");
            tracing::info!(session = number, ?state, "connection");
            if state == WebRTCPeerConnectionState::Connected
                && let Some(ear) = locked(&ear).take()
            {
                hub.add(number, Box::new(ear));
            }
            sender.send_replace(state);
        });

        pipeline
            .set_state(gstreamer::State::Playing)
            .context("failed to start the session")?;
        let messages = tokio::spawn(listen_to_bus(number, pipeline.clone()));
        let session = Self {
            pipeline,
            peer,
            state,
            messages,
        };
        let offer = session.create_offer().await?;
        session.set_description("set-local-description", &offer).await?;
        gathered.await.context("failed to gather candidates")?;
        let text = finished(&session.local_description()?, &plan.identity.fingerprint);
        Ok((session, text))
    }

    /// Takes the client's answer; returns before ICE has begun.
    pub(crate) async fn answer(&self, sdp: &str) -> anyhow::Result<()> {
        let sdp =
            gstreamer_sdp::SDPMessage::parse_buffer(sdp.as_bytes()).context("failed to read the answer")?;
        anyhow::ensure!(sdp.medias().next().is_some(), "the answer has no media");
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        self.set_description("set-remote-description", &answer).await?;
        // No sender report leaves before the transport that this answer has brought up knows the latency.
        tell_latency(&self.pipeline);
        Ok(())
    }

    /// Waits until the connection is over.
    pub(crate) async fn ended(&self) {
        let over = |state: &WebRTCPeerConnectionState| {
            matches!(
                state,
                WebRTCPeerConnectionState::Failed | WebRTCPeerConnectionState::Closed
            )
        };
        // A sender that is gone means the pipeline is gone.
        let _ = self.state.clone().wait_for(over).await;
    }

    async fn create_offer(&self) -> anyhow::Result<WebRTCSessionDescription> {
        let (promise, reply) = promise();
        self.peer
            .emit_by_name::<()>("create-offer", &[&None::<gstreamer::Structure>, &promise]);
        let reply = reply
            .await
            .context("failed to make an offer")?
            .context("failed to make an offer")?;
        reply
            .get::<WebRTCSessionDescription>("offer")
            .context("failed to make an offer")
    }

    async fn set_description(
        &self,
        signal: &str,
        description: &WebRTCSessionDescription,
    ) -> anyhow::Result<()> {
        let (promise, reply) = promise();
        self.peer.emit_by_name::<()>(signal, &[description, &promise]);
        match reply.await.with_context(|| format!("failed to {signal}"))? {
            Some(reply) if reply.has_field("error") => {
                let error = reply.get::<gstreamer::glib::Error>("error")?;
                Err(error).with_context(|| format!("failed to {signal}"))
            }
            _ => Ok(()),
        }
    }

    fn local_description(&self) -> anyhow::Result<String> {
        let local = self
            .peer
            .property::<Option<WebRTCSessionDescription>>("local-description");
        Ok(local.context("failed to read the offer")?.sdp().as_text()?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.messages.abort();
        // Stopping a pipeline fails only where it is already broken.
        let _ = self.pipeline.set_state(gstreamer::State::Null);
    }
}

async fn listen_to_bus(number: u64, pipeline: gstreamer::Pipeline) {
    let Some(bus) = pipeline.bus() else { return };
    let mut messages = bus.stream();
    while let Some(message) = messages.next().await {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a pipeline says dozens of things that concern nobody here"
        )]
        match message.view() {
            gstreamer::MessageView::Latency(_) => tell_latency(&pipeline),
            gstreamer::MessageView::Error(error) => {
                tracing::error!(session = number, "the pipeline failed: {}", error.error());
            }
            _ => {}
        }
    }
}

fn tell_latency(pipeline: &gstreamer::Pipeline) {
    if let Err(error) = pipeline.recalculate_latency() {
        tracing::warn!("failed to tell the latency: {error}");
    }
}

/// Said in the offer, before the payloader has seen a picture.
const VIDEO_SSRC: u32 = 0x5107_CA30;

fn description(audio: Option<Format>) -> String {
    let mut text = format!(
        "webrtcbin name=peer bundle-policy=max-bundle \
         appsrc name=video is-live=true format=time max-bytes=0 \
           caps=video/x-h264,stream-format=byte-stream,alignment=au,profile=constrained-baseline,level=(string)3.1 \
         ! rtph264pay name=videopay pt=96 ssrc={VIDEO_SSRC} mtu=1200 config-interval=0 aggregate-mode=zero-latency \
         ! application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000 ! peer. "
    );
    if let Some(Format {
        coded,
        payloader,
        rtp,
        ..
    }) = audio
    {
        text += &format!(
            "appsrc name=audio is-live=true format=time max-bytes=0 caps={coded} \
             ! {payloader} name=audiopay ! {rtp} ! peer. "
        );
    }
    text
}

/// All sessions share the camera's clock and its zero, so sound and picture stay together.
fn run_on(pipeline: &gstreamer::Pipeline, clock: &Clock) {
    pipeline.use_clock(Some(&clock.clock));
    pipeline.set_start_time(gstreamer::ClockTime::NONE);
    pipeline.set_base_time(clock.base);
}

fn install_certificate(pipeline: &gstreamer::Pipeline, pem: String) {
    pipeline.connect_deep_element_added(move |_, _, element| {
        if element
            .factory()
            .is_some_and(|factory| factory.name() == "dtlsdec")
        {
            element.set_property("pem", &pem);
        }
    });
}

fn restrict_candidates(peer: &gstreamer::Element, plan: &Plan) {
    let ice = peer.property::<gstreamer::glib::Object>("ice-agent");
    ice.set_property("min-rtp-port", u32::from(plan.ports.0));
    ice.set_property("max-rtp-port", u32::from(plan.ports.1));
    ice.emit_by_name::<bool>("add-local-ip-address", &[&plan.address.to_string()]);
    let agent = ice.property::<gstreamer::glib::Object>("agent");
    agent.set_property("ice-tcp", false);
    agent.set_property("upnp", false);
}

fn shape_transceiver(peer: &gstreamer::Element, index: i32, plan: &Plan) -> anyhow::Result<()> {
    let transceiver =
        peer.emit_by_name::<Option<gstreamer_webrtc::WebRTCRTPTransceiver>>("get-transceiver", &[&index]);
    let transceiver = transceiver.context("failed to find a transceiver")?;
    transceiver.set_property(
        "direction",
        if plan.sendrecv {
            WebRTCRTPTransceiverDirection::Sendrecv
        } else {
            WebRTCRTPTransceiverDirection::Sendonly
        },
    );
    if index == 0 {
        transceiver.set_property("do-nack", plan.retransmission);
        let codec = gstreamer::Caps::builder("application/x-rtp")
            .field("media", "video")
            .field("encoding-name", "H264")
            .field("payload", 96)
            .field("clock-rate", 90_000)
            .field("packetization-mode", "1")
            .field("profile-level-id", "42e01f")
            .field("level-asymmetry-allowed", "1")
            .field("ssrc", VIDEO_SSRC)
            .field("rtcp-fb-nack-pli", true)
            .field("rtcp-fb-ccm-fir", true)
            .build();
        transceiver.set_property("codec-preferences", &codec);
    }
    Ok(())
}

/// Media from a client that sends too goes nowhere.
fn swallow(pipeline: &gstreamer::Pipeline, pad: &gstreamer::Pad) {
    let attach = || {
        let sink = gstreamer::ElementFactory::make("fakesink")
            .property("sync", false)
            .property("async", false);
        let sink = sink.build().ok()?;
        pipeline.add(&sink).ok()?;
        sink.sync_state_with_parent().ok()?;
        pad.link(&sink.static_pad("sink")?).ok()
    };
    if attach().is_none() {
        tracing::warn!("failed to swallow the client's media");
    }
}

fn watch_gathering(peer: &gstreamer::Element) -> oneshot::Receiver<()> {
    let (sender, gathered) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    peer.connect_notify(Some("ice-gathering-state"), move |peer, _| {
        let state = peer.property::<WebRTCICEGatheringState>("ice-gathering-state");
        if state == WebRTCICEGatheringState::Complete
            && let Some(sender) = locked(&sender).take()
        {
            // Nobody waits any more when the request was given up.
            let _ = sender.send(());
        }
    });
    gathered
}

type Reply = Option<gstreamer::Structure>;

fn promise() -> (gstreamer::Promise, oneshot::Receiver<Reply>) {
    let (sender, receiver) = oneshot::channel();
    let promise = gstreamer::Promise::with_change_func(move |reply| {
        // Nobody waits any more when the request was given up.
        let _ = sender.send(reply.ok().flatten().map(ToOwned::to_owned));
    });
    (promise, receiver)
}

fn source(pipeline: &gstreamer::Pipeline, name: &str) -> anyhow::Result<AppSrc> {
    pipeline
        .by_name(name)
        .and_downcast::<AppSrc>()
        .with_context(|| format!("failed to find '{name}'"))
}

/// The offer as it leaves: with the right fingerprint, and with the end of candidates said after each section that has
/// some (RFC 8838, section 8.2). GStreamer says none of it, and takes its fingerprint over certificate and key together
/// where the certificate was given to it.
fn finished(sdp: &str, fingerprint: &str) -> String {
    let mut lines = sdp.lines().peekable();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with("a=fingerprint:") {
            text += &format!("a=fingerprint:sha-256 {fingerprint}\r\n");
            continue;
        }
        text.push_str(line);
        text.push_str("\r\n");
        let more = lines.peek().is_some_and(|next| next.starts_with("a=candidate:"));
        if line.starts_with("a=candidate:") && !more {
            text.push_str("a=end-of-candidates\r\n");
        }
    }
    text
}

/// Takes the hub's frames into the pipeline.
struct Ear {
    video: AppSrc,
    audio: Option<AppSrc>,
    tap: Arc<Tap>,
}

impl Listener for Ear {
    fn video(&self, unit: &AccessUnit) {
        self.tap.expect(unit);
        push(&self.video, unit.data.clone(), unit.pts, unit.duration);
    }

    fn audio(&self, frame: &AudioFrame) {
        if let Some(audio) = &self.audio {
            push(audio, frame.data.clone(), frame.pts, frame.duration);
        }
    }
}

fn push(source: &AppSrc, data: bytes::Bytes, pts: u64, duration: u64) {
    let mut buffer = gstreamer::Buffer::from_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gstreamer::ClockTime::from_nseconds(pts));
        buffer.set_duration(gstreamer::ClockTime::from_nseconds(duration));
    }
    // A source that refuses belongs to a session that is ending.
    let _ = source.push_buffer(buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_candidates_follows_the_last_one_of_each_section() {
        let sdp = "m=video\r\na=candidate:1\r\na=candidate:2\r\na=mid:0\r\nm=audio\r\na=mid:1\r\n";
        let expected = "m=video\r\na=candidate:1\r\na=candidate:2\r\na=end-of-candidates\r\na=mid:0\r\nm=audio\r\na=mid:1\r\n";
        assert_eq!(finished(sdp, ""), expected);
    }

    #[test]
    fn every_fingerprint_is_ours() {
        assert_eq!(
            finished("a=fingerprint:sha-256 00\r\n", "AB:CD"),
            "a=fingerprint:sha-256 AB:CD\r\n"
        );
    }
}
