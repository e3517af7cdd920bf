//! The camera's software.

use tonic::{Request, Response};

use super::robot_id::RELEASE;
use super::{Answer, done};
use crate::proto::api::spot_cam::version_service_server::VersionService;
use crate::proto::api::spot_cam::{GetSoftwareVersionRequest, GetSoftwareVersionResponse};
use crate::world::World;

#[tonic::async_trait]
impl VersionService for World {
    async fn get_software_version(
        &self,
        request: Request<GetSoftwareVersionRequest>,
    ) -> Answer<GetSoftwareVersionResponse> {
        Ok(Response::new(GetSoftwareVersionResponse {
            header: done(request.into_inner().header),
            version: Some(RELEASE),
            detail: "simulated".to_owned(),
        }))
    }
}
