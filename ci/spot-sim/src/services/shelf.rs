//! Settings of the camera that only have to be kept and given back.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::api::spot_cam::{
    AudioCaptureChannel, IceServer, IrColorMap, IrMeterOverlay, PowerStatus, PtzFocusState, PtzPosition,
    PtzVelocity, ice_server,
};

/// What the camera remembers beside its stream.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(super) ir_colormap: IrColorMap,
    pub(super) ir_meter_overlay: IrMeterOverlay,
    pub(super) ice_servers: Vec<IceServer>,
    pub(super) power: PowerStatus,
    pub(super) leds: [f32; 4],
    pub(super) positions: BTreeMap<String, PtzPosition>,
    pub(super) velocities: BTreeMap<String, PtzVelocity>,
    pub(super) focus: PtzFocusState,
    pub(super) sounds: BTreeSet<String>,
    pub(super) volume: f32,
    pub(super) capture_channel: i32,
    pub(super) capture_gains: BTreeMap<i32, f64>,
}

impl Default for Shelf {
    fn default() -> Self {
        let stun = |port| IceServer {
            r#type: ice_server::Servertype::Stun.into(),
            address: "192.168.50.3".to_owned(),
            port,
            transport: ice_server::Icetransport::TransportUdp.into(),
            auth: None,
        };
        Self {
            ir_colormap: IrColorMap::default(),
            ir_meter_overlay: IrMeterOverlay::default(),
            ice_servers: vec![stun(3478), stun(3479)],
            power: PowerStatus {
                ptz: Some(true),
                aux1: Some(false),
                aux2: Some(false),
                external_mic: Some(false),
            },
            leds: [0.0; 4],
            positions: BTreeMap::new(),
            velocities: BTreeMap::new(),
            focus: PtzFocusState::default(),
            sounds: BTreeSet::from(["autofocus".to_owned()]),
            volume: 50.0,
            capture_channel: AudioCaptureChannel::AudioChannelInternalMic.into(),
            capture_gains: BTreeMap::new(),
        }
    }
}
