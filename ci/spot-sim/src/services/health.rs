//! The camera's temperatures and self-test.

use tokio_stream::Once;
use tonic::{Request, Response, Status};

use super::{Answer, done};
use crate::proto::api::DataChunk;
use crate::proto::api::spot_cam::health_service_server::HealthService;
use crate::proto::api::spot_cam::{
    ClearBitEventsRequest, ClearBitEventsResponse, GetBitStatusRequest, GetBitStatusResponse,
    GetSystemLogRequest, GetSystemLogResponse, GetTemperatureRequest, GetTemperatureResponse, Temperature,
};
use crate::world::World;

#[tonic::async_trait]
impl HealthService for World {
    async fn get_temperature(
        &self,
        request: Request<GetTemperatureRequest>,
    ) -> Answer<GetTemperatureResponse> {
        let temps = vec![Temperature {
            channel_name: "encoder".to_owned(),
            temperature: 41_000,
        }];
        Ok(Response::new(GetTemperatureResponse {
            header: done(request.into_inner().header),
            temps,
        }))
    }

    async fn get_bit_status(&self, request: Request<GetBitStatusRequest>) -> Answer<GetBitStatusResponse> {
        let header = done(request.into_inner().header);
        Ok(Response::new(GetBitStatusResponse {
            header,
            ..GetBitStatusResponse::default()
        }))
    }

    async fn clear_bit_events(
        &self,
        request: Request<ClearBitEventsRequest>,
    ) -> Answer<ClearBitEventsResponse> {
        Ok(Response::new(ClearBitEventsResponse {
            header: done(request.into_inner().header),
        }))
    }

    type GetSystemLogStream = Once<Result<GetSystemLogResponse, Status>>;

    async fn get_system_log(
        &self,
        request: Request<GetSystemLogRequest>,
    ) -> Answer<Self::GetSystemLogStream> {
        let text = b"simulated camera: nothing to report\n";
        let data = DataChunk {
            total_size: u64::try_from(text.len()).unwrap_or(0),
            data: text.to_vec(),
        };
        let header = done(request.into_inner().header);
        Ok(Response::new(tokio_stream::once(Ok(GetSystemLogResponse {
            header,
            data: Some(data),
        }))))
    }
}
