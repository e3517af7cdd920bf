//! The test's hand on the simulator: one JSON object a line in, one a line out, over a Unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::signalling::Signalling;
use crate::world::World;
use crate::{locked, screens, tls};

/// What a test may do: what an administrator, a bad network or bad luck would do.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Order {
    /// Everything that can be asked.
    State,
    /// All gRPC calls so far, in order.
    Rpcs,
    /// The administrator says yes.
    AuthorizePayload {
        guid: String,
    },
    /// The administrator says no again.
    RevokePayload {
        guid: String,
    },
    LockOut {
        user: String,
        on: bool,
    },
    ExpireTokens,
    ChangeCameraCertificate,
    /// No RTP at all while on.
    StopRtp {
        on: bool,
    },
    /// Withhold every n-th video packet; 0 = none.
    DropEvery {
        n: u32,
    },
    /// As another client would.
    SetScreen {
        name: String,
    },
    /// End all WebRTC sessions.
    DropSessions,
}

/// The other end of the control socket.
pub(crate) struct Control {
    pub(crate) world: Arc<World>,
    pub(crate) signalling: Arc<Signalling>,
    pub(crate) state_dir: PathBuf,
}

/// Makes the socket anew.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("failed to remove '{}'", path.display()))?;
    }
    UnixListener::bind(path).with_context(|| format!("failed to listen on '{}'", path.display()))
}

impl Control {
    /// Accepts connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: UnixListener) -> anyhow::Result<()> {
        loop {
            let (stream, _) = listener
                .accept()
                .await
                .context("failed to accept a control connection")?;
            let control = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = control.converse(stream).await {
                    tracing::debug!("control connection ended: {error:#}");
                }
            });
        }
    }

    async fn converse(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await? {
            let result = serde_json::from_str(&line)
                .map_err(Into::into)
                .and_then(|order| self.carry_out(order));
            let reply = match result {
                Ok(mut reply) => {
                    if let Some(fields) = reply.as_object_mut() {
                        fields.insert("ok".to_owned(), json!(true));
                    }
                    reply
                }
                Err(error) => json!({ "ok": false, "error": format!("{error:#}") }),
            };
            writer.write_all(format!("{reply}\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn carry_out(&self, order: Order) -> anyhow::Result<Value> {
        let controls = &self.world.camera.controls;
        match order {
            Order::State => return Ok(self.state()),
            Order::Rpcs => return Ok(json!({ "rpcs": locked(&self.world.state).calls })),
            Order::AuthorizePayload { guid } => self.decide(&guid, true)?,
            Order::RevokePayload { guid } => self.decide(&guid, false)?,
            Order::LockOut { user, on } => {
                let mut state = locked(&self.world.state);
                state
                    .users
                    .get_mut(&user)
                    .with_context(|| format!("there is no user '{user}'"))?
                    .locked_out = on;
            }
            Order::ExpireTokens => locked(&self.world.state).expire_tokens(),
            Order::ChangeCameraCertificate => self
                .signalling
                .set_certificate(tls::renew_camera(&self.state_dir)?),
            Order::StopRtp { on } => controls.mute.store(on, Ordering::Relaxed),
            Order::DropEvery { n } => controls.drop_every.store(n, Ordering::Relaxed),
            Order::SetScreen { name } => {
                let screen = screens::find(&name).with_context(|| format!("there is no screen '{name}'"))?;
                controls.change(|wanted| wanted.screen = screen);
            }
            Order::DropSessions => self.signalling.hang_up(),
        }
        Ok(json!({}))
    }

    fn decide(&self, guid: &str, yes: bool) -> anyhow::Result<()> {
        let mut state = locked(&self.world.state);
        let entry = state
            .payloads
            .get_mut(guid)
            .with_context(|| format!("there is no payload '{guid}'"))?;
        (entry.payload.is_authorized, entry.payload.is_enabled) = (yes, yes);
        Ok(())
    }

    fn state(&self) -> Value {
        let controls = &self.world.camera.controls;
        let state = locked(&self.world.state);
        let payloads = state.payloads.iter().map(|(guid, entry)| {
            json!({ "guid": guid, "name": entry.payload.name, "authorized": entry.payload.is_authorized })
        });
        json!({
            "payloads": payloads.collect::<Vec<_>>(),
            "params": {
                "targetbitrate": state.params.targetbitrate,
                "refreshinterval": state.params.refreshinterval,
                "idrinterval": state.params.idrinterval,
                "awb": state.params.awb.map(|awb| awb.awb),
            },
            "congestion_control": state.congestion_control,
            "screen": self.world.screen(),
            "faults": state.faults.iter().map(|fault| {
                fault.fault_id.as_ref().map_or("", |id| id.fault_name.as_str())
            }).collect::<Vec<_>>(),
            "sessions": self.signalling.sessions(),
            "picture_loss_indications": controls.picture_loss_indications.load(Ordering::Relaxed),
            "full_intra_requests": controls.full_intra_requests.load(Ordering::Relaxed),
        })
    }
}
