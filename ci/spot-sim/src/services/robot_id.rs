//! Who the robot is.

use tonic::{Request, Response};

use super::{Answer, done};
use crate::proto::api::robot_id_service_server::RobotIdService;
use crate::proto::api::{RobotId, RobotIdRequest, RobotIdResponse, RobotSoftwareRelease, SoftwareVersion};
use crate::world::World;

/// The release that the simulator claims to be.
pub(super) const RELEASE: SoftwareVersion = SoftwareVersion {
    major_version: 5,
    minor_version: 1,
    patch_level: 4,
};

#[tonic::async_trait]
impl RobotIdService for World {
    async fn get_robot_id(&self, request: Request<RobotIdRequest>) -> Answer<RobotIdResponse> {
        let release = RobotSoftwareRelease {
            version: Some(RELEASE),
            name: "simulated".to_owned(),
            api_version: "5.1.4".to_owned(),
            ..RobotSoftwareRelease::default()
        };
        let robot_id = RobotId {
            serial_number: "spot-sim-0001".to_owned(),
            species: "spot".to_owned(),
            version: "simulated".to_owned(),
            software_release: Some(release),
            nickname: "sim".to_owned(),
            ..RobotId::default()
        };
        Ok(Response::new(RobotIdResponse {
            header: done(request.into_inner().header),
            robot_id: Some(robot_id),
        }))
    }
}
