//! Payloads: their list, their registration, and login by guid and secret once an administrator has said yes.

use tonic::{Request, Response};

use super::{Answer, done, internal};
use crate::locked;
use crate::proto::api::get_payload_auth_token_response::Status as TokenStatus;
use crate::proto::api::payload_registration_service_server::PayloadRegistrationService;
use crate::proto::api::payload_service_server::PayloadService;
use crate::proto::api::register_payload_response::Status as RegisterStatus;
use crate::proto::api::update_payload_attached_response::Status as AttachedStatus;
use crate::proto::api::update_payload_version_response::Status as VersionStatus;
use crate::proto::api::{
    GetPayloadAuthTokenRequest, GetPayloadAuthTokenResponse, ListPayloadsRequest, ListPayloadsResponse,
    PayloadCredentials, RegisterPayloadRequest, RegisterPayloadResponse, UpdatePayloadAttachedRequest,
    UpdatePayloadAttachedResponse, UpdatePayloadVersionRequest, UpdatePayloadVersionResponse,
};
use crate::world::{Owner, Registered, State, World};

#[tonic::async_trait]
impl PayloadService for World {
    async fn list_payloads(&self, request: Request<ListPayloadsRequest>) -> Answer<ListPayloadsResponse> {
        let payloads = locked(&self.state)
            .payloads
            .values()
            .map(|entry| entry.payload.clone())
            .collect();
        Ok(Response::new(ListPayloadsResponse {
            header: done(request.into_inner().header),
            payloads,
        }))
    }
}

#[tonic::async_trait]
impl PayloadRegistrationService for World {
    /// Whatever a payload claims, only an administrator authorizes and enables it.
    async fn register_payload(
        &self,
        request: Request<RegisterPayloadRequest>,
    ) -> Answer<RegisterPayloadResponse> {
        let RegisterPayloadRequest {
            header,
            payload,
            payload_secret,
        } = request.into_inner();
        let mut payload = payload.unwrap_or_default();
        let mut state = locked(&self.state);
        let status = if state.payloads.contains_key(&payload.guid) {
            RegisterStatus::AlreadyExists
        } else {
            (payload.is_authorized, payload.is_enabled) = (false, false);
            state.payloads.insert(
                payload.guid.clone(),
                Registered {
                    payload,
                    secret: payload_secret,
                },
            );
            RegisterStatus::Ok
        };
        Ok(Response::new(RegisterPayloadResponse {
            header: done(header),
            status: status.into(),
        }))
    }

    async fn update_payload_version(
        &self,
        request: Request<UpdatePayloadVersionRequest>,
    ) -> Answer<UpdatePayloadVersionResponse> {
        let request = request.into_inner();
        let given = request.payload_credentials.unwrap_or(PayloadCredentials {
            guid: request.payload_guid,
            secret: request.payload_secret,
        });
        let status = match locked(&self.state).payloads.get_mut(&given.guid) {
            None => VersionStatus::DoesNotExist,
            Some(entry) if entry.secret != given.secret => VersionStatus::InvalidCredentials,
            Some(entry) => {
                entry.payload.version = request.updated_version;
                VersionStatus::Ok
            }
        };
        Ok(Response::new(UpdatePayloadVersionResponse {
            header: done(request.header),
            status: status.into(),
        }))
    }

    async fn get_payload_auth_token(
        &self,
        request: Request<GetPayloadAuthTokenRequest>,
    ) -> Answer<GetPayloadAuthTokenResponse> {
        let request = request.into_inner();
        let given = request.payload_credentials.unwrap_or(PayloadCredentials {
            guid: request.payload_guid,
            secret: request.payload_secret,
        });
        let mut state = locked(&self.state);
        let status = judge(&state, &given);
        let token = if status == TokenStatus::Ok {
            state
                .issue_token(Owner::Payload(given.guid))
                .map_err(|error| internal(&error))?
        } else {
            String::new()
        };
        Ok(Response::new(GetPayloadAuthTokenResponse {
            header: done(request.header),
            status: status.into(),
            token,
        }))
    }

    async fn update_payload_attached(
        &self,
        request: Request<UpdatePayloadAttachedRequest>,
    ) -> Answer<UpdatePayloadAttachedResponse> {
        let request = request.into_inner();
        let given = request.payload_credentials.unwrap_or_default();
        let status = match locked(&self.state).payloads.get(&given.guid) {
            None => AttachedStatus::DoesNotExist,
            Some(entry) if entry.secret != given.secret => AttachedStatus::InvalidCredentials,
            Some(entry) if !entry.payload.is_authorized => AttachedStatus::PayloadNotAuthorized,
            Some(_) => AttachedStatus::Ok,
        };
        Ok(Response::new(UpdatePayloadAttachedResponse {
            header: done(request.header),
            status: status.into(),
        }))
    }
}

fn judge(state: &State, given: &PayloadCredentials) -> TokenStatus {
    match state.payloads.get(&given.guid) {
        Some(entry) if entry.secret.is_empty() || entry.secret != given.secret => {
            TokenStatus::InvalidCredentials
        }
        Some(entry) if !entry.payload.is_authorized => TokenStatus::PayloadNotAuthorized,
        Some(_) => TokenStatus::Ok,
        None => TokenStatus::InvalidCredentials,
    }
}
