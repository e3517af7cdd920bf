//! Drives [`netsetup::edge::manager`] for the referees: one JSON request a line in, one JSON answer a line out.

#![expect(clippy::print_stdout, reason = "the answers go to a test by a pipe")]
#![expect(clippy::expect_used, reason = "a test that asks in a wrong order is to fail")]

use std::error::Error as StdError;
use std::io::BufRead;

use netsetup::edge::manager::{Changed, Checkpoint, Error, Failures, Manager};
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::{self, Device};
use netsetup_core::plan::Step;
use netsetup_core::profile::Profile;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// What there is; of each profile that bears our mark, which of these it is.
    Observe(Vec<Profile>),
    /// The UUID of a profile.
    Uuid(Profile),
    /// Begin a change.
    Checkpoint(Vec<InterfaceName>),
    Manage(InterfaceName),
    Add(Profile),
    Update(Profile),
    Delete(Uuid),
    Activate(Uuid, Option<InterfaceName>),
    Commit(()),
    RollBack(()),
    RollBackLeftovers(()),
    /// Forget all notices so far, once none has come for so many milliseconds.
    Quiet(u64),
    /// Whether a notice comes within so many milliseconds.
    Changed(u64),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let manager = Manager::connect(None, Failures::default()).await?;
    let (changes, mut changed) = mpsc::channel(1);
    let watching = manager.clone();
    tokio::spawn(async move { watching.watch(changes).await });
    let mut checkpoint = None;
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?)?;
        let answer = answer(&manager, &mut checkpoint, &mut changed, request).await;
        println!("{}", answer.unwrap_or_else(|error| failure(&error)));
    }
    Ok(())
}

async fn answer(
    manager: &Manager,
    checkpoint: &mut Option<Checkpoint>,
    changed: &mut mpsc::Receiver<Changed>,
    request: Request,
) -> Result<Value, Error> {
    let step = match request {
        Request::Observe(known) => {
            let observed = manager.observe().await?;
            return Ok(json!({ "manager": observed.map(|seen| manager_to_json(&seen, &known)) }));
        }
        Request::Uuid(profile) => return Ok(json!({ "uuid": profile.uuid().to_string() })),
        Request::Checkpoint(devices) => {
            *checkpoint = Some(manager.checkpoint(&devices).await?);
            return Ok(json!({}));
        }
        Request::Commit(()) => {
            let checkpoint = checkpoint.take().expect("a change has begun");
            return checkpoint.commit().await.map(|()| json!({}));
        }
        Request::RollBack(()) => {
            let checkpoint = checkpoint.take().expect("a change has begun");
            return checkpoint.roll_back().await.map(|()| json!({}));
        }
        Request::RollBackLeftovers(()) => {
            return Ok(json!({ "count": manager.roll_back_leftovers().await? }));
        }
        Request::Quiet(ms) => {
            while timeout(Duration::from_millis(ms), changed.recv()).await.is_ok() {}
            return Ok(json!({}));
        }
        Request::Changed(ms) => {
            let came = timeout(Duration::from_millis(ms), changed.recv()).await;
            return Ok(json!({ "changed": matches!(came, Ok(Some(Changed))) }));
        }
        Request::Manage(name) => Step::Manage(name),
        Request::Add(profile) => Step::AddProfile(profile),
        Request::Update(profile) => Step::UpdateProfile(profile),
        Request::Delete(uuid) => Step::DeleteProfile(uuid),
        Request::Activate(uuid, device) => Step::Activate(uuid, device),
    };
    let checkpoint = checkpoint.as_mut().expect("a change has begun");
    checkpoint.apply(&step).await.map(|()| json!({}))
}

fn manager_to_json(seen: &observed::Manager, known: &[Profile]) -> Value {
    let profiles: Vec<_> = seen
        .profiles
        .iter()
        .map(|stored| {
            let at = known
                .iter()
                .position(|known| stored.profile.as_ref() == Some(known));
            json!({
                "uuid": stored.uuid.to_string(),
                "readable": stored.profile.is_some(),
                "known": at,
            })
        })
        .collect();
    let devices: serde_json::Map<_, _> = seen
        .devices
        .iter()
        .map(|device| (device.interface.to_string(), device_to_json(device)))
        .collect();
    json!({ "profiles": profiles, "devices": devices })
}

fn device_to_json(device: &Device) -> Value {
    json!({
        "kind": format!("{:?}", device.kind),
        "state": device.state,
        "state-reason": device.state_reason,
        "failure": device.failure,
        "profile": device.profile.map(|uuid| uuid.to_string()),
        "gateway": device.gateway,
        "name-servers": device.name_servers,
        "dhcp-server": device.dhcp_server,
    })
}

fn failure(error: &Error) -> Value {
    json!({ "kind": error.kind(), "sentence": error.to_string(), "is-retryable": error.is_retryable() })
}
