//! The camera's ICE servers. A test may look whether anybody dared to set them.

use tonic::{Request, Response};

use super::{Answer, done};
use crate::locked;
use crate::proto::api::spot_cam::network_service_server::NetworkService;
use crate::proto::api::spot_cam::{
    GetIceConfigurationRequest, GetIceConfigurationResponse, SetIceConfigurationRequest,
    SetIceConfigurationResponse,
};
use crate::world::World;

#[tonic::async_trait]
impl NetworkService for World {
    async fn set_ice_configuration(
        &self,
        request: Request<SetIceConfigurationRequest>,
    ) -> Answer<SetIceConfigurationResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.ice_servers = request.servers;
        Ok(Response::new(SetIceConfigurationResponse {
            header: done(request.header),
        }))
    }

    async fn get_ice_configuration(
        &self,
        request: Request<GetIceConfigurationRequest>,
    ) -> Answer<GetIceConfigurationResponse> {
        let servers = locked(&self.state).shelf.ice_servers.clone();
        Ok(Response::new(GetIceConfigurationResponse {
            header: done(request.into_inner().header),
            servers,
        }))
    }
}
