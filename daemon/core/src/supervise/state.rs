//! The states a person is told about, and what moves between them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::network::Networks;

/// What the appliance is doing. The names are what the status page, D-Bus and the journal show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Stopped by a person, or not started because the settings say `autostart = false`.
    Idle,
    /// There is no way to the robot or to the internet.
    WaitingForNetwork(Side, Problem),
    /// The robot does not answer, or has not let us in yet.
    WaitingForRobot(Option<Problem>),
    /// The robot knows us, but its administrator has not authorized us.
    WaitingForAuthorization,
    /// The robot has let us in; the stream is being brought up.
    Connecting(Stage, Option<Problem>),
    /// The robot's picture is on the ingest server.
    Live,
    /// On air, but with less than was asked for.
    Degraded(Shortfalls),
    /// Only a person can help.
    Fault(Problem),
}

/// The two networks that the appliance stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The Ethernet to the robot.
    Robot,
    /// The way to the internet. The session with the camera stands meanwhile.
    Uplink,
}

/// How far the stream has come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the camera's settings, keeping them, setting ours.
    Camera,
    /// Offer, answer, ICE and DTLS with the camera.
    Session,
    /// Connecting to the ingest server.
    Ingest,
}

/// What a stage reports when it could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable machine word, for metrics and tests.
    pub kind: Cow<'static, str>,
    /// One plain sentence for a person; it holds no secret.
    pub reason: String,
    /// What can be done about it without a person.
    pub remedy: Remedy,
}

impl Problem {
    /// A problem with its word, its remedy and its sentence.
    pub fn new(kind: impl Into<Cow<'static, str>>, remedy: Remedy, reason: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            reason: reason.into(),
            remedy,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What helps against a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Trying again after a pause.
    Retry,
    /// Trying again, but not sooner than this.
    RetryAfter(Duration),
    /// Waiting for the network to change, and trying now and then all the same.
    AwaitNetwork,
    /// Logging in to the robot anew.
    SignIn,
    /// Nothing that the appliance can do, if it happens again and again: a server that just hangs up has refused us,
    /// or the line broke at that moment.
    PersonIfRepeated,
    /// Nothing that the appliance can do: a person must act.
    Person,
}

/// The ways in which a stream can be on air with less than was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortfalls {
    /// The camera has not taken all the settings we asked for.
    pub camera_settings: bool,
    /// No picture has come from the camera for a while.
    pub no_picture: bool,
    /// The uplink does not carry the stream; pictures are being dropped.
    pub uplink_choked: bool,
}

impl Shortfalls {
    /// Whether nothing is missing.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Shortfalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences = [
            (self.no_picture, "the camera has stopped sending pictures"),
            (
                self.uplink_choked,
                "the internet connection is too slow for the stream, pictures are being dropped",
            ),
            (
                self.camera_settings,
                "the camera has not taken all the settings we asked for",
            ),
        ];
        let mut separator = "";
        for (_, sentence) in sentences.iter().filter(|(holds, _)| *holds) {
            write!(f, "{separator}{sentence}")?;
            separator = "; ";
        }
        Ok(())
    }
}

/// How far things have come: what stands, and so what an event can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// `Idle` and `Fault`.
    Nothing,
    /// The robot is being asked to let us in.
    Robot,
    /// The camera is being set up.
    Camera,
    /// The session with the camera is being negotiated.
    Session,
    /// The session stands; the publication comes up, waits for the uplink, or is on air.
    Standing,
}

impl State {
    /// How far things have come in this state.
    pub fn reach(&self) -> Reach {
        match self {
            Self::Idle | Self::Fault(_) => Reach::Nothing,
            Self::WaitingForNetwork(Side::Robot, _)
            | Self::WaitingForRobot(_)
            | Self::WaitingForAuthorization => Reach::Robot,
            Self::Connecting(Stage::Camera, _) => Reach::Camera,
            Self::Connecting(Stage::Session, _) => Reach::Session,
            Self::Connecting(Stage::Ingest, _)
            | Self::WaitingForNetwork(Side::Uplink, _)
            | Self::Live
            | Self::Degraded(_) => Reach::Standing,
        }
    }

