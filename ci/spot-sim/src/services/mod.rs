//! The services, one file each or one family a file. Each is a trait that [`World`] implements.

mod audio;
mod auth;
mod compositor;
pub(crate) mod directory;
mod fault;
mod health;
mod lighting;
mod network;
mod payload;
mod power;
mod ptz;
mod robot_id;
pub(crate) mod shelf;
mod stream_quality;
mod time_sync;
mod version;

use std::sync::Arc;
use std::time::SystemTime;

use tonic::service::{Routes, RoutesBuilder};
use tonic::{Response, Status};

use crate::proto::api::common_error::Code;
use crate::proto::api::spot_cam::audio_service_server::AudioServiceServer;
use crate::proto::api::spot_cam::compositor_service_server::CompositorServiceServer;
use crate::proto::api::spot_cam::health_service_server::HealthServiceServer;
use crate::proto::api::spot_cam::lighting_service_server::LightingServiceServer;
use crate::proto::api::spot_cam::network_service_server::NetworkServiceServer;
use crate::proto::api::spot_cam::power_service_server::PowerServiceServer;
use crate::proto::api::spot_cam::ptz_service_server::PtzServiceServer;
use crate::proto::api::spot_cam::stream_quality_service_server::StreamQualityServiceServer;
use crate::proto::api::spot_cam::version_service_server::VersionServiceServer;
use crate::proto::api::{
    CommonError, RequestHeader, ResponseHeader, auth_service_server::AuthServiceServer,
    directory_service_server::DirectoryServiceServer, fault_service_server::FaultServiceServer,
    payload_registration_service_server::PayloadRegistrationServiceServer,
    payload_service_server::PayloadServiceServer, robot_id_service_server::RobotIdServiceServer,
    time_sync_service_server::TimeSyncServiceServer,
};
use crate::world::World;

type Answer<T> = Result<Response<T>, Status>;

/// All services of the robot and its camera.
pub(crate) fn routes(world: &Arc<World>) -> Routes {
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(AuthServiceServer::from_arc(Arc::clone(world)))
        .add_service(RobotIdServiceServer::from_arc(Arc::clone(world)))
        .add_service(DirectoryServiceServer::from_arc(Arc::clone(world)))
        .add_service(PayloadServiceServer::from_arc(Arc::clone(world)))
        .add_service(PayloadRegistrationServiceServer::from_arc(Arc::clone(world)))
        .add_service(TimeSyncServiceServer::from_arc(Arc::clone(world)))
        .add_service(FaultServiceServer::from_arc(Arc::clone(world)))
        .add_service(StreamQualityServiceServer::from_arc(Arc::clone(world)))
        .add_service(CompositorServiceServer::from_arc(Arc::clone(world)))
        .add_service(VersionServiceServer::from_arc(Arc::clone(world)))
        .add_service(NetworkServiceServer::from_arc(Arc::clone(world)))
        .add_service(HealthServiceServer::from_arc(Arc::clone(world)))
        .add_service(PowerServiceServer::from_arc(Arc::clone(world)))
        .add_service(LightingServiceServer::from_arc(Arc::clone(world)))
        .add_service(PtzServiceServer::from_arc(Arc::clone(world)))
        .add_service(AudioServiceServer::from_arc(Arc::clone(world)));
    routes.routes()
}

/// The header of a call that was carried out.
fn done(request: Option<RequestHeader>) -> Option<ResponseHeader> {
    header(request, Code::Ok, String::new())
}

/// The header of a call that asks for something that does not exist.
fn invalid(request: Option<RequestHeader>, message: impl Into<String>) -> Option<ResponseHeader> {
    header(request, Code::InvalidRequest, message.into())
}

fn header(request: Option<RequestHeader>, code: Code, message: String) -> Option<ResponseHeader> {
    let now = Some(SystemTime::now().into());
    Some(ResponseHeader {
        request_header: request,
        request_received_timestamp: now,
        response_timestamp: now,
        error: Some(CommonError {
            code: code.into(),
            message,
            data: None,
        }),
        request: None,
    })
}

/// A failure of the simulator itself.
fn internal(error: &anyhow::Error) -> Status {
    Status::internal(format!("{error:#}"))
}
