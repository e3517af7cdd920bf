//! Stream parameters: global, merged field by field, and answered as they are applied.

use tonic::{Request, Response};

use super::{Answer, done, invalid};
use crate::locked;
use crate::proto::api::spot_cam::stream_quality_service_server::StreamQualityService;
use crate::proto::api::spot_cam::{
    EnableCongestionControlRequest, EnableCongestionControlResponse, GetStreamParamsRequest,
    GetStreamParamsResponse, SetStreamParamsRequest, SetStreamParamsResponse, StreamParams,
};
use crate::world::World;

/// What the encoder can do, in bits per second.
const BITRATES: std::ops::RangeInclusive<i64> = 100_000..=20_000_000;

#[tonic::async_trait]
impl StreamQualityService for World {
    async fn set_stream_params(
        &self,
        request: Request<SetStreamParamsRequest>,
    ) -> Answer<SetStreamParamsResponse> {
        let request = request.into_inner();
        let mut state = locked(&self.state);
        let header = match merged(&state.params, &request.params.unwrap_or_default()) {
            Ok(params) => {
                self.camera.controls.change(|wanted| {
                    let whole = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
                    wanted.bitrate = whole(params.targetbitrate).unwrap_or(wanted.bitrate);
                    wanted.idr_interval = whole(params.idrinterval).unwrap_or(wanted.idr_interval);
                    wanted.refresh_interval =
                        whole(params.refreshinterval).unwrap_or(wanted.refresh_interval);
                });
                state.params = params;
                done(request.header)
            }
            Err(reason) => invalid(request.header, reason),
        };
        Ok(Response::new(SetStreamParamsResponse {
            header,
            params: Some(state.params),
        }))
    }

    async fn get_stream_params(
        &self,
        request: Request<GetStreamParamsRequest>,
    ) -> Answer<GetStreamParamsResponse> {
        let params = locked(&self.state).params;
        Ok(Response::new(GetStreamParamsResponse {
            header: done(request.into_inner().header),
            params: Some(params),
        }))
    }

    async fn enable_congestion_control(
        &self,
        request: Request<EnableCongestionControlRequest>,
    ) -> Answer<EnableCongestionControlResponse> {
        let request = request.into_inner();
        locked(&self.state).congestion_control = Some(request.enable_congestion_control);
        Ok(Response::new(EnableCongestionControlResponse {
            header: done(request.header),
        }))
    }
}

/// Only the fields that are set change.
fn merged(old: &StreamParams, new: &StreamParams) -> Result<StreamParams, String> {
    for (name, value, least) in [
        ("targetbitrate", new.targetbitrate, 1),
        ("refreshinterval", new.refreshinterval, 0),
        ("idrinterval", new.idrinterval, 0),
    ] {
        if value.is_some_and(|value| value < least || value > i64::from(u32::MAX)) {
            return Err(format!("{name} is out of range"));
        }
    }
    Ok(StreamParams {
        targetbitrate: new
            .targetbitrate
            .map(|bits| bits.clamp(*BITRATES.start(), *BITRATES.end()))
            .or(old.targetbitrate),
        refreshinterval: new.refreshinterval.or(old.refreshinterval),
        idrinterval: new.idrinterval.or(old.idrinterval),
        awb: new.awb.or(old.awb),
        exposure: new.exposure.or(old.exposure),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> StreamParams {
        StreamParams {
            targetbitrate: Some(4_000_000),
            refreshinterval: Some(30),
            idrinterval: Some(0),
            ..StreamParams::default()
        }
    }

    #[test]
    fn fields_that_are_not_set_stay() {
        let new = StreamParams {
            idrinterval: Some(60),
            ..StreamParams::default()
        };
        assert_eq!(
            merged(&old(), &new),
            Ok(StreamParams {
                idrinterval: Some(60),
                ..old()
            })
        );
    }

    #[test]
    fn a_bitrate_beyond_the_encoder_is_cut_and_one_below_zero_refused() {
        let set = |bits| {
            merged(
                &old(),
                &StreamParams {
                    targetbitrate: Some(bits),
                    ..StreamParams::default()
                },
            )
        };
        assert_eq!(set(90_000_000).unwrap().targetbitrate, Some(20_000_000));
        assert!(set(-1).is_err());
        assert!(set(0).is_err());
    }
}
