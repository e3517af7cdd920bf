//! User login.

use tonic::{Request, Response};

use super::{Answer, done, internal};
use crate::locked;
use crate::proto::api::auth_service_server::AuthService;
use crate::proto::api::get_auth_token_response::Status;
use crate::proto::api::{GetAuthTokenRequest, GetAuthTokenResponse};
use crate::world::{Owner, State, World};

#[tonic::async_trait]
impl AuthService for World {
    async fn get_auth_token(&self, request: Request<GetAuthTokenRequest>) -> Answer<GetAuthTokenResponse> {
        let request = request.into_inner();
        let mut state = locked(&self.state);
        let (status, token) = match owner(&state, &request) {
            Ok(owner) => (
                Status::Ok,
                state.issue_token(owner).map_err(|error| internal(&error))?,
            ),
            Err(status) => (status, String::new()),
        };
        Ok(Response::new(GetAuthTokenResponse {
            header: done(request.header),
            status: status.into(),
            token,
        }))
    }
}

/// A token is renewed by itself, a user logs in by name and password.
fn owner(state: &State, request: &GetAuthTokenRequest) -> Result<Owner, Status> {
    if !request.token.is_empty() {
        return state.owner(&request.token).cloned().ok_or(Status::InvalidToken);
    }
    match state.users.get(&request.username) {
        Some(user) if user.locked_out => Err(Status::TemporarilyLockedOut),
        Some(user) if user.password == request.password => Ok(Owner::User(request.username.clone())),
        _ => Err(Status::InvalidLogin),
    }
}
