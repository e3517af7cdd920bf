//! The task of one session: from the first GET to the last packet.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use spotstream_core::rtp::Track;
use spotstream_core::session::health::{self, Health, carries_idr};
use spotstream_core::session::offer::{Offer, redacted};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{sleep_until, timeout};
use webrtc::peer_connection::RTCPeerConnectionState as State;

use super::peer::Peer;
use super::tap::{Delivery, Feedback};
use super::{Connected, Error, Event, Plan};
use crate::edge::pins::{PinStore, Role};
use crate::edge::signalling::{Signalling, SignallingHost};

/// From our answer to a path for media. On the robot's network it takes a tenth of a second.
const PATH: Duration = Duration::from_secs(10);

/// Packets taken from the queue at once.
const BATCH: usize = 64;

/// The session was closed by its owner.
struct Closed;

pub(super) async fn run(
    plan: Plan,
    pins: Arc<PinStore>,
    events: mpsc::Sender<Event>,
    requests: mpsc::Receiver<()>,
) {
    let mut outlet = Outlet {
        events,
        requests,
        wished: false,
    };
    if let Ok(error) = attempts(&plan, &pins, &mut outlet).await {
        tracing::info!(kind = error.kind(), reason = %error, "the camera's session is over");
        // An owner that is gone needs no news.
        let _ = outlet.send(Event::Closed(error)).await;
    }
}

/// The owner's two channels. An owner that closes the session may have stopped reading before.
struct Outlet {
    events: mpsc::Sender<Event>,
    requests: mpsc::Receiver<()>,
    /// A key frame was wished for while an event was waiting to be read.
    wished: bool,
}

impl Outlet {
    async fn send(&mut self, event: Event) -> Result<(), Closed> {
        let event = match self.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Closed),
            Err(TrySendError::Full(event)) => event,
        };
        tokio::select! {
            sent = self.events.send(event) => sent.map_err(|_| Closed),
            () = closed(&mut self.requests, &mut self.wished) => Err(Closed),
        }
    }
}

/// Resolves when the owner's handle is gone.
async fn closed(requests: &mut mpsc::Receiver<()>, wished: &mut bool) {
    while requests.recv().await.is_some() {
        *wished = true;
    }
}

/// Tries the hosts in order. Reported is what the first one said that answered at all; that the others were not there
/// is news only if none was.
async fn attempts(plan: &Plan, pins: &Arc<PinStore>, outlet: &mut Outlet) -> Result<Error, Closed> {
    let mut tls = match pins.client_config(Role::Camera) {
        Ok(tls) => tls,
        Err(error) => return Ok(error.into()),
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tls = Arc::new(tls);
    let mut reason: Option<Error> = None;
    for host in &plan.hosts {
        let attempt = connect(plan, *host, Arc::clone(&tls));
        let connected = tokio::select! {
            connected = attempt => connected,
            () = closed(&mut outlet.requests, &mut outlet.wished) => return Err(Closed),
        };
        match connected {
            Ok((peer, offer)) => {
                return deliver(plan, Connected { host: *host, offer }, peer, outlet).await;
            }
            Err(error) => {
                tracing::debug!(%host, kind = error.kind(), reason = %error, "this address of the camera did not do");
                if !is_about_this_address(&error) {
                    return Ok(error);
                }
                let outranks = |old: &Error| is_unreachable(old) && !is_unreachable(&error);
                if reason.as_ref().is_none_or(outranks) {
                    reason = Some(error);
                }
            }
        }
    }
    Ok(reason.unwrap_or(Error::NoHost))
}

fn is_about_this_address(error: &Error) -> bool {
    match error {
        Error::Signalling(error) => error.is_about_this_address(),
        Error::NoHost
        | Error::Offer(_)
        | Error::Tls(_)
        | Error::Link(..)
        | Error::Peer(_)
        | Error::NoPath(..)
        | Error::Lost
        | Error::Ended
        | Error::NoVideo
        | Error::VideoEnded => true,
    }
}

fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::Link(..) => true,
        Error::Signalling(error) => error.is_unreachable(),
        Error::NoHost
        | Error::Offer(_)
        | Error::Tls(_)
        | Error::Peer(_)
        | Error::NoPath(..)
        | Error::Lost
        | Error::Ended
        | Error::NoVideo
        | Error::VideoEnded => false,
    }
}

