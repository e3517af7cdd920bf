//! The camera's HTTPS port: `GET /h264.sdp` gives an offer, `POST /h264.sdp` takes the answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Notify, broadcast};
use tokio_rustls::TlsAcceptor;

use crate::camera::session::{Plan, Session};
use crate::locked;
use crate::world::World;

/// An offer whose answer has not come by then is withdrawn.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_LIMIT: usize = 1 << 20;

/// The wire form of offer and answer; the SDP is base64 of UTF-8.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    id: String,
    sdp: String,
}

/// The port and its sessions.
pub(crate) struct Signalling {
    world: Arc<World>,
    plan: Plan,
    tls: RwLock<Arc<ServerConfig>>,
    next: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Arc<Viewer>>>,
    hang_up: broadcast::Sender<()>,
}

struct Viewer {
    session: Session,
    answered: Notify,
}

impl Signalling {
    pub(crate) fn new(world: Arc<World>, plan: Plan, tls: Arc<ServerConfig>) -> Arc<Self> {
        Arc::new(Self {
            world,
            plan,
            tls: RwLock::new(tls),
            next: AtomicU64::new(1),
            sessions: Mutex::default(),
            hang_up: broadcast::channel(1).0,
        })
    }

    /// New connections see this certificate.
    pub(crate) fn set_certificate(&self, tls: Arc<ServerConfig>) {
        *self
            .tls
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = tls;
    }

    /// Ends all sessions.
    pub(crate) fn hang_up(&self) {
        // Without a session there is nobody to tell.
        let _ = self.hang_up.send(());
    }

    /// Numbers of the sessions that live.
    pub(crate) fn sessions(&self) -> Vec<u64> {
        locked(&self.sessions).keys().copied().collect()
    }

    /// Accepts connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await.context("failed to accept a connection")?;
            let signalling = Arc::clone(&self);
            let tls = Arc::clone(&self.tls.read().unwrap_or_else(std::sync::PoisonError::into_inner));
            tokio::spawn(async move {
                let stream = match TlsAcceptor::from(tls).accept(stream).await {
                    Ok(stream) => stream,
                    Err(error) => return tracing::debug!(%peer, "TLS failed: {error}"),
                };
                let service =
                    hyper::service::service_fn(move |request| Arc::clone(&signalling).answer(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%peer, "connection ended: {error}");
                }
            });
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let outcome = if request.uri().path() != "/h264.sdp" {
            Err((StatusCode::NOT_FOUND, "no such page".to_owned()))
        } else if !self.world.admits(token) {
            Err((StatusCode::UNAUTHORIZED, "a valid token is required".to_owned()))
        } else {
            match *request.method() {
                Method::GET => self.offer().await,
                Method::POST => self.accept(request).await,
                _ => Err((StatusCode::METHOD_NOT_ALLOWED, "GET or POST".to_owned())),
            }
        };
        let (status, body) = match outcome {
            Ok(body) => (StatusCode::OK, body),
            Err((status, reason)) => {
                tracing::info!(%status, "{reason}");
                (
                    status,
                    serde_json::json!({ "error": reason }).to_string().into_bytes(),
                )
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        Ok(response)
    }

    async fn offer(self: &Arc<Self>) -> Result<Vec<u8>, (StatusCode, String)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (session, sdp) = Session::offer(number, &self.plan, &self.world.camera)
            .await
            .map_err(broken)?;
        let viewer = Arc::new(Viewer {
            session,
            answered: Notify::new(),
        });
        locked(&self.sessions).insert(number, Arc::clone(&viewer));
        tokio::spawn(Arc::clone(self).look_after(number, viewer));
        let description = Description {
            id: number.to_string(),
            sdp: STANDARD.encode(sdp),
        };
        serde_json::to_vec(&description).map_err(|error| broken(error.into()))
    }

    async fn accept(&self, request: Request<Incoming>) -> Result<Vec<u8>, (StatusCode, String)> {
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
        let body = body
            .map_err(|error| bad(format!("failed to read the answer: {error}")))?
            .to_bytes();
        let answer: Description = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("failed to read the answer: {error}")))?;
        let sdp = STANDARD
            .decode(&answer.sdp)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let sdp = sdp.ok_or_else(|| bad("the answer's SDP is not base64 of UTF-8".to_owned()))?;
        let number = answer.id.parse::<u64>().ok();
        let viewer = number.and_then(|number| locked(&self.sessions).get(&number).cloned());
        let viewer = viewer.ok_or((StatusCode::NOT_FOUND, "no offer has this id".to_owned()))?;
        viewer
            .session
            .answer(&sdp)
            .await
            .map_err(|error| bad(format!("{error:#}")))?;
        viewer.answered.notify_one();
        Ok(b"{}".to_vec())
    }

    /// Waits for the answer and then for the end, and clears away.
    async fn look_after(self: Arc<Self>, number: u64, viewer: Arc<Viewer>) {
        let mut hang_up = self.hang_up.subscribe();
        let lived = async {
            match tokio::time::timeout(ANSWER_TIMEOUT, viewer.answered.notified()).await {
                Ok(()) => viewer.session.ended().await,
                Err(_) => tracing::info!(session = number, "no answer came"),
            }
        };
        tokio::select! {
            () = lived => {}
            _ = hang_up.recv() => {}
        }
        self.world.camera.hub.remove(number);
        locked(&self.sessions).remove(&number);
        tracing::info!(session = number, "ended");
        // Stopping a pipeline waits for its threads.
        tokio::task::spawn_blocking(move || drop(viewer));
    }
}

fn bad(reason: String) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, reason)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn broken(error: anyhow::Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
}