    /// The name of the state, as D-Bus and the status page show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::WaitingForNetwork(..) => "WaitingForNetwork",
            Self::WaitingForRobot(_) => "WaitingForRobot",
            Self::WaitingForAuthorization => "WaitingForAuthorization",
            Self::Connecting(..) => "Connecting",
            Self::Live => "Live",
            Self::Degraded(_) => "Degraded",
            Self::Fault(_) => "Fault",
        }
    }

    /// The machine word for why it is so; empty where nothing is wrong.
    pub fn kind(&self) -> &str {
        match self {
            Self::WaitingForNetwork(_, problem)
            | Self::WaitingForRobot(Some(problem))
            | Self::Connecting(_, Some(problem))
            | Self::Fault(problem) => &problem.kind,
            Self::WaitingForAuthorization => "payload-not-authorized",
            Self::Degraded(shortfalls) if shortfalls.no_picture => "no-picture",
            Self::Degraded(shortfalls) if shortfalls.uplink_choked => "uplink-choked",
            Self::Degraded(_) => "camera-settings",
            Self::Idle | Self::WaitingForRobot(None) | Self::Connecting(_, None) | Self::Live => "",
        }
    }

    /// One plain sentence for a person.
    pub fn reason(&self) -> String {
        match self {
            Self::Idle => "stopped; start it with the status page or 'spotstreamctl start'".to_owned(),
            Self::WaitingForNetwork(_, problem) | Self::Fault(problem) => problem.reason.clone(),
            Self::WaitingForRobot(Some(problem)) | Self::Connecting(_, Some(problem)) => {
                problem.reason.clone()
            }
            Self::WaitingForRobot(None) => "looking for the robot".to_owned(),
            Self::WaitingForAuthorization => {
                "the robot's administrator has not authorized this payload yet: open \
                 the robot's web page, Payloads, and authorize it"
                    .to_owned()
            }
            Self::Connecting(Stage::Camera, None) => "setting up the camera".to_owned(),
            Self::Connecting(Stage::Session, None) => "connecting to the camera".to_owned(),
            Self::Connecting(Stage::Ingest, None) => "connecting to the streaming server".to_owned(),
            Self::Live => "the robot's camera is on air".to_owned(),
            Self::Degraded(shortfalls) => shortfalls.to_string(),
        }
    }

    /// Whether the picture is on the ingest server.
    pub fn is_on_air(&self) -> bool {
        matches!(self, Self::Live | Self::Degraded(_))
    }
}

/// What has happened. Each stage says only what it saw; what follows is decided in [`super::step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person wants the stream, or `autostart` is set.
    Start,
    /// A person wants it to end, or the service is being stopped.
    Stop,
    /// A link, an address or a route has changed: what could not be reached may be there now.
    NetworkChanged,
    /// How the two networks stand now.
    Network(Networks),
    /// The camera has sent something, or the server has acknowledged something, since [`Command::Listen`].
    Heard(Side),
    /// A person has accepted a changed certificate or changed the settings: a fault may be gone.
    Mended,
    /// The robot has let us in.
    LoggedIn,
    /// The robot knows us, but its administrator has not authorized us.
    AuthorizationPending,
    /// The robot has not let us in.
    LoginFailed(Problem),
    /// The camera's settings are kept and ours are set; `complete` tells whether it took them all.
    CameraReady {
        /// Whether the camera applied everything we asked for.
        complete: bool,
    },
    /// The camera's settings could not be read or set.
    CameraFailed(Problem),
    /// ICE and DTLS with the camera are through.
    SessionConnected,
    /// The session with the camera is over.
    SessionClosed(Problem),
    /// No picture has come for a while, though the session stands.
    PictureStalled,
    /// Pictures come again.
    PictureBack,
    /// A picture was lost or the uplink dropped some: only a key frame helps.
    KeyFrameNeeded,
    /// The camera has changed the size of its picture, which takes a new publication.
    SizeChanged,
    /// The camera sends what cannot be published.
    Unsupported(Problem),
    /// The first picture has gone out to the ingest server, which takes our frames.
    OnAir,
    /// The connection to the ingest server is over.
    IngestClosed(Problem),
    /// The uplink does not carry the stream.
    UplinkChoked,
    /// The uplink carries the stream again.
    UplinkRelieved,
    /// The time that [`super::step::Supervisor::deadline`] named has come.
    Woken,
}

impl Event {
    /// The event's name, as the log and `docs/states.md` have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::NetworkChanged => "NetworkChanged",
            Self::Network(_) => "Network",
            Self::Heard(_) => "Heard",
            Self::Mended => "Mended",
            Self::LoggedIn => "LoggedIn",
            Self::AuthorizationPending => "AuthorizationPending",
            Self::LoginFailed(_) => "LoginFailed",
            Self::CameraReady { .. } => "CameraReady",
            Self::CameraFailed(_) => "CameraFailed",
            Self::SessionConnected => "SessionConnected",
            Self::SessionClosed(_) => "SessionClosed",
            Self::PictureStalled => "PictureStalled",
            Self::PictureBack => "PictureBack",
            Self::KeyFrameNeeded => "KeyFrameNeeded",
            Self::SizeChanged => "SizeChanged",
            Self::Unsupported(_) => "Unsupported",
            Self::OnAir => "OnAir",
            Self::IngestClosed(_) => "IngestClosed",
            Self::UplinkChoked => "UplinkChoked",
            Self::UplinkRelieved => "UplinkRelieved",
            Self::Woken => "Woken",
        }
    }
}

/// What the run loop is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Log in to the robot, and keep the login fresh.
    LogIn,
    /// Try nothing on the robot's side by timers: there is no way to it.
    Rest,
    /// Say [`Event::Heard`] when something comes from there.
    Listen(Side),
    /// Read, keep and set the camera's settings.
    PrepareCamera,
    /// Negotiate a session with the camera.
    OpenSession,
    /// Ask the camera for a key frame.
    RequestKeyFrame,
    /// End the session with the camera.
    CloseSession,
    /// Connect to the ingest server; frames start at the next IDR.
    OpenIngest,
    /// End the publication.
    CloseIngest,
    /// Put the camera's settings back as they were before us.
    RestoreCamera,
}
