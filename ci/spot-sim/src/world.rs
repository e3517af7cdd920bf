//! What all services share: users, payloads, tokens, the camera's settings, and the log of calls.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Context as _;
use serde::Serialize;

use crate::camera::Camera;
use crate::camera::controls::Wanted;
use crate::locked;
use crate::proto::api::spot_cam::StreamParams;
use crate::proto::api::spot_cam::stream_params::{AutoExposure, AwbMode, AwbModeEnum, Exposure};
use crate::proto::api::{Payload, ServiceFault};
use crate::services::shelf::Shelf;

/// The simulated robot.
pub(crate) struct World {
    pub(crate) state: Mutex<State>,
    pub(crate) camera: Camera,
}

/// Everything that a service may read or change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) payloads: BTreeMap<String, Registered>,
    tokens: BTreeMap<String, Owner>,
    pub(crate) params: StreamParams,
    pub(crate) congestion_control: Option<bool>,
    pub(crate) faults: Vec<ServiceFault>,
    pub(crate) shelf: Shelf,
    pub(crate) calls: Vec<Call>,
}

#[derive(Debug)]
pub(crate) struct User {
    pub(crate) password: String,
    pub(crate) locked_out: bool,
}

/// A payload and the secret that it registered with.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) payload: Payload,
    pub(crate) secret: String,
}

/// Whom a token was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    User(String),
    Payload(String),
}

/// One call as it came in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Call {
    /// Milliseconds of `CLOCK_REALTIME` since 1970.
    pub(crate) unix_ms: u64,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) authorized: bool,
    /// The request in protobuf's text format, without its secrets.
    pub(crate) request: String,
}

impl World {
    pub(crate) fn new(camera: Camera, user: String, password: String) -> Self {
        let state = State {
            users: BTreeMap::from([(
                user,
                User {
                    password,
                    locked_out: false,
                },
            )]),
            payloads: BTreeMap::from([camera_payload()]),
            tokens: BTreeMap::new(),
            params: params(camera.controls.wanted()),
            congestion_control: None,
            faults: Vec::new(),
            shelf: Shelf::default(),
            calls: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            camera,
        }
    }

    /// Whether an `authorization` header lets its bearer in.
    pub(crate) fn admits(&self, authorization: Option<&str>) -> bool {
        let token = authorization.and_then(|header| header.strip_prefix("Bearer "));
        token.is_some_and(|token| locked(&self.state).tokens.contains_key(token))
    }
}

impl State {
    pub(crate) fn issue_token(&mut self, owner: Owner) -> anyhow::Result<String> {
        let mut bytes = [0; 24];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut bytes).ok().context("failed to make a token")?;
        let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
        self.tokens.insert(token.clone(), owner);
        Ok(token)
    }

    pub(crate) fn owner(&self, token: &str) -> Option<&Owner> {
        self.tokens.get(token)
    }

    pub(crate) fn expire_tokens(&mut self) {
        self.tokens.clear();
    }
}

fn params(wanted: Wanted) -> StreamParams {
    StreamParams {
        targetbitrate: Some(i64::from(wanted.bitrate)),
        refreshinterval: Some(i64::from(wanted.refresh_interval)),
        idrinterval: Some(i64::from(wanted.idr_interval)),
        awb: Some(AwbMode {
            awb: AwbModeEnum::Auto.into(),
        }),
        exposure: Some(Exposure::AutoExposure(AutoExposure {})),
    }
}

/// The camera is a payload itself.
fn camera_payload() -> (String, Registered) {
    let guid = "5b1c6c0e-6f0b-4c7e-9d60-0d2f8f7f5a31".to_owned();
    let payload = Payload {
        guid: guid.clone(),
        name: "Spot CAM".to_owned(),
        description: "Simulated camera".to_owned(),
        is_authorized: true,
        is_enabled: true,
        ..Payload::default()
    };
    (
        guid,
        Registered {
            payload,
            secret: String::new(),
        },
    )
}
