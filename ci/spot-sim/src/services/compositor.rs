//! What the picture shows.

use tonic::{Request, Response};

use super::{Answer, done, invalid};
use crate::locked;
use crate::proto::api::spot_cam::compositor_service_server::CompositorService;
use crate::proto::api::spot_cam::get_visible_cameras_response::Stream;
use crate::proto::api::spot_cam::{
    Camera, GetIrColormapRequest, GetIrColormapResponse, GetIrMeterOverlayRequest, GetIrMeterOverlayResponse,
    GetScreenRequest, GetScreenResponse, GetVisibleCamerasRequest, GetVisibleCamerasResponse,
    ListScreensRequest, ListScreensResponse, ScreenDescription, SetIrColormapRequest, SetIrColormapResponse,
    SetIrMeterOverlayRequest, SetIrMeterOverlayResponse, SetScreenRequest, SetScreenResponse,
};
use crate::screens::{self, SCREENS};
use crate::world::World;

impl World {
    /// The name of the screen that is filmed.
    pub(crate) fn screen(&self) -> String {
        SCREENS
            .get(self.camera.controls.wanted().screen)
            .map_or_else(String::new, |screen| screen.name.to_owned())
    }
}

#[tonic::async_trait]
impl CompositorService for World {
    async fn set_screen(&self, request: Request<SetScreenRequest>) -> Answer<SetScreenResponse> {
        let request = request.into_inner();
        let header = match screens::find(&request.name) {
            Some(index) => {
                self.camera.controls.change(|wanted| wanted.screen = index);
                done(request.header)
            }
            None => invalid(request.header, format!("there is no screen '{}'", request.name)),
        };
        Ok(Response::new(SetScreenResponse {
            header,
            name: self.screen(),
        }))
    }

    async fn get_screen(&self, request: Request<GetScreenRequest>) -> Answer<GetScreenResponse> {
        Ok(Response::new(GetScreenResponse {
            header: done(request.into_inner().header),
            name: self.screen(),
        }))
    }

    async fn list_screens(&self, request: Request<ListScreensRequest>) -> Answer<ListScreensResponse> {
        let screens = SCREENS
            .iter()
            .map(|screen| ScreenDescription {
                name: screen.name.to_owned(),
            })
            .collect();
        Ok(Response::new(ListScreensResponse {
            header: done(request.into_inner().header),
            screens,
        }))
    }

    async fn get_visible_cameras(
        &self,
        request: Request<GetVisibleCamerasRequest>,
    ) -> Answer<GetVisibleCamerasResponse> {
        let camera = Camera {
            name: self.screen(),
            ..Camera::default()
        };
        let streams = vec![Stream {
            window: None,
            camera: Some(camera),
        }];
        Ok(Response::new(GetVisibleCamerasResponse {
            header: done(request.into_inner().header),
            streams,
        }))
    }

    async fn set_ir_colormap(&self, request: Request<SetIrColormapRequest>) -> Answer<SetIrColormapResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.ir_colormap = request.map.unwrap_or_default();
        Ok(Response::new(SetIrColormapResponse {
            header: done(request.header),
        }))
    }

    async fn get_ir_colormap(&self, request: Request<GetIrColormapRequest>) -> Answer<GetIrColormapResponse> {
        let map = Some(locked(&self.state).shelf.ir_colormap);
        Ok(Response::new(GetIrColormapResponse {
            header: done(request.into_inner().header),
            map,
        }))
    }

    async fn set_ir_meter_overlay(
        &self,
        request: Request<SetIrMeterOverlayRequest>,
    ) -> Answer<SetIrMeterOverlayResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.ir_meter_overlay = request.overlay.unwrap_or_default();
        Ok(Response::new(SetIrMeterOverlayResponse {
            header: done(request.header),
        }))
    }

    async fn get_ir_meter_overlay(
        &self,
        request: Request<GetIrMeterOverlayRequest>,
    ) -> Answer<GetIrMeterOverlayResponse> {
        let overlay = Some(locked(&self.state).shelf.ir_meter_overlay.clone());
        Ok(Response::new(GetIrMeterOverlayResponse {
            header: done(request.into_inner().header),
            overlay,
        }))
    }
}