async fn connect(plan: &Plan, host: SignallingHost, tls: Arc<ClientConfig>) -> Result<(Peer, Offer), Error> {
    let local = plan
        .bind
        .local_address(host.address())
        .map_err(|error| Error::Link(host, error))?;
    let signalling = Signalling {
        host,
        interface: plan.bind.interface.clone(),
        tls,
        token: plan.token.clone(),
    };
    let invitation = signalling.invite().await?;
    if let Some(path) = &plan.offer_log {
        save(path, &redacted(invitation.sdp())).await;
    }
    let offer = Offer::parse(invitation.sdp())?;
    let (mut peer, answer) = Peer::answer(&offer, local, &plan.bind).await?;
    signalling.answer(&invitation, &answer).await?;
    path(&mut peer, host).await?;
    Ok((peer, offer))
}

async fn path(peer: &mut Peer, host: SignallingHost) -> Result<(), Error> {
    let decided = |state: &State| matches!(state, State::Connected | State::Failed | State::Closed);
    match timeout(PATH, peer.state.wait_for(decided)).await {
        Ok(Ok(state)) if *state == State::Connected => Ok(()),
        _ => Err(Error::NoPath(host, PATH.as_secs())),
    }
}

/// Passes on what comes until the session ends.
async fn deliver(
    plan: &Plan,
    connected: Connected,
    mut peer: Peer,
    outlet: &mut Outlet,
) -> Result<Error, Closed> {
    tracing::info!(host = %connected.host, audio = ?connected.offer.audio.as_ref().map(|audio| audio.codec), "the camera is connected");
    let ended = pump(plan, connected, &mut peer, outlet).await;
    peer.close().await;
    ended
}

async fn pump(
    plan: &Plan,
    connected: Connected,
    peer: &mut Peer,
    outlet: &mut Outlet,
) -> Result<Error, Closed> {
    let mut health = Health::new(plan.ceiling);
    health.handle(Instant::now(), health::Input::Connected);
    outlet.send(Event::Connected(connected)).await?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if std::mem::take(&mut outlet.wished) {
            health.handle(Instant::now(), health::Input::KeyFrameNeeded);
        }
        while let Some(output) = health.poll() {
            match output {
                health::Output::Ask(request) => {
                    tracing::debug!(?request, "asking the camera for a key frame");
                    let _ = peer.feedback.send(Feedback::Ask(request));
                }
                health::Output::Estimate(ceiling) => {
                    let _ = peer.feedback.send(Feedback::Estimate(ceiling));
                }
                health::Output::Stalled => outlet.send(Event::Stalled).await?,
                health::Output::Resumed => outlet.send(Event::Resumed).await?,
                health::Output::Dead(ailment) => return Ok(ailment.into()),
            }
        }
        let deadline = health.deadline().map(|(at, _)| at.into());
        tokio::select! {
            biased;
            request = outlet.requests.recv() => match request {
                Some(()) => health.handle(Instant::now(), health::Input::KeyFrameNeeded),
                None => return Err(Closed),
            },
            changed = peer.state.changed() => {
                let state = *peer.state.borrow_and_update();
                match (changed, state) {
                    (Err(_), _) | (_, State::Failed) => return Ok(Error::Lost),
                    (_, State::Closed) => return Ok(Error::Ended),
                    // ICE may find its way back; health and ICE itself say when it is too late.
                    (Ok(()), _) => {}
                }
            }
            count = peer.deliveries.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return Ok(Error::Lost);
                }
                let now = Instant::now();
                for delivery in batch.drain(..) {
                    let event = match delivery {
                        Delivery::Rtp(track, packet) => {
                            if track == Track::Video && !packet.payload.is_empty() {
                                health.handle(now, health::Input::Video { idr: carries_idr(&packet.payload) });
                            }
                            Event::Rtp(track, packet)
                        }
                        Delivery::SenderReport(track, report) => Event::SenderReport(track, report),
                        Delivery::Ended(Track::Video) => return Ok(Error::Ended),
                        Delivery::Ended(Track::Audio) => continue,
                    };
                    outlet.send(event).await?;
                }
            }
            () = until(deadline) => health.handle(Instant::now(), health::Input::Tick),
        }
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Keeps the offer for the record of a field test. A disk that is full must not keep a camera from going live.
async fn save(path: &Path, text: &str) {
    if let Err(error) = tokio::fs::write(path, text).await {
        tracing::warn!(path = %path.display(), %error, "failed to save the camera's offer");
    }
}
