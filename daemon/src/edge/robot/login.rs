//! The calls that come before a token, and those that bring one. None of them carries one in its metadata.

use spotstream_core::robot::directory::Service;
use spotstream_core::robot::login::{Credentials, PayloadCredentials};
use spotstream_core::secret::Secret;

use super::proto::auth_service_client::AuthServiceClient;
use super::proto::payload_registration_service_client::PayloadRegistrationServiceClient;
use super::proto::{
    self, get_auth_token_response, get_payload_auth_token_response, register_payload_response,
};
use super::{Error, Robot, lock, wire};

/// What the robot is told about us as a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Shown on the robot's Payloads page.
    pub name: String,
    /// Shown there too.
    pub description: String,
    /// Of this software: major, minor, patch.
    pub version: (i32, i32, i32),
    /// In kilograms.
    pub mass: f32,
    /// Length, width and height in metres; the mass is taken to be spread evenly.
    pub size: [f64; 3],
}

impl Robot {
    /// Asks for a token by `credentials`, and uses it from now on.
    ///
    /// # Errors
    /// [`Error::InvalidLogin`], [`Error::LockedOut`]; for payloads [`Error::InvalidCredentials`] and
    /// [`Error::NotAuthorized`].
    pub async fn log_in(&self, credentials: &Credentials) -> Result<Secret, Error> {
        let token = match credentials {
            Credentials::User { name, password } => {
                self.auth_token(proto::GetAuthTokenRequest {
                    header: self.header(),
                    username: name.clone(),
                    password: password.reveal().to_owned(),
                    token: String::new(),
                })
                .await?
            }
            Credentials::Payload(payload) => self.payload_token(payload).await?,
        };
        Ok(self.keep(token))
    }

    /// Asks for a new token by the old one, and uses it from now on.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] when only the credentials help.
    pub async fn refresh(&self, token: &Secret) -> Result<Secret, Error> {
        let token = self
            .auth_token(proto::GetAuthTokenRequest {
                header: self.header(),
                username: String::new(),
                password: String::new(),
                token: token.reveal().to_owned(),
            })
            .await?;
        Ok(self.keep(token))
    }

    /// Makes the payload known to the robot. One that it knows already is fine.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn register_payload(
        &self,
        credentials: &PayloadCredentials,
        registration: &Registration,
    ) -> Result<(), Error> {
        use register_payload_response::Status;
        const METHOD: &str = "RegisterPayload";
        let line = self.line(Service::PayloadRegistration)?;
        let mut client = PayloadRegistrationServiceClient::new(line.channel.clone());
        let request = tonic::Request::new(proto::RegisterPayloadRequest {
            header: self.header(),
            payload: Some(wire::payload(&credentials.guid, registration)),
            payload_secret: credentials.secret.reveal().to_owned(),
        });
        let reply = self.call(&line, METHOD, client.register_payload(request)).await?;
        match reply.status() {
            Status::Ok | Status::AlreadyExists => Ok(()),
            Status::Unknown => Err(wire::no_status(METHOD, reply.status)),
        }
    }

    async fn auth_token(&self, request: proto::GetAuthTokenRequest) -> Result<String, Error> {
        use get_auth_token_response::Status;
        const METHOD: &str = "GetAuthToken";
        let line = self.line(Service::Auth)?;
        let mut client = AuthServiceClient::new(line.channel.clone());
        let request = tonic::Request::new(request);
        let reply = self.call(&line, METHOD, client.get_auth_token(request)).await?;
        match reply.status() {
            Status::Ok => wire::token(METHOD, reply.token),
            Status::InvalidLogin => Err(Error::InvalidLogin),
            Status::InvalidToken => Err(Error::InvalidToken),
            Status::TemporarilyLockedOut => Err(Error::LockedOut),
            Status::Unknown => Err(wire::no_status(METHOD, reply.status)),
        }
    }

    async fn payload_token(&self, payload: &PayloadCredentials) -> Result<String, Error> {
        use get_payload_auth_token_response::Status;
        const METHOD: &str = "GetPayloadAuthToken";
        let line = self.line(Service::PayloadRegistration)?;
        let mut client = PayloadRegistrationServiceClient::new(line.channel.clone());
        let request = tonic::Request::new(wire::payload_token_request(self.header(), payload));
        let reply = self
            .call(&line, METHOD, client.get_payload_auth_token(request))
            .await?;
        match reply.status() {
            Status::Ok => wire::token(METHOD, reply.token),
            Status::InvalidCredentials => Err(Error::InvalidCredentials),
            Status::PayloadNotAuthorized => Err(Error::NotAuthorized),
            Status::Unknown => Err(wire::no_status(METHOD, reply.status)),
        }
    }

    fn keep(&self, token: String) -> Secret {
        let token = Secret::new(&token);
        *lock(&self.token) = Some(token.clone());
        token
    }
}
