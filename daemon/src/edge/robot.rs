//! The robot's gRPC services: who it is, a login, its directory, and the settings of its camera.
//!
//! No lease, no E-stop and no power service is called, and no client for them exists (`build.rs`).

mod channel;
mod error;
mod login;
mod proto;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use spotstream_core::robot::custody::Settings;
use spotstream_core::robot::directory::{Directory, Service};
use spotstream_core::robot::screens::ScreenName;
use spotstream_core::robot::stream_parameters::StreamParameters;
use spotstream_core::secret::Secret;
use tokio::time::timeout;
use tonic::transport::Channel;

pub use super::bind::Bind;
pub use channel::Trust;
pub use error::Error;
pub use login::Registration;

use channel::{Dialer, Line};
use proto::directory_service_client::DirectoryServiceClient;
use proto::robot_id_service_client::RobotIdServiceClient;
use proto::spot_cam;
use proto::spot_cam::compositor_service_client::CompositorServiceClient;
use proto::spot_cam::stream_quality_service_client::StreamQualityServiceClient;
use proto::spot_cam::version_service_client::VersionServiceClient;
use wire::Reply;

/// The time for one call, connecting included.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Where a robot is looked for, in this order: the payload port's network, the rear port's, and the address that
/// some set-ups give it there.
pub const DEFAULT_HOSTS: [SocketAddr; 3] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 50, 3)), 443),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)), 443),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)), 443),
];

/// How to reach the robot.
#[derive(Clone)]
pub struct Plan {
    /// Addresses to try, in order.
    pub hosts: Vec<SocketAddr>,
    /// The network to use.
    pub bind: Bind,
    /// How its certificates are trusted.
    pub trust: Trust,
    /// What the robot's logs call us; not empty.
    pub client_name: String,
}

/// Who the robot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Such as `spot-BD-12345678`.
    pub serial_number: String,
    /// As its owner has named it; may be empty.
    pub nickname: String,
    /// Of its software, such as `5.1.4`.
    pub version: String,
}

/// A robot that has answered.
pub struct Robot {
    address: SocketAddr,
    identity: Identity,
    plan: Plan,
    lines: Mutex<BTreeMap<String, Line>>,
    token: Mutex<Option<Secret>>,
    directory: Mutex<Directory>,
}

impl Robot {
    /// Tries the hosts in order, and takes the first that says who it is.
    ///
    /// # Errors
    /// Of all tries, the error that says most: a changed certificate before a refusal before silence.
    pub async fn connect(plan: &Plan) -> Result<Self, Error> {
        let mut worst: Option<Error> = None;
        for &address in &plan.hosts {
            let mut robot = Self {
                address,
                identity: Identity {
                    serial_number: String::new(),
                    nickname: String::new(),
                    version: String::new(),
                },
                plan: plan.clone(),
                lines: Mutex::default(),
                token: Mutex::default(),
                directory: Mutex::default(),
            };
            match robot.robot_id().await {
                Ok(identity) => {
                    robot.identity = identity;
                    return Ok(robot);
                }
                Err(error) => {
                    tracing::debug!(%address, kind = error.kind(), %error, "no robot here");
                    if worst.as_ref().is_none_or(|worst| worst.weight() < error.weight()) {
                        worst = Some(error);
                    }
                }
            }
        }
        Err(worst.unwrap_or(Error::NoHost))
    }

