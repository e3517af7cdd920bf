//! Pan, tilt and zoom: positions are kept and given back.

use tonic::{Request, Response};

use super::{Answer, done, invalid};
use crate::locked;
use crate::proto::api::spot_cam::ptz_description::Limits;
use crate::proto::api::spot_cam::ptz_service_server::PtzService;
use crate::proto::api::spot_cam::{
    GetPtzFocusStateRequest, GetPtzFocusStateResponse, GetPtzPositionRequest, GetPtzPositionResponse,
    GetPtzVelocityRequest, GetPtzVelocityResponse, InitializeLensRequest, InitializeLensResponse,
    ListPtzRequest, ListPtzResponse, PtzDescription, PtzPosition, PtzVelocity, SetPtzFocusStateRequest,
    SetPtzFocusStateResponse, SetPtzPositionRequest, SetPtzPositionResponse, SetPtzVelocityRequest,
    SetPtzVelocityResponse,
};
use crate::world::World;

const NAMES: [&str; 3] = ["mech", "digi", "pano"];

fn description(name: &str) -> PtzDescription {
    let limits = |min, max| {
        Some(Limits {
            min: Some(min),
            max: Some(max),
        })
    };
    PtzDescription {
        name: name.to_owned(),
        pan_limit: limits(0.0, 360.0),
        tilt_limit: limits(-30.0, 90.0),
        zoom_limit: limits(1.0, 30.0),
    }
}

fn known(ptz: Option<&PtzDescription>) -> Result<&str, String> {
    let name = ptz.map_or("", |ptz| ptz.name.as_str());
    if NAMES.contains(&name) {
        Ok(name)
    } else {
        Err(format!("there is no PTZ '{name}'"))
    }
}

#[tonic::async_trait]
impl PtzService for World {
    async fn list_ptz(&self, request: Request<ListPtzRequest>) -> Answer<ListPtzResponse> {
        let ptzs = NAMES.into_iter().map(description).collect();
        Ok(Response::new(ListPtzResponse {
            header: done(request.into_inner().header),
            ptzs,
        }))
    }

    async fn get_ptz_position(
        &self,
        request: Request<GetPtzPositionRequest>,
    ) -> Answer<GetPtzPositionResponse> {
        let request = request.into_inner();
        let response = match known(request.ptz.as_ref()) {
            Ok(name) => {
                let kept = locked(&self.state).shelf.positions.get(name).cloned();
                let home = || PtzPosition {
                    ptz: Some(description(name)),
                    pan: Some(0.0),
                    tilt: Some(0.0),
                    zoom: Some(1.0),
                };
                GetPtzPositionResponse {
                    header: done(request.header),
                    position: Some(kept.unwrap_or_else(home)),
                }
            }
            Err(reason) => GetPtzPositionResponse {
                header: invalid(request.header, reason),
                position: None,
            },
        };
        Ok(Response::new(response))
    }

    async fn set_ptz_position(
        &self,
        request: Request<SetPtzPositionRequest>,
    ) -> Answer<SetPtzPositionResponse> {
        let request = request.into_inner();
        let position = request.position.unwrap_or_default();
        let header = match known(position.ptz.as_ref()) {
            Ok(name) => {
                locked(&self.state)
                    .shelf
                    .positions
                    .insert(name.to_owned(), position.clone());
                done(request.header)
            }
            Err(reason) => invalid(request.header, reason),
        };
        Ok(Response::new(SetPtzPositionResponse {
            header,
            position: Some(position),
        }))
    }

    async fn get_ptz_velocity(
        &self,
        request: Request<GetPtzVelocityRequest>,
    ) -> Answer<GetPtzVelocityResponse> {
        let request = request.into_inner();
        let response = match known(request.ptz.as_ref()) {
            Ok(name) => {
                let kept = locked(&self.state).shelf.velocities.get(name).cloned();
                let still = || PtzVelocity {
                    ptz: Some(description(name)),
                    ..PtzVelocity::default()
                };
                GetPtzVelocityResponse {
                    header: done(request.header),
                    velocity: Some(kept.unwrap_or_else(still)),
                }
            }
            Err(reason) => GetPtzVelocityResponse {
                header: invalid(request.header, reason),
                velocity: None,
            },
        };
        Ok(Response::new(response))
    }

    async fn set_ptz_velocity(
        &self,
        request: Request<SetPtzVelocityRequest>,
    ) -> Answer<SetPtzVelocityResponse> {
        let request = request.into_inner();
        let velocity = request.velocity.unwrap_or_default();
        let header = match known(velocity.ptz.as_ref()) {
            Ok(name) => {
                locked(&self.state)
                    .shelf
                    .velocities
                    .insert(name.to_owned(), velocity.clone());
                done(request.header)
            }
            Err(reason) => invalid(request.header, reason),
        };
        Ok(Response::new(SetPtzVelocityResponse {
            header,
            velocity: Some(velocity),
        }))
    }

    async fn initialize_lens(
        &self,
        request: Request<InitializeLensRequest>,
    ) -> Answer<InitializeLensResponse> {
        Ok(Response::new(InitializeLensResponse {
            header: done(request.into_inner().header),
        }))
    }

    async fn set_ptz_focus_state(
        &self,
        request: Request<SetPtzFocusStateRequest>,
    ) -> Answer<SetPtzFocusStateResponse> {
        let request = request.into_inner();
        locked(&self.state).shelf.focus = request.focus_state.unwrap_or_default();
        Ok(Response::new(SetPtzFocusStateResponse {
            header: done(request.header),
        }))
    }

    async fn get_ptz_focus_state(
        &self,
        request: Request<GetPtzFocusStateRequest>,
    ) -> Answer<GetPtzFocusStateResponse> {
        let focus_state = Some(locked(&self.state).shelf.focus);
        Ok(Response::new(GetPtzFocusStateResponse {
            header: done(request.into_inner().header),
            focus_state,
        }))
    }
}
