//! The directory: which service answers under which name and authority.

use std::time::SystemTime;

use tonic::{Request, Response};

use super::{Answer, done};
use crate::proto::api::directory_service_server::DirectoryService;
use crate::proto::api::get_service_entry_response::Status;
use crate::proto::api::service_entry::ServiceType;
use crate::proto::api::{
    GetServiceEntryRequest, GetServiceEntryResponse, ListServiceEntriesRequest, ListServiceEntriesResponse,
    ServiceEntry,
};
use crate::world::World;

/// One service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    name: &'static str,
    /// Full protobuf name of the service.
    pub(crate) kind: &'static str,
    pub(crate) authority: &'static str,
    pub(crate) needs_token: bool,
}

const fn entry(name: &'static str, kind: &'static str, authority: &'static str) -> Entry {
    Entry {
        name,
        kind,
        authority,
        needs_token: true,
    }
}

const fn open(name: &'static str, kind: &'static str, authority: &'static str) -> Entry {
    Entry {
        name,
        kind,
        authority,
        needs_token: false,
    }
}

/// The real authorities of the camera are not published; a client has to look them up, so any name serves.
const CAMERA: &str = "spot-cam.spot.robot";

const ENTRIES: [Entry; 16] = [
    open("auth", "bosdyn.api.AuthService", "auth.spot.robot"),
    open("robot-id", "bosdyn.api.RobotIdService", "id.spot.robot"),
    open(
        "payload-registration",
        "bosdyn.api.PayloadRegistrationService",
        "payload-registration.spot.robot",
    ),
    entry("directory", "bosdyn.api.DirectoryService", "api.spot.robot"),
    entry("time-sync", "bosdyn.api.TimeSyncService", "api.spot.robot"),
    entry("payload", "bosdyn.api.PayloadService", "payload.spot.robot"),
    entry("fault", "bosdyn.api.FaultService", "fault.spot.robot"),
    entry(
        "spot-cam-stream-quality",
        "bosdyn.api.spot_cam.StreamQualityService",
        CAMERA,
    ),
    entry(
        "spot-cam-compositor",
        "bosdyn.api.spot_cam.CompositorService",
        CAMERA,
    ),
    entry("spot-cam-version", "bosdyn.api.spot_cam.VersionService", CAMERA),
    entry("spot-cam-network", "bosdyn.api.spot_cam.NetworkService", CAMERA),
    entry("spot-cam-health", "bosdyn.api.spot_cam.HealthService", CAMERA),
    entry("spot-cam-power", "bosdyn.api.spot_cam.PowerService", CAMERA),
    entry("spot-cam-lighting", "bosdyn.api.spot_cam.LightingService", CAMERA),
    entry("spot-cam-ptz", "bosdyn.api.spot_cam.PtzService", CAMERA),
    entry("spot-cam-audio", "bosdyn.api.spot_cam.AudioService", CAMERA),
];

/// The entry that serves a gRPC path, `/<service>/<method>`.
pub(crate) fn entry_of(path: &str) -> Option<&'static Entry> {
    let (service, _) = path.strip_prefix('/')?.split_once('/')?;
    ENTRIES.iter().find(|entry| entry.kind == service)
}

impl Entry {
    fn message(&self) -> ServiceEntry {
        ServiceEntry {
            name: self.name.to_owned(),
            service_type: Some(ServiceType::Type(self.kind.to_owned())),
            authority: self.authority.to_owned(),
            last_update: Some(SystemTime::now().into()),
            user_token_required: self.needs_token,
            ..ServiceEntry::default()
        }
    }
}

#[tonic::async_trait]
impl DirectoryService for World {
    async fn get_service_entry(
        &self,
        request: Request<GetServiceEntryRequest>,
    ) -> Answer<GetServiceEntryResponse> {
        let request = request.into_inner();
        let entry = ENTRIES.iter().find(|entry| entry.name == request.service_name);
        let status = if entry.is_some() {
            Status::Ok
        } else {
            Status::NonexistentService
        };
        Ok(Response::new(GetServiceEntryResponse {
            header: done(request.header),
            status: status.into(),
            service_entry: entry.map(Entry::message),
        }))
    }

    async fn list_service_entries(
        &self,
        request: Request<ListServiceEntriesRequest>,
    ) -> Answer<ListServiceEntriesResponse> {
        Ok(Response::new(ListServiceEntriesResponse {
            header: done(request.into_inner().header),
            service_entries: ENTRIES.iter().map(Entry::message).collect(),
        }))
    }
}
