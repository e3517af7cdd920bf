//! Faults that services and payloads report.

use tonic::{Request, Response};

use super::{Answer, done};
use crate::locked;
use crate::proto::api::clear_service_fault_response::Status as ClearStatus;
use crate::proto::api::fault_service_server::FaultService;
use crate::proto::api::trigger_service_fault_response::Status as TriggerStatus;
use crate::proto::api::{
    ClearServiceFaultRequest, ClearServiceFaultResponse, ServiceFaultId, TriggerServiceFaultRequest,
    TriggerServiceFaultResponse,
};
use crate::world::World;

#[tonic::async_trait]
impl FaultService for World {
    async fn trigger_service_fault(
        &self,
        request: Request<TriggerServiceFaultRequest>,
    ) -> Answer<TriggerServiceFaultResponse> {
        let request = request.into_inner();
        let fault = request.fault.unwrap_or_default();
        let mut state = locked(&self.state);
        let status = if state
            .faults
            .iter()
            .any(|active| active.fault_id == fault.fault_id)
        {
            TriggerStatus::FaultAlreadyActive
        } else {
            state.faults.push(fault);
            TriggerStatus::Ok
        };
        Ok(Response::new(TriggerServiceFaultResponse {
            header: done(request.header),
            status: status.into(),
        }))
    }

    async fn clear_service_fault(
        &self,
        request: Request<ClearServiceFaultRequest>,
    ) -> Answer<ClearServiceFaultResponse> {
        let request = request.into_inner();
        let meant = request.fault_id.clone().unwrap_or_default();
        let mut state = locked(&self.state);
        let before = state.faults.len();
        state
            .faults
            .retain(|fault| !clears(&request, &meant, &fault.fault_id.clone().unwrap_or_default()));
        let status = if state.faults.len() < before {
            ClearStatus::Ok
        } else {
            ClearStatus::FaultNotActive
        };
        Ok(Response::new(ClearServiceFaultResponse {
            header: done(request.header),
            status: status.into(),
        }))
    }
}

fn clears(request: &ClearServiceFaultRequest, meant: &ServiceFaultId, fault: &ServiceFaultId) -> bool {
    fault == meant
        || request.clear_all_service_faults && fault.service_name == meant.service_name
        || request.clear_all_payload_faults && fault.payload_guid == meant.payload_guid
}
