//! What can go wrong with NetworkManager.

use std::io;

use zbus::DBusError;

/// Why NetworkManager did not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no bus, or it is gone.
    #[error("failed to reach the system bus: {0}")]
    Bus(#[source] zbus::Error),
    /// Nobody has its name.
    #[error("failed to {0}: NetworkManager is not running")]
    Absent(String),
    /// The bus or polkit says no.
    #[error("failed to {action}: NetworkManager does not let this user do that ({detail})")]
    Refused {
        /// What was tried.
        action: String,
        /// NetworkManager's words.
        detail: String,
    },
    /// The profile means nothing to it: a wrong certificate, a passphrase that is too short.
    #[error("failed to {action}: NetworkManager says that {detail}")]
    Invalid {
        /// What was tried.
        action: String,
        /// NetworkManager's words; they name the key, never its value.
        detail: String,
    },
    /// It has no such device.
    #[error("failed to {0}: NetworkManager has no device '{1}'")]
    NoDevice(String, String),
    /// Anything else, which may be different the next time.
    #[error("failed to {action}: {detail}")]
    Failed {
        /// What was tried.
        action: String,
        /// NetworkManager's words.
        detail: String,
    },
    /// A step that netlink or nft does.
    #[error("failed to do a step that is not NetworkManager's")]
    NotForManager,
}

impl Error {
    /// What a call that was to `action` came to.
    pub(super) fn of(action: &str, error: zbus::Error) -> Self {
        let action = action.to_owned();
        let (name, detail) = if let zbus::Error::MethodError(name, detail, _) = &error {
            (name.to_string(), detail.clone())
        } else if let zbus::Error::FDO(known) = &error {
            (known.name().to_string(), known.description().map(str::to_owned))
        } else if let zbus::Error::InputOutput(why) = &error {
            if why.kind() != io::ErrorKind::TimedOut {
                return Self::Bus(error);
            }
            let detail = "NetworkManager does not answer".to_owned();
            return Self::Failed { action, detail };
        } else {
            let detail = error.to_string();
            return Self::Failed { action, detail };
        };
        let detail = detail.unwrap_or_else(|| name.clone());
        match name.rsplit('.').next().unwrap_or_default() {
            "ServiceUnknown" | "NameHasNoOwner" => Self::Absent(action),
            "PermissionDenied" | "AccessDenied" | "NotPrivileged" => Self::Refused { action, detail },
            "InvalidConnection"
            | "InvalidProperty"
            | "InvalidSetting"
            | "MissingProperty"
            | "MissingSetting"
            | "PropertyTypeMismatch"
            | "SettingNotFound"
            | "PropertyNotFound" => Self::Invalid { action, detail },
            _ => Self::Failed { action, detail },
        }
    }

    /// The stable word for status and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bus(_) => "bus",
            Self::Absent(_) => "manager-absent",
            Self::Refused { .. } => "manager-refused",
            Self::Invalid { .. } => "profile-invalid",
            Self::NoDevice(..) => "manager-no-device",
            Self::Failed { .. } => "manager-failed",
            Self::NotForManager => "not-for-manager",
        }
    }

    /// Whether trying again may help without anybody changing a setting or a policy.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Bus(_) | Self::Absent(_) | Self::NoDevice(..) | Self::Failed { .. } => true,
            Self::Refused { .. } | Self::Invalid { .. } | Self::NotForManager => false,
        }
    }
}
