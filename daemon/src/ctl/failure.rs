//! Why a command failed, as a sentence that says what to do, and the exit code.

use spotstreamd::config::Problems;
use spotstreamd::edge::appliance::ABSENT;
use zbus::DBusError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no bus.
    #[error("failed to reach the system bus: {0}")]
    NoBus(zbus::Error),
    /// There is nobody with our name on the bus.
    #[error(
        "the daemon is not running; start it with 'systemctl start spotstreamd', and see why it stopped with 'journalctl -u spotstreamd'"
    )]
    NotRunning,
    /// The image's own service is not on the bus.
    #[error("{ABSENT}")]
    NoAppliance,
    /// The bus does not let us.
    #[error(
        "not permitted; use 'sudo', or join the group with 'sudo usermod -aG spotstream $USER' and log in again"
    )]
    NotPermitted,
    /// The daemon, or the image's own service, says no.
    #[error("{0}")]
    Refused(String),
    /// Something that should not be.
    #[error("failed to talk to the daemon: {0}")]
    Protocol(zbus::Error),
    /// The settings file.
    #[error("{0}")]
    Settings(#[from] Problems),
    /// The settings file, for programs.
    #[error("{0}")]
    SettingsAsJson(String),
}

impl Failure {
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Protocol(_) => 1,
            Self::NoBus(_) | Self::NotRunning | Self::NoAppliance => 3,
            Self::NotPermitted => 4,
            Self::Settings(_) | Self::SettingsAsJson(_) => 5,
        }
    }
}

/// What the errors of all our services begin with.
const OURS: &str = "org.spotstream.";

impl Failure {
    /// Why the image's own service was not reached.
    pub(crate) fn of_appliance(error: zbus::Error) -> Self {
        let failure = Self::from(error);
        if matches!(failure, Self::NotRunning) {
            Self::NoAppliance
        } else {
            failure
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        match error_name(&error).as_deref() {
            Some(
                "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner",
            ) => Self::NotRunning,
            Some("org.freedesktop.DBus.Error.AccessDenied") => Self::NotPermitted,
            Some(name) if name.starts_with(OURS) => Self::Refused(sentence(&error)),
            _ => Self::Protocol(error),
        }
    }
}

/// The D-Bus name of an error that came as an answer; zbus sorts the standard ones out.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are not answers")]
fn error_name(error: &zbus::Error) -> Option<String> {
    match error {
        zbus::Error::MethodError(name, ..) => Some(name.to_string()),
        zbus::Error::FDO(error) => Some(error.name().to_string()),
        _ => None,
    }
}

fn sentence(error: &zbus::Error) -> String {
    if let zbus::Error::MethodError(_, Some(sentence), _) = error {
        sentence.clone()
    } else {
        error.to_string()
    }
}
