//! The camera's lights.

use tonic::{Request, Response};

use super::{Answer, done};
use crate::locked;
use crate::proto::api::spot_cam::lighting_service_server::LightingService;
use crate::proto::api::spot_cam::{
    GetLedBrightnessRequest, GetLedBrightnessResponse, SetLedBrightnessRequest, SetLedBrightnessResponse,
};
use crate::world::World;

#[tonic::async_trait]
impl LightingService for World {
    async fn set_led_brightness(
        &self,
        request: Request<SetLedBrightnessRequest>,
    ) -> Answer<SetLedBrightnessResponse> {
        let request = request.into_inner();
        let mut state = locked(&self.state);
        for (index, brightness) in &request.brightnesses {
            if let Some(led) = usize::try_from(*index)
                .ok()
                .and_then(|index| state.shelf.leds.get_mut(index))
            {
                *led = *brightness;
            }
        }
        Ok(Response::new(SetLedBrightnessResponse {
            header: done(request.header),
        }))
    }

    async fn get_led_brightness(
        &self,
        request: Request<GetLedBrightnessRequest>,
    ) -> Answer<GetLedBrightnessResponse> {
        let brightnesses = locked(&self.state).shelf.leds.to_vec();
        Ok(Response::new(GetLedBrightnessResponse {
            header: done(request.into_inner().header),
            brightnesses,
        }))
    }
}
