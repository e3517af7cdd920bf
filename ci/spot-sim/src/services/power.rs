//! Power of the camera's parts. A test may look whether anybody switched it.

use tonic::{Request, Response};

use super::{Answer, done};
use crate::locked;
use crate::proto::api::spot_cam::power_service_server::PowerService;
use crate::proto::api::spot_cam::{
    CyclePowerRequest, CyclePowerResponse, GetPowerStatusRequest, GetPowerStatusResponse,
    SetPowerStatusRequest, SetPowerStatusResponse,
};
use crate::world::World;

#[tonic::async_trait]
impl PowerService for World {
    async fn get_power_status(
        &self,
        request: Request<GetPowerStatusRequest>,
    ) -> Answer<GetPowerStatusResponse> {
        let status = Some(locked(&self.state).shelf.power);
        Ok(Response::new(GetPowerStatusResponse {
            header: done(request.into_inner().header),
            status,
        }))
    }

    async fn set_power_status(
        &self,
        request: Request<SetPowerStatusRequest>,
    ) -> Answer<SetPowerStatusResponse> {
        let request = request.into_inner();
        let power = &mut locked(&self.state).shelf.power;
        let new = request.status.unwrap_or_default();
        power.ptz = new.ptz.or(power.ptz);
        power.aux1 = new.aux1.or(power.aux1);
        power.aux2 = new.aux2.or(power.aux2);
        power.external_mic = new.external_mic.or(power.external_mic);
        Ok(Response::new(SetPowerStatusResponse {
            header: done(request.header),
            status: Some(*power),
        }))
    }

    async fn cycle_power(&self, request: Request<CyclePowerRequest>) -> Answer<CyclePowerResponse> {
        let status = Some(locked(&self.state).shelf.power);
        Ok(Response::new(CyclePowerResponse {
            header: done(request.into_inner().header),
            status,
        }))
    }
}
