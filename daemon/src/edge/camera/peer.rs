//! The WebRTC peer that answers one offer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{ReceiverReportBuilder, Slot};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_PCMA, MIME_TYPE_PCMU, MIME_TYPE_RTX,
};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use spotstream_core::session::offer::{AudioCodec, Offer};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use webrtc::error::Error as StackError;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
};

use super::link::LinkRuntime;
use super::tap::{Delivery, Feedback, QUEUE, Tap};
use crate::edge::bind::Bind;

/// Host candidates are known as soon as the socket is bound.
const GATHERING: Duration = Duration::from_secs(5);

/// Without any sign of the camera for this long the link counts as broken, and after the second as lost. The camera's
/// network is one cable; what is gone for this long does not come back by waiting.
const ICE_DISCONNECTED: Duration = Duration::from_secs(4);
const ICE_FAILED: Duration = Duration::from_secs(6);
const ICE_KEEPALIVE: Duration = Duration::from_secs(2);

/// How many packets a retransmission may be late, at most: SRTP takes what is older, or came twice, for an attack. The
/// stack checks nothing unless it is told to, and the usual 64 are fewer than one key frame has.
const REPLAY_WINDOW: usize = 1024;

/// A peer connection, and what comes out of it.
pub(super) struct Peer {
    connection: Arc<dyn PeerConnection>,
    is_closed: bool,
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    pub(super) feedback: mpsc::UnboundedSender<Feedback>,
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
}

/// Why no peer could be made, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stack refused something.
    #[error("failed to {0}: {1}")]
    Stack(&'static str, StackError),
    /// No candidate was ready in time.
    #[error("failed to open a port for the camera's media within {} s", GATHERING.as_secs())]
    Gathering,
}

impl Peer {
    /// Takes the offer and makes the answer, with all candidates in it.
    pub(super) async fn answer(offer: &Offer, local: IpAddr, bind: &Bind) -> Result<(Self, String), Error> {
        let failed = |doing| move |error| Error::Stack(doing, error);
        let (delivery, deliveries) = mpsc::channel(QUEUE);
        let (feedback, feedback_receiver) = mpsc::unbounded_channel();
        let (watcher, state, mut gathered) = Watcher::new();

        // The last place of the chain: nothing after it has anything to do, as it passes nothing on. Only receiver
        // reports are left to the stack; its NACK generator polls ten times a second and cannot tell what a
        // retransmission stream brought back.
        let interceptors = Registry::new()
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
            .with(
                Slot::JitterBuffer,
                Tap::new(offer.clone(), delivery, feedback_receiver),
            );
        // The stack does not look at the role that the offer leaves us; `Auto` becomes active.
        let role = if offer.camera_opens_dtls {
            RTCDtlsRole::Server
        } else {
            RTCDtlsRole::Auto
        };
        let settings = SettingEngineBuilder::new()
            .with_answering_dtls_role(role)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_srtp_replay_protection_window(REPLAY_WINDOW)
            .with_include_loopback_candidate(local.is_loopback())
            .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(codecs(offer).map_err(failed("register the camera's codecs"))?)
            .with_interceptor_registry(interceptors)
            .with_setting_engine(settings)
            .with_runtime(Arc::new(LinkRuntime::new(bind.clone())))
            .with_handler(Arc::new(watcher))
            .with_udp_addrs(vec![SocketAddr::new(local, 0)])
            .build()
            .await
            .map_err(failed("open a port for the camera's media"))?;
        let peer = Self {
            connection: Arc::new(connection),
            is_closed: false,
            deliveries,
            feedback,
            state,
        };
        let answer = peer.negotiate(offer, &mut gathered).await?;
        Ok((peer, answer))
    }

    async fn negotiate(&self, offer: &Offer, gathered: &mut watch::Receiver<bool>) -> Result<String, Error> {
        let failed = |doing| move |error| Error::Stack(doing, error);
        let connection = &self.connection;
        let remote = RTCSessionDescription::offer(offer.sdp().to_owned())
            .map_err(failed("read the camera's offer"))?;
        connection
            .set_remote_description(remote)
            .await
            .map_err(failed("take the camera's offer"))?;
        let answer = connection
            .create_answer(None)
            .await
            .map_err(failed("make an answer"))?;
        connection
            .set_local_description(answer)
            .await
            .map_err(failed("take our answer"))?;
        match tokio::time::timeout(GATHERING, gathered.wait_for(|done| *done)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(Error::Gathering),
        }
        let description = connection.local_description().await.ok_or(Error::Gathering)?;
        Ok(description.sdp)
    }

    /// Ends the session and waits until it has.
    pub(super) async fn close(mut self) {
        self.is_closed = true;
        close(&*self.connection).await;
    }
}

impl Drop for Peer {
    /// A connection that is merely dropped keeps its socket until ICE gives up.
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.is_closed, Handle::try_current()) {
            let connection = Arc::clone(&self.connection);
            runtime.spawn(async move { close(&*connection).await });
        }
    }
}

async fn close(connection: &dyn PeerConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the peer connection did not close cleanly");
    }
}

/// The codecs of the offer, as the offer has them: the stack compares format parameters, and what the camera says is
/// what we take.
fn codecs(offer: &Offer) -> Result<MediaEngine, StackError> {
    let mut engine = MediaEngine::default();
    let codec =
        |mime: &str, clock_rate, channels, fmtp: &str, rtcp_feedback, payload_type| RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: mime.to_owned(),
                clock_rate,
                channels,
                sdp_fmtp_line: fmtp.to_owned(),
                rtcp_feedback,
            },
            payload_type,
        };
    for format in &offer.video {
        // The answer has what both sides name.
        let feedback =
            [("goog-remb", ""), ("ccm", "fir"), ("nack", ""), ("nack", "pli")].map(|(typ, parameter)| {
                RTCPFeedback {
                    typ: typ.to_owned(),
                    parameter: parameter.to_owned(),
                }
            });
        let video = codec(
            MIME_TYPE_H264,
            90_000,
            0,
            &format.parameters,
            feedback.to_vec(),
            format.payload_type,
        );
        engine.register_codec(video, RtpCodecKind::Video)?;
        if let Some(rtx) = &format.retransmission {
            let rtx = codec(
                MIME_TYPE_RTX,
                90_000,
                0,
                &rtx.parameters,
                vec![],
                rtx.payload_type,
            );
            engine.register_codec(rtx, RtpCodecKind::Video)?;
        }
    }
    if let Some(audio) = &offer.audio {
        let (mime, channels) = match audio.codec {
            AudioCodec::Opus => (MIME_TYPE_OPUS, 2),
            AudioCodec::Pcmu => (MIME_TYPE_PCMU, 1),
            AudioCodec::Pcma => (MIME_TYPE_PCMA, 1),
        };
        let audio = codec(
            mime,
            audio.codec.clock_rate(),
            channels,
            &audio.parameters,
            vec![],
            audio.payload_type,
        );
        engine.register_codec(audio, RtpCodecKind::Audio)?;
    }
    Ok(engine)
}

/// Passes the stack's state on.
struct Watcher {
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
}

impl Watcher {
    fn new() -> (
        Self,
        watch::Receiver<RTCPeerConnectionState>,
        watch::Receiver<bool>,
    ) {
        let (state, state_receiver) = watch::channel(RTCPeerConnectionState::New);
        let (gathered, gathered_receiver) = watch::channel(false);
        (Self { state, gathered }, state_receiver, gathered_receiver)
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Watcher {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        tracing::debug!(%state, "the camera's connection changed");
        self.state.send_replace(state);
    }
}