    /// The address that answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who answered.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Asks again who the robot is, which needs no login: the cheapest sign of life.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn robot_id(&self) -> Result<Identity, Error> {
        let line = self.line(Service::RobotId)?;
        let mut client = RobotIdServiceClient::new(line.channel.clone());
        let request = self.request(proto::RobotIdRequest {
            header: self.header(),
        })?;
        let reply = self
            .call(&line, "GetRobotId", client.get_robot_id(request))
            .await?;
        Ok(wire::identity(reply.robot_id.unwrap_or_default()))
    }

    /// Reads the directory, by which the camera's services are found from now on.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn services(&self) -> Result<Directory, Error> {
        let line = self.line(Service::Directory)?;
        let mut client = DirectoryServiceClient::new(line.channel.clone());
        let request = self.request(proto::ListServiceEntriesRequest {
            header: self.header(),
        })?;
        let reply = self
            .call(&line, "ListServiceEntries", client.list_service_entries(request))
            .await?;
        let directory = wire::directory(reply);
        *lock(&self.directory) = directory.clone();
        Ok(directory)
    }

    /// The encoder settings as they are.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn stream_parameters(&self) -> Result<StreamParameters, Error> {
        const METHOD: &str = "GetStreamParams";
        let (line, mut client) = self.stream_quality()?;
        let request = self.request(spot_cam::GetStreamParamsRequest {
            header: self.header(),
        })?;
        let reply = self
            .call(&line, METHOD, client.get_stream_params(request))
            .await?;
        wire::from_stream_params(METHOD, reply.params)
    }

    /// Sets the fields that are given, and returns the settings as the camera then has them.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn set_stream_parameters(&self, wanted: &StreamParameters) -> Result<StreamParameters, Error> {
        const METHOD: &str = "SetStreamParams";
        let (line, mut client) = self.stream_quality()?;
        let params = Some(wire::to_stream_params(METHOD, wanted)?);
        let request = self.request(spot_cam::SetStreamParamsRequest {
            header: self.header(),
            params,
        })?;
        let reply = self
            .call(&line, METHOD, client.set_stream_params(request))
            .await?;
        wire::from_stream_params(METHOD, reply.params)
    }

    /// Lets the camera follow the receiver's feedback, or not. The robot tells nobody how it was before.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn enable_congestion_control(&self, enable: bool) -> Result<(), Error> {
        let (line, mut client) = self.stream_quality()?;
        let request = self.request(spot_cam::EnableCongestionControlRequest {
            header: self.header(),
            enable_congestion_control: enable,
        })?;
        self.call(
            &line,
            "EnableCongestionControl",
            client.enable_congestion_control(request),
        )
        .await?;
        Ok(())
    }

    /// The screens that the camera has.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn screens(&self) -> Result<Vec<ScreenName>, Error> {
        let (line, mut client) = self.compositor()?;
        let request = self.request(spot_cam::ListScreensRequest {
            header: self.header(),
        })?;
        let reply = self
            .call(&line, "ListScreens", client.list_screens(request))
            .await?;
        reply
            .screens
            .iter()
            .map(|screen| Ok(screen.name.parse()?))
            .collect()
    }

    /// The screen that is shown, to everybody who watches this camera.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn screen(&self) -> Result<ScreenName, Error> {
        let (line, mut client) = self.compositor()?;
        let request = self.request(spot_cam::GetScreenRequest {
            header: self.header(),
        })?;
        let reply = self.call(&line, "GetScreen", client.get_screen(request)).await?;
        Ok(reply.name.parse()?)
    }

    /// Shows another screen, and returns the one that is then shown.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the camera has no such screen.
    pub async fn set_screen(&self, screen: &ScreenName) -> Result<ScreenName, Error> {
        let (line, mut client) = self.compositor()?;
        let name = screen.as_str().to_owned();
        let request = self.request(spot_cam::SetScreenRequest {
            header: self.header(),
            name,
        })?;
        let reply = self.call(&line, "SetScreen", client.set_screen(request)).await?;
        Ok(reply.name.parse()?)
    }

    /// Every setting that can be on loan.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn settings(&self) -> Result<Settings, Error> {
        Ok(Settings {
            parameters: self.stream_parameters().await?,
            screen: Some(self.screen().await?),
        })
    }

    /// Sets what is given, and returns what the camera has of it then.
    ///
    /// # Errors
    /// As every call: see [`Error`]. What came before the failed call is set.
    pub async fn apply(&self, change: &Settings) -> Result<Settings, Error> {
        let mut applied = Settings::default();
        if !change.parameters.is_empty() {
            applied.parameters = self.set_stream_parameters(&change.parameters).await?;
        }
        if let Some(screen) = &change.screen {
            applied.screen = Some(self.set_screen(screen).await?);
        }
        Ok(applied)
    }

    /// The version of the Spot CAM's software, such as `5.1.4`.
    ///
    /// # Errors
    /// As every call: see [`Error`].
    pub async fn camera_version(&self) -> Result<String, Error> {
        let line = self.line(Service::Version)?;
        let mut client = VersionServiceClient::new(line.channel.clone());
        let request = self.request(spot_cam::GetSoftwareVersionRequest {
            header: self.header(),
        })?;
        let reply = self
            .call(&line, "GetSoftwareVersion", client.get_software_version(request))
            .await?;
        Ok(wire::version(reply.version.unwrap_or_default()))
    }

    fn stream_quality(&self) -> Result<(Line, StreamQualityServiceClient<Channel>), Error> {
        let line = self.line(Service::StreamQuality)?;
        let client = StreamQualityServiceClient::new(line.channel.clone());
        Ok((line, client))
    }

    fn compositor(&self) -> Result<(Line, CompositorServiceClient<Channel>), Error> {
        let line = self.line(Service::Compositor)?;
        let client = CompositorServiceClient::new(line.channel.clone());
        Ok((line, client))
    }

    fn line(&self, service: Service) -> Result<Line, Error> {
        let authority = lock(&self.directory).authority(service)?;
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get(authority.as_str()) {
            return Ok(line.clone());
        }
        let Plan { bind, trust, .. } = self.plan.clone();
        let line = Line::new(Dialer::new(self.address, authority.clone(), bind, trust))?;
        lines.insert(authority.as_str().to_owned(), line.clone());
        Ok(line)
    }

    fn header(&self) -> Option<proto::RequestHeader> {
        Some(proto::RequestHeader {
            request_timestamp: Some(SystemTime::now().into()),
            client_name: self.plan.client_name.clone(),
            disable_rpc_logging: false,
        })
    }

    fn request<T>(&self, message: T) -> Result<tonic::Request<T>, Error> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &*lock(&self.token) {
            request
                .metadata_mut()
                .insert("authorization", wire::bearer(token)?);
        }
        Ok(request)
    }

    async fn call<T: Reply>(
        &self,
        line: &Line,
        method: &'static str,
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        // One that an earlier call has left must not pass for this call's.
        drop(line.take_failure());
        let reply = match timeout(CALL_LIMIT, answer).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => {
                return Err(line
                    .take_failure()
                    .unwrap_or_else(|| Error::from_status(method, &status)));
            }
            Err(_) => {
                // The peer may be gone without a word; the next call starts with a new connection.
                lock(&self.lines).clear();
                return Err(Error::TimedOut {
                    task: "get an answer from the robot",
                    limit: CALL_LIMIT,
                });
            }
        };
        wire::check(method, &reply)?;
        Ok(reply)
    }
}

impl std::fmt::Debug for Robot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Robot")
            .field("address", &self.address)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
